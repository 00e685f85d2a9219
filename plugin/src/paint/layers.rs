//! Drawing a small layer on a full frame, in place, in the frame's own planes.
//!
//! Every overlay is the same operation on every byte, `byte * keep + add`, where `keep` and `add` are
//! interpolated bilinearly from a small grid. A row of the grid is spread to the width of the frame once;
//! between two such rows the pixels are plain 16-bit arithmetic over whole rows, which compilers vectorise.
//! Rows and margins where nothing is drawn are not touched.

use crate::pixels::layout::{Channel, Component, Layout, PlaneMut};
use crate::pixels::simd::vectorised;

/// `keep` of a byte that stays as it is. One below 2^14, so that differences of two fit 15 bits.
const KEEP: f32 = 16383.0;
/// Scale of `add`: 255 of them stay below 2^14.
const ADD: f32 = 64.0;

/// What is done to one channel, on a grid of [`Layer`]'s size.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelLayer {
    /// What is kept of the frame, `0..=1`.
    pub keep: Vec<f32>,
    /// What is added, in sample values, `0..=255`. `255 * keep + add` must not exceed 255.
    pub add: Vec<f32>,
}

/// A small picture to be drawn over a frame of any size.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Columns of the grid; it covers the whole frame.
    pub width: usize,
    /// Rows of the grid.
    pub height: usize,
    /// The colour channels in the frame's own colour model; `None` is left as it is.
    pub colors: [Option<ChannelLayer>; 3],
    /// Opacity, for formats that have it.
    pub alpha: Option<ChannelLayer>,
}

impl Layer {
    fn channel(&self, component: &Component) -> Option<&ChannelLayer> {
        match component.channel {
            Channel::Color(index) => self.colors[index].as_ref(),
            Channel::Alpha => self.alpha.as_ref(),
        }
    }
}

/// Where a sample of the frame lies between two of the grid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) first: usize,
    pub(crate) second: usize,
    /// Weight of `second`, `0..1`.
    pub(crate) fraction: f32,
}

/// The places of `length` samples (covering `extent`) in a grid of `cells`, both centred on their areas.
pub(crate) fn places(length: usize, extent: f64, cells: usize) -> Vec<Place> {
    let scale = cells as f64 / extent;
    let limit = (cells - 1) as f64;
    (0..length)
        .map(|index| {
            let center = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, limit);
            let first = center.floor() as usize;
            Place {
                first,
                second: (first + 1).min(cells - 1),
                fraction: (center - first as f64) as f32,
            }
        })
        .collect()
}

/// A row of the grid, spread over the bytes of a row of a plane.
#[derive(Debug, Default)]
struct SpreadRow {
    grid_row: Option<usize>,
    keep: Vec<i16>,
    add: Vec<i16>,
    /// The bytes that something is drawn on.
    begin: usize,
    end: usize,
}

/// Draws layers on frames of one layout; keeps its scratch rows between frames.
#[derive(Debug, Default)]
pub struct Painter {
    rows: [SpreadRow; 2],
}

impl Painter {
    /// Draws `layer` on the planes of a frame.
    pub fn paint(&mut self, layout: &Layout, layer: &Layer, frame: &mut [PlaneMut<'_>]) {
        for (index, plane) in frame.iter_mut().enumerate().take(layout.planes) {
            let channels = layout
                .in_plane(index)
                .filter_map(|(_, component)| {
                    let channel = layer.channel(component)?;
                    let columns = places(component.width, component.extent_width, layer.width);
                    Some((component, channel, columns))
                })
                .collect::<Vec<_>>();
            let Some((component, ..)) = channels.first() else {
                continue;
            };
            let (bytes, height) = layout.plane_size(index);
            let places = places(height, component.extent_height, layer.height);
            for row in &mut self.rows {
                row.grid_row = None;
                row.keep.clear();
                row.keep.resize(bytes, KEEP as i16);
                row.add.clear();
                row.add.resize(bytes, 0);
            }
            for (y, place) in places.iter().enumerate() {
                if self.rows[0].grid_row != Some(place.first) {
                    self.rows.swap(0, 1);
                    self.rows[0].spread(place.first, layer.width, &channels);
                }
                self.rows[1].spread(place.second, layer.width, &channels);
                let [top, bottom] = &self.rows;
                let begin = top.begin.min(bottom.begin);
                let end = top.end.max(bottom.end);
                if begin < end {
                    let at = y * plane.stride;
                    blend(
                        &mut plane.data[at + begin..at + end],
                        [&top.keep[begin..end], &bottom.keep[begin..end]],
                        [&top.add[begin..end], &bottom.add[begin..end]],
                        (place.fraction * 32767.0) as i16,
                    );
                }
            }
        }
    }
}

impl SpreadRow {
    fn spread(&mut self, row: usize, grid_width: usize, channels: &[(&Component, &ChannelLayer, Vec<Place>)]) {
        if self.grid_row == Some(row) {
            return;
        }
        self.grid_row = Some(row);
        self.begin = usize::MAX;
        self.end = 0;
        for (component, channel, columns) in channels {
            let keep = &channel.keep[row * grid_width..(row + 1) * grid_width];
            let add = &channel.add[row * grid_width..(row + 1) * grid_width];
            // Outside of these columns of the grid the frame stays as it is.
            let changed = |i: usize| keep[i] < 1.0 || add[i] > 0.0;
            let Some(first) = (0..grid_width).find(|&i| changed(i)) else {
                self.reset(component, 0..columns.len());
                continue;
            };
            let last = (0..grid_width).rfind(|&i| changed(i)).unwrap_or(first);
            let begin = columns.partition_point(|place| place.second < first);
            let end = columns.partition_point(|place| place.first <= last);
            self.reset(component, 0..begin);
            self.reset(component, end..columns.len());
            for (i, place) in columns[begin..end].iter().enumerate() {
                let mix = |row: &[f32]| row[place.first] + (row[place.second] - row[place.first]) * place.fraction;
                let at = component.offset + (begin + i) * component.step;
                self.keep[at] = (mix(keep) * KEEP + 0.5) as i16;
                self.add[at] = (mix(add) * ADD + 0.5) as i16;
            }
            if begin < end {
                self.begin = self.begin.min(component.offset + begin * component.step);
                self.end = self.end.max(component.offset + (end - 1) * component.step + 1);
            }
        }
    }

