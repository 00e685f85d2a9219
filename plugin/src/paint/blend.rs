//! Drawing by a foreground as large as the frame, such as [`super::guided`] makes it: each byte moves towards a
//! target by the weight of its pixel. Targets are small grids, interpolated bilinearly, as in [`super::layers`].

use factorseg_refine::vectorised;

use super::grid::{Grids, Place, RowPair, nearest, rows};
use crate::pixels::layout::{Component, Layout, PlaneMut};

/// A weight of one, as [`super::layers`] has it.
const ONE: f32 = 16383.0;
/// Scale of targets.
const TARGET: f32 = 64.0;

/// Which pixels move, and how far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weight {
    /// The foreground, by this much (`0..=1`).
    Foreground(f32),
    /// All but the foreground, entirely.
    Background,
}

/// Where pixels move to.
#[derive(Clone, Debug, PartialEq)]
pub struct Blend {
    /// Which pixels move.
    pub weight: Weight,
    /// Where to, `0..=255` as the frame's format has it; grids of one cell are constant.
    pub targets: Grids<Vec<f32>>,
}

impl Blend {
    /// The weights of all values of the foreground.
    fn weights(&self) -> [i16; 256] {
        std::array::from_fn(|p| {
            let p = p as f32 / 255.0;
            let weight = match self.weight {
                Weight::Foreground(strength) => strength * p,
                Weight::Background => 1.0 - p,
            };
            (weight * ONE + 0.5) as i16
        })
    }
}

/// Draws blends on frames of one layout; keeps its scratch rows.
#[derive(Debug, Default)]
pub struct Blender {
    weights: Vec<i16>,
    targets: RowPair<Vec<i16>>,
}

