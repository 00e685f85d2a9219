//! Drawing by a foreground as large as the frame, such as [`super::guided`] makes it: each byte moves towards a
//! target by the weight of its pixel. Targets are small grids, interpolated bilinearly, as in [`super::layers`].

use factorseg_refine::vectorised;

use super::grid::{Grids, Place, RowPair, interpolate, nearest, rows};
use crate::pixels::layout::{Channel, Component, Layout, PlaneMut};

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
    /// All but the foreground, where it gets an opacity (`0..=1`): colours weigh as much as they are seen.
    Seen(f32),
}

/// How much of its colour a pixel keeps that is foreground by `p`, above a background of some opacity (`0..=1`, not 0).
pub(super) fn kept_color(p: f32, opacity: f32) -> f32 {
    p / (p + (1.0 - p) * opacity)
}

/// Where pixels move to.
#[derive(Clone, Debug, PartialEq)]
pub struct Blend {
    /// Which pixels move.
    pub weight: Weight,
    /// Where to, `0..=255` as the frame's format has it; grids of one cell are constant.
    pub targets: Grids<Vec<f32>>,
}

/// The weights of all values of the foreground.
type Table = [i16; 256];

impl Blend {
    /// The weights for a channel.
    fn weights(&self, channel: Channel) -> Table {
        std::array::from_fn(|p| {
            let p = p as f32 / 255.0;
            let weight = match (self.weight, channel) {
                (Weight::Foreground(strength), _) => strength * p,
                (Weight::Seen(opacity), Channel::Color(_)) => 1.0 - kept_color(p, opacity),
                (Weight::Background | Weight::Seen(_), _) => 1.0 - p,
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
    wide: Vec<f32>,
}

impl Blender {
    /// Draws on the planes of a frame. `foreground` has `layout.width * layout.height` values, `0..=255`.
    pub fn paint(&mut self, layout: &Layout, foreground: &[u8], blend: &Blend, frame: &mut [PlaneMut<'_>]) {
        let Grids { width, height, .. } = blend.targets;
        for (index, plane) in frame.iter_mut().enumerate().take(layout.planes) {
            let channels = blend.targets.in_plane(layout, index);
            let tables: Vec<Table> = channels.iter().map(|(c, ..)| blend.weights(c.channel)).collect();
            let Some((shape, ..)) = channels.first() else {
                continue;
            };
            let (bytes, _) = layout.plane_size(index);
            // Bytes between the channels keep a weight of 0.
            self.weights.clear();
            self.weights.resize(bytes, 0);
            self.targets.reset(|row| {
                row.clear();
                row.resize(bytes, 0);
            });
            for (y, place) in rows(shape, height).iter().enumerate() {
                let row = (shape.down * y).min(layout.height - 1);
                let foreground = &foreground[row * layout.width..(row + 1) * layout.width];
                if !shape.is_bytes() {
                    for ((component, grid, columns), table) in channels.iter().zip(&tables) {
                        let grid = [place.first, place.second].map(|row| &grid[row * width..(row + 1) * width]);
                        let target = |x: usize| {
                            let [top, bottom] = grid.map(|row| columns[x].of(row));
                            top + (bottom - top) * place.fraction
                        };
                        let row = &mut plane.data[y * plane.stride..];
                        blend_wide(component, foreground, table, target, row, &mut self.wide);
                    }
                    continue;
                }
                let (mut begin, mut end) = (bytes, 0);
                let moving: Vec<_> = tables.iter().map(|table| drawn(foreground, table)).collect();
                // A pixel that moves in one channel only has a weight of 0 in others.
                let Some(first) = moving.iter().flatten().map(|(first, _)| *first).min() else {
                    continue;
                };
                let last = moving.iter().flatten().map(|(_, last)| *last).max().unwrap_or(first);
                for ((component, ..), table) in channels.iter().zip(&tables) {
                    let first = nearest(first, component.across, component.width);
                    let last = nearest(last, component.across, component.width);
                    self.weigh(component, foreground, table, first..last + 1);
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
    fn weigh(&mut self, component: &Component, row: &[u8], table: &Table, samples: std::ops::Range<usize>) {
        let weight = |p: &u8| table[usize::from(*p)];
        let out = &mut self.weights[component.offset..];
        let pairs = row.as_chunks::<2>().0;
        match (component.across, component.step) {
            (1, 1) => {
                let pixels = out[samples.clone()].iter_mut().zip(&row[samples]);
                pixels.for_each(|(out, p)| *out = weight(p));
            }
            (2, 1) if samples.end <= pairs.len() => {
                let pixels = out[samples.clone()].iter_mut().zip(&pairs[samples]);
                pixels.for_each(|(out, pair)| *out = table[mean(pair)]);
            }
            (across, step) => {
                let covered = row.chunks(across).skip(samples.start);
                let out = out.iter_mut().step_by(step).skip(samples.start).take(samples.len());
                out.zip(covered).for_each(|(out, covered)| *out = table[mean(covered)]);
            }
        }
    }
}

fn mean(covered: &[u8]) -> usize {
    if let [a, b] = *covered {
        return (usize::from(a) + usize::from(b)) / 2;
    }
    let sum: usize = covered.iter().map(|p| usize::from(*p)).sum();
    sum / covered.len()
}

/// Moves the samples of one row, which are wider than a byte.
fn blend_wide(
    component: &Component,
    foreground: &[u8],
    table: &Table,
    target: impl Fn(usize) -> f32,
    row: &mut [u8],
    wide: &mut Vec<f32>,
) {
    let Some((first, last)) = drawn(foreground, table) else {
        return;
    };
    let first = nearest(first, component.across, component.width);
    let last = nearest(last, component.across, component.width);
    wide.resize(last + 1 - first, 0.0);
    component.read(row, first, wide);
    let covered = foreground.chunks(component.across).skip(first);
    for (x, (value, covered)) in (first..).zip(wide.iter_mut().zip(covered)) {
        let weight = f32::from(table[mean(covered)]) / ONE;
        *value += (target(x) - *value) * weight;
    }
    component.write(row, first, wide);
}

/// Spreads a row of the targets' grids over the bytes of a row of a plane.
fn spread(row: usize, grid_width: usize, channels: &[(&Component, &Vec<f32>, Vec<Place>)], out: &mut [i16]) {
    for (component, grid, columns) in channels {
        let mut wide = vec![0.0; columns.len()];
        interpolate(&grid[row * grid_width..(row + 1) * grid_width], columns, &mut wide);
        let out = out[component.offset..].iter_mut().step_by(component.step);
        for (out, value) in out.zip(wide) {
            *out = (value.clamp(0.0, 255.0) * TARGET + 0.5) as i16;
        }
    }
}

/// The first and the last pixel of a row that moves.
fn drawn(row: &[u8], table: &Table) -> Option<(usize, usize)> {
    // Weights only rise with the foreground, or only fall.
    let least = table.iter().position(|weight| *weight != 0)? as u8;
    let most = table.iter().rposition(|weight| *weight != 0)? as u8;
    let moves = |p: &u8| (least..=most).contains(p);
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
mod tests;
