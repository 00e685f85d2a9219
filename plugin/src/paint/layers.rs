//! Drawing a small layer on a full frame, in place, in the frame's own planes.
//!
//! Every overlay is the same operation on every byte, `byte * keep + add`, where `keep` and `add` are
//! interpolated bilinearly from a small grid. A row of the grid is spread to the width of the frame once;
//! between two such rows the pixels are plain 16-bit arithmetic over whole rows, which compilers vectorise.
//! Rows and margins where nothing is drawn are not touched.

use factorseg_refine::vectorised;

use super::grid::{Grids, Place, RowPair, rows};
use crate::pixels::layout::{Component, Layout, PlaneMut};

/// `keep` of a byte that stays as it is. One below 2^14, so that differences of two fit 15 bits.
const KEEP: f32 = 16383.0;
/// Scale of `add`: 255 of them stay below 2^14.
const ADD: f32 = 64.0;

/// What is done to one channel, on a grid of its [`Layer`]'s size.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelLayer {
    /// What is kept of the frame, `0..=1`.
    pub keep: Vec<f32>,
    /// What is added, in sample values, `0..=255`. `255 * keep + add` must not exceed 255.
    pub add: Vec<f32>,
}

/// A small picture to be drawn over a frame of any size.
pub type Layer = Grids<ChannelLayer>;

/// A row of the grid, spread over the bytes of a row of a plane.
#[derive(Debug, Default)]
struct SpreadRow {
    keep: Vec<i16>,
    add: Vec<i16>,
    /// The bytes that something is drawn on.
    begin: usize,
    end: usize,
}

/// Draws layers on frames of one layout; keeps its scratch rows between frames.
#[derive(Debug, Default)]
pub struct Painter {
    rows: RowPair<SpreadRow>,
    wide: Vec<f32>,
}