impl Blender {
    /// Draws on the planes of a frame. `foreground` has `layout.width * layout.height` values, `0..=255`.
    pub fn paint(&mut self, layout: &Layout, foreground: &[u8], blend: &Blend, frame: &mut [PlaneMut<'_>]) {
        let table = blend.weights();
        let Grids { width, height, .. } = blend.targets;
        for (index, plane) in frame.iter_mut().enumerate().take(layout.planes) {
            let channels = blend.targets.in_plane(layout, index);
            let Some((shape, ..)) = channels.first() else {
                continue;
            };
            let (bytes, lines) = layout.plane_size(index);
            // Bytes between the channels keep a weight of 0.
            self.weights.clear();
            self.weights.resize(bytes, 0);
            self.targets.reset(|row| {
                row.clear();
                row.resize(bytes, 0);
            });
            for (y, place) in rows(shape, height).iter().enumerate() {
                let row = if lines == layout.height {
                    y
                } else {
                    (2 * y).min(layout.height - 1)
                };
                let foreground = &foreground[row * layout.width..(row + 1) * layout.width];
                let Some((first, last)) = drawn(foreground, &table) else {
                    continue;
                };
                let (mut begin, mut end) = (bytes, 0);
                for (component, ..) in &channels {
                    let first = nearest(first, layout.width, component.width);
                    let last = nearest(last, layout.width, component.width);
                    self.weigh(component, foreground, &table, first..last + 1);
                    begin = begin.min(component.offset + first * component.step);
                    end = end.max(component.offset + last * component.step + 1);
                }
                let at = y * plane.stride;
                let targets = self
                    .targets
                    .around(place, |row, out| spread(row, width, &channels, out));
                apply(
                    &mut plane.data[at + begin..at + end],
                    &self.weights[begin..end],
                    targets.map(|row| &row[begin..end]),
                    place.fraction_16(),
                );
            }
        }
    }

    /// Sets the weights of some samples of a row.
    fn weigh(&mut self, component: &Component, row: &[u8], table: &[i16; 256], samples: std::ops::Range<usize>) {
        let out = self.weights[component.offset..].iter_mut().step_by(component.step);
        let out = out.skip(samples.start).take(samples.len());
        if component.width == row.len() {
            for (out, p) in out.zip(&row[samples]) {
                *out = table[usize::from(*p)];
            }
        } else {
            for (out, pair) in out.zip(row.chunks(2).skip(samples.start)) {
                let sum: usize = pair.iter().map(|p| usize::from(*p)).sum();
                *out = table[sum / pair.len()];
            }
        }
    }
}

/// Spreads a row of the targets' grids over the bytes of a row of a plane.
fn spread(row: usize, grid_width: usize, channels: &[(&Component, &Vec<f32>, Vec<Place>)], out: &mut [i16]) {
    for (component, grid, columns) in channels {
        let grid = &grid[row * grid_width..(row + 1) * grid_width];
        let out = out[component.offset..].iter_mut().step_by(component.step);
        for (out, place) in out.zip(columns) {
            *out = (place.of(grid).clamp(0.0, 255.0) * TARGET + 0.5) as i16;
        }
    }
}

/// The first and the last pixel of a row that moves.
fn drawn(row: &[u8], table: &[i16; 256]) -> Option<(usize, usize)> {
    let moves = |p: &u8| table[usize::from(*p)] != 0;
    Some((row.iter().position(moves)?, row.iter().rposition(moves)?))
}

vectorised! {
    /// Moves bytes by their weights (of 2^14) to targets between two rows, mixed by `fraction` (of 2^15).
    fn apply(bytes: &mut [u8], weights: &[i16], targets: [&[i16]; 2], fraction: i16) {
        let high = |a: i16, b: i16| ((i32::from(a) * i32::from(b)) >> 16) as i16;
        let length = bytes.len();
        let (weights, top, bottom) = (&weights[..length], &targets[0][..length], &targets[1][..length]);
        for i in 0..length {
            let target = top[i] + high((bottom[i] - top[i]) << 1, fraction);
            let byte = i16::from(bytes[i]);
            // 5 bits of fraction; a step down is rounded as a step up is.
            let step = high((target << 1) - (byte << 7), weights[i]);
            bytes[i] = (((byte << 5) + step + 16) >> 5).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::layout::{Channel, FORMATS, OwnedFrame, tests::layout};

    #[test]
    fn bytes_move_by_their_pixel_s_weight_in_every_format() {
        for format in FORMATS {
            for (width, height) in [(1, 1), (9, 7), (16, 4)] {
                let layout = layout(format, width, height);
                // The right half is foreground.
                let foreground: Vec<u8> = (0..width * height)
                    .map(|i| if 2 * (i % width) >= width { 255 } else { 0 })
                    .collect();
                let blend = |weight| Blend {
                    weight,
                    targets: Grids {
                        width: 1,
                        height: 1,
                        colors: [200.0, 20.0, 128.0].map(|value| Some(vec![value])),
                        alpha: Some(vec![0.0]),
                    },
                };
                for (weight, left, right) in [
                    (Weight::Foreground(1.0), 0.0, 1.0),
                    (Weight::Foreground(0.25), 0.0, 0.25),
                    (Weight::Background, 1.0, 0.0),
                ] {
                    let mut frame = OwnedFrame::new(&layout, 0, || 100);
                    Blender::default().paint(&layout, &foreground, &blend(weight), &mut frame.write());
                    for component in &layout.components {
                        let target = match component.channel {
                            Channel::Color(index) => [200.0, 20.0, 128.0][index],
                            Channel::Alpha => 0.0,
                        };
                        let (data, stride) = &frame.planes[component.plane];
                        for y in 0..component.height {
                            for (x, weight) in [(0, left), (component.width - 1, right)] {
                                // A single column is on the left.
                                let weight = if component.width == 1 { left } else { weight };
                                let got = f64::from(data[y * stride + component.offset + x * component.step]);
                                let expected = 100.0 + (target - 100.0) * weight;
                                assert!(
                                    (got - expected).abs() < 1.1,
                                    "{format:?} {component:?}: {got}, not {expected}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_weight_of_zero_keeps_every_byte() {
        let layout = layout(gstreamer_video::VideoFormat::Gray8, 16, 16);
        let mut frame = OwnedFrame::new(&layout, 0, || 0);
        frame.planes[0].0 = (0..=255).collect();
        // One pixel of each row moves, the others are in between.
        let foreground: Vec<u8> = (0..256)
            .map(|i| if i % 16 == 0 || i % 16 == 15 { 255 } else { 0 })
            .collect();
        let blend = Blend {
            weight: Weight::Foreground(1.0),
            targets: Grids::of_colors(1, 1, &layout, |_| vec![7.0]),
        };
        Blender::default().paint(&layout, &foreground, &blend, &mut frame.write());
        for (i, byte) in frame.planes[0].0.iter().enumerate() {
            assert_eq!(usize::from(*byte), if foreground[i] == 255 { 7 } else { i });
        }
    }
}