    fn reset(&mut self, component: &Component, samples: std::ops::Range<usize>) {
        for i in samples {
            let at = component.offset + i * component.step;
            self.keep[at] = KEEP as i16;
            self.add[at] = 0;
        }
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
    use crate::pixels::layout::{FORMATS, tests::layout};

    fn random(state: &mut u32) -> f32 {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> 8) as f32 / (1 << 24) as f32
    }

    fn random_layer(width: usize, height: usize) -> Layer {
        let mut state = 7;
        let mut channel = || {
            let keep: Vec<f32> = (0..width * height).map(|_| random(&mut state)).collect();
            let add = keep
                .iter()
                .map(|keep| 255.0 * (1.0 - keep) * random(&mut state))
                .collect();
            Some(ChannelLayer { keep, add })
        };
        Layer {
            width,
            height,
            colors: [channel(), channel(), channel()],
            alpha: channel(),
        }
    }

    fn paint(layout: &Layout, layer: &Layer, frame: &mut [Vec<u8>], padding: usize) {
        let mut planes = frame
            .iter_mut()
            .enumerate()
            .map(|(index, data)| PlaneMut {
                data,
                stride: layout.plane_size(index).0 + padding,
            })
            .collect::<Vec<_>>();
        Painter::default().paint(layout, layer, &mut planes);
    }

    fn random_frame(layout: &Layout, padding: usize) -> Vec<Vec<u8>> {
        let mut state = 99;
        (0..layout.planes)
            .map(|plane| {
                let (bytes, rows) = layout.plane_size(plane);
                (0..(bytes + padding) * (rows - 1) + bytes)
                    .map(|_| (random(&mut state) * 256.0) as u8)
                    .collect()
            })
            .collect()
    }

    /// The definition in f64: bilinear, both grids centred on their areas.
    fn naive(layer: &Layer, channel: &ChannelLayer, x: f64, y: f64, byte: u8) -> f64 {
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
        f64::from(byte) * keep + add
    }

    #[test]
    fn agrees_with_the_definition_in_every_format() {
        for format in FORMATS {
            for (width, height, padding) in [(1, 1, 0), (7, 5, 3), (33, 18, 2), (64, 40, 0)] {
                let layout = layout(format, width, height);
                for (grid_width, grid_height) in [(1, 1), (4, 3), (8, 8)] {
                    let layer = random_layer(grid_width, grid_height);
                    let before = random_frame(&layout, padding);
                    let mut after = before.clone();
                    paint(&layout, &layer, &mut after, padding);
                    let mut expected = before
                        .iter()
                        .map(|plane| plane.iter().map(|&b| f64::from(b)).collect::<Vec<_>>())
                        .collect::<Vec<_>>();
                    for component in &layout.components {
                        let channel = layer.channel(component).unwrap();
                        let stride = layout.plane_size(component.plane).0 + padding;
                        for j in 0..component.height {
                            for i in 0..component.width {
                                let at = j * stride + component.offset + i * component.step;
                                expected[component.plane][at] = naive(
                                    &layer,
                                    channel,
                                    (i as f64 + 0.5) / component.extent_width,
                                    (j as f64 + 0.5) / component.extent_height,
                                    before[component.plane][at],
                                );
                            }
                        }
                    }
                    for (plane, expected) in expected.iter().enumerate() {
                        for (i, expected) in expected.iter().enumerate() {
                            let got = f64::from(after[plane][i]);
                            // Half a step of rounding and the 16-bit arithmetic.
                            assert!(
                                (got - expected).abs() < 0.65,
                                "{format:?} {width}x{height}, plane {plane} byte {i}: {got}, not {expected}"
                            );
                        }
                    }
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
        let before = random_frame(&layout, 5);
        let mut after = before.clone();
        paint(&layout, &layer, &mut after, 5);
        assert_eq!(before, after);
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
        let before: Vec<Vec<u8>> = vec![(0..64 * 64).map(|i| i as u8).collect()];
        let mut after = before.clone();
        paint(&layout, &layer, &mut after, 0);
        for y in 0..64usize {
            for x in 0..64usize {
                let inside = (20..36).contains(&x) && (20..36).contains(&y);
                let (a, b) = (before[0][y * 64 + x], after[0][y * 64 + x]);
                if !inside {
                    assert_eq!(a, b, "at {x},{y}");
                }
            }
        }
        let center = f32::from(after[0][27 * 64 + 27]);
        assert!((center - 0.879 * 200.0).abs() < 32.0, "{center}");
    }
}