impl Painter {
    /// Draws `layer` on the planes of a frame.
    pub fn paint(&mut self, layout: &Layout, layer: &Layer, frame: &mut [PlaneMut<'_>]) {
        for (index, plane) in frame.iter_mut().enumerate().take(layout.planes) {
            let channels = layer.in_plane(layout, index);
            let Some((component, ..)) = channels.first() else {
                continue;
            };
            if !component.is_bytes() {
                for (component, channel, columns) in &channels {
                    paint_wide(component, channel, columns, layer, plane, &mut self.wide);
                }
                continue;
            }
            let (bytes, _) = layout.plane_size(index);
            self.rows.reset(|row| {
                row.keep.resize(bytes, 0);
                row.add.resize(bytes, 0);
            });
            for (y, place) in rows(component, layer.height).iter().enumerate() {
                let around = self
                    .rows
                    .around(place, |row, out| out.spread(row, layer.width, &channels));
                let [top, bottom] = around;
                let begin = top.begin.min(bottom.begin);
                let end = top.end.max(bottom.end);
                if begin < end {
                    let at = y * plane.stride;
                    blend(
                        &mut plane.data[at + begin..at + end],
                        around.map(|row| &row.keep[begin..end]),
                        around.map(|row| &row.add[begin..end]),
                        place.fraction_16(),
                    );
                }
            }
        }
    }
}

impl SpreadRow {
    fn spread(&mut self, row: usize, grid_width: usize, channels: &[(&Component, &ChannelLayer, Vec<Place>)]) {
        self.keep.fill(KEEP as i16);
        self.add.fill(0);
        (self.begin, self.end) = (usize::MAX, 0);
        for (component, channel, columns) in channels {
            let keep = &channel.keep[row * grid_width..(row + 1) * grid_width];
            let add = &channel.add[row * grid_width..(row + 1) * grid_width];
            // Outside of these columns of the grid the frame stays as it is.
            let changed = |i: usize| keep[i] < 1.0 || add[i] > 0.0;
            let Some(first) = (0..grid_width).find(|&i| changed(i)) else {
                continue;
            };
            let last = (0..grid_width).rfind(|&i| changed(i)).unwrap_or(first);
            let begin = columns.partition_point(|place| place.second < first);
            let end = columns.partition_point(|place| place.first <= last);
            for (i, place) in columns[begin..end].iter().enumerate() {
                let at = component.offset + (begin + i) * component.step;
                self.keep[at] = (place.of(keep) * KEEP + 0.5) as i16;
                self.add[at] = (place.of(add) * ADD + 0.5) as i16;
            }
            if begin < end {
                self.begin = self.begin.min(component.offset + begin * component.step);
                self.end = self.end.max(component.offset + (end - 1) * component.step + 1);
            }
        }
    }
}

/// Draws one channel on samples that are wider than a byte.
fn paint_wide(
    component: &Component,
    channel: &ChannelLayer,
    columns: &[Place],
    layer: &Layer,
    plane: &mut PlaneMut<'_>,
    wide: &mut Vec<f32>,
) {
    let row_of = |grid: &[f32], y: usize| grid[y * layer.width..(y + 1) * layer.width].to_vec();
    for (y, place) in rows(component, layer.height).iter().enumerate() {
        let mixed = |grid: &[f32]| {
            let (mut mixed, bottom) = (row_of(grid, place.first), row_of(grid, place.second));
            for (top, bottom) in mixed.iter_mut().zip(bottom) {
                *top += (bottom - *top) * place.fraction;
            }
            mixed
        };
        let (keep, add) = (mixed(&channel.keep), mixed(&channel.add));
        let changed = |i: usize| keep[i] < 1.0 || add[i] > 0.0;
        let Some(first) = (0..layer.width).find(|&i| changed(i)) else {
            continue;
        };
        let last = (0..layer.width).rfind(|&i| changed(i)).unwrap_or(first);
        let begin = columns.partition_point(|place| place.second < first);
        let end = columns.partition_point(|place| place.first <= last);
        if begin >= end {
            continue;
        }
        let row = &mut plane.data[y * plane.stride..];
        wide.resize(end - begin, 0.0);
        component.read(row, begin, wide);
        for (value, place) in wide.iter_mut().zip(&columns[begin..end]) {
            *value = *value * place.of(&keep) + place.of(&add);
        }
        component.write(row, begin, wide);
    }
}

/// The high half of a product of two 16-bit numbers.
#[inline(always)]
fn high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

vectorised! {
    /// Mixes two rows of `keep` and of `add` by `fraction` (of 2^15) and applies them to `bytes`.
    fn blend(bytes: &mut [u8], keep: [&[i16]; 2], add: [&[i16]; 2], fraction: i16) {
        // Equal lengths, told to the compiler once.
        let length = bytes.len();
        let (keep_top, keep_bottom) = (&keep[0][..length], &keep[1][..length]);
        let (add_top, add_bottom) = (&add[0][..length], &add[1][..length]);
        for i in 0..length {
            let keep = keep_top[i] + high((keep_bottom[i] - keep_top[i]) << 1, fraction);
            let add = add_top[i] + high((add_bottom[i] - add_top[i]) << 1, fraction);
            // Both terms have 5 bits of fraction.
            let value = high(i16::from(bytes[i]) << 7, keep) + (add >> 1) + 16;
            bytes[i] = (value >> 5).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::layout::tests::{layout, noise};
    use crate::pixels::layout::{Channel, FORMATS, OwnedFrame};

    fn random_layer(width: usize, height: usize) -> Layer {
        let mut byte = noise(7);
        let mut random = || f32::from(byte()) / 256.0;
        let mut channel = || {
            let keep: Vec<f32> = (0..width * height).map(|_| random()).collect();
            let add = keep.iter().map(|keep| 255.0 * (1.0 - keep) * random()).collect();
            Some(ChannelLayer { keep, add })
        };
        Layer {
            width,
            height,
            colors: [channel(), channel(), channel()],
            alpha: channel(),
        }
    }

    fn paint(layout: &Layout, layer: &Layer, before: &OwnedFrame) -> OwnedFrame {
        let mut frame = before.clone();
        Painter::default().paint(layout, layer, &mut frame.write());
        frame
    }

    /// The definition in f64: bilinear, both grids centred on their areas.
    fn naive(layer: &Layer, channel: &ChannelLayer, x: f64, y: f64, sample: f64) -> f64 {
        let column = (x * layer.width as f64 - 0.5).clamp(0.0, (layer.width - 1) as f64);
        let row = (y * layer.height as f64 - 0.5).clamp(0.0, (layer.height - 1) as f64);
        let mut keep = 0.0;
        let mut add = 0.0;
        for j in 0..layer.height {
            for i in 0..layer.width {
                let weight = (1.0 - (column - i as f64).abs()).max(0.0) * (1.0 - (row - j as f64).abs()).max(0.0);
                keep += weight * f64::from(channel.keep[j * layer.width + i]);
                add += weight * f64::from(channel.add[j * layer.width + i]);
            }
        }
        sample * keep + add
    }

    #[test]
    fn agrees_with_the_definition_in_every_format() {
        for format in FORMATS {
            for (width, height, padding) in [(1, 1, 0), (7, 5, 3), (33, 18, 2), (64, 40, 0)] {
                let layout = layout(format, width, height);
                for (grid_width, grid_height) in [(1, 1), (4, 3), (8, 8)] {
                    let layer = random_layer(grid_width, grid_height);
                    let before = OwnedFrame::new(&layout, padding, noise(99));
                    let after = paint(&layout, &layer, &before);
                    // What is drawn on no component stays: put there what was before, and nothing differs.
                    let mut rest = after.clone();
                    for component in &layout.components {
                        let channel = match component.channel {
                            Channel::Color(index) => &layer.colors[index],
                            Channel::Alpha => &layer.alpha,
                        };
                        let (data, stride) = &before.planes[component.plane];
                        for j in 0..component.height {
                            let (old, new) = (&data[j * stride..], &after.planes[component.plane].0[j * stride..]);
                            for i in 0..component.width {
                                let sample = component.get(old, i);
                                let expected = naive(
                                    &layer,
                                    channel.as_ref().unwrap(),
                                    (i as f64 + 0.5) / component.extent_width,
                                    (j as f64 + 0.5) / component.extent_height,
                                    f64::from(sample) * f64::from(component.unit()),
                                ) / f64::from(component.unit());
                                let got = f64::from(component.get(new, i));
                                // Half a step of rounding and the arithmetic, in the frame's own depth.
                                assert!(
                                    (got - expected).abs() < 0.65,
                                    "{format:?} {width}x{height}, {component:?} {i} {j}: {got}, not {expected}"
                                );
                                component.set(&mut rest.planes[component.plane].0[j * stride..], i, sample);
                            }
                        }
                    }
                    assert_eq!(rest, before, "{format:?}");
                }
            }
        }
    }

    #[test]
    fn a_layer_that_keeps_everything_changes_no_byte() {
        let layout = layout(gstreamer_video::VideoFormat::Rgb, 37, 11);
        let keep_all = Some(ChannelLayer {
            keep: vec![1.0; 12],
            add: vec![0.0; 12],
        });
        let layer = Layer {
            width: 4,
            height: 3,
            colors: [keep_all.clone(), keep_all.clone(), keep_all],
            alpha: None,
        };
        let before = OwnedFrame::new(&layout, 5, noise(99));
        assert_eq!(paint(&layout, &layer, &before), before);
    }

    #[test]
    fn kept_bytes_beside_drawn_ones_stay_exact() {
        let layout = layout(gstreamer_video::VideoFormat::Gray8, 64, 64);
        let mut keep = vec![1.0; 64];
        let mut add = vec![0.0; 64];
        keep[3 * 8 + 3] = 0.0;
        add[3 * 8 + 3] = 200.0;
        let layer = Layer {
            width: 8,
            height: 8,
            colors: [Some(ChannelLayer { keep, add }), None, None],
            alpha: None,
        };
        let mut index = 0u8;
        let before = OwnedFrame::new(&layout, 0, || {
            index = index.wrapping_add(1);
            index
        });
        let after = paint(&layout, &layer, &before);
        let (before, after) = (&before.planes[0].0, &after.planes[0].0);
        for y in 0..64usize {
            for x in 0..64usize {
                let inside = (20..36).contains(&x) && (20..36).contains(&y);
                let (a, b) = (before[y * 64 + x], after[y * 64 + x]);
                if !inside {
                    assert_eq!(a, b, "at {x},{y}");
                }
            }
        }
        let center = f32::from(after[27 * 64 + 27]);
        assert!((center - 0.879 * 200.0).abs() < 32.0, "{center}");
    }
}
