//! Drawing by a foreground as large as the frame, such as [`super::guided`] makes it: each byte moves towards a
//! target by the weight of its pixel. Targets are small grids, interpolated bilinearly, as in [`super::layers`].

use std::ops::Range;

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
#[inline]
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

/// How a sample's weight follows from its foreground.
#[derive(Clone, Copy)]
enum Curve {
    /// What the foreground of a byte, 0 and each further one add to it.
    Line { zero: f32, byte: f32 },
    /// That of colours where the background has this opacity.
    Seen(f32),
}

impl Curve {
    fn new(weight: Weight, channel: Channel) -> Self {
        let line = |zero: f32, one: f32| Self::Line {
            zero: zero * ONE,
            byte: (one - zero) * ONE / 255.0,
        };
        match (weight, channel) {
            (Weight::Foreground(strength), _) => line(0.0, strength),
            (Weight::Seen(opacity), Channel::Color(_)) => Self::Seen(opacity),
            (Weight::Background | Weight::Seen(_), _) => line(1.0, 0.0),
        }
    }

    /// The least and the greatest foreground whose weight is not 0.
    fn moving(self) -> Option<[u8; 2]> {
        let bytes: [u8; 256] = std::array::from_fn(|byte| byte as u8);
        let mut all = [0; 256];
        weights(self, &bytes, &mut all);
        // Weights only rise with the foreground, or only fall.
        let least = all.iter().position(|weight| *weight != 0)?;
        let greatest = all.iter().rposition(|weight| *weight != 0)?;
        Some([least as u8, greatest as u8])
    }
}

/// Draws blends on frames of one layout; keeps its scratch rows.
#[derive(Debug, Default)]
pub struct Blender {
    weights: Vec<i16>,
    targets: RowPair<Vec<i16>>,
    samples: Samples,
    wide: Vec<f32>,
}

impl Blender {
    /// Draws on the planes of a frame. `foreground` has `layout.width * layout.height` values, `0..=255`.
    pub fn paint(&mut self, layout: &Layout, foreground: &[u8], blend: &Blend, frame: &mut [PlaneMut<'_>]) {
        let Grids { width, height, .. } = blend.targets;
        for (index, plane) in frame.iter_mut().enumerate().take(layout.planes) {
            let channels = blend.targets.in_plane(layout, index);
            let curves: Vec<Curve> = channels
                .iter()
                .map(|(component, ..)| Curve::new(blend.weight, component.channel))
                .collect();
            let moving: Vec<_> = curves.iter().map(|curve| curve.moving()).collect();
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
                let drawn = moving.iter().map(|moving| drawn(foreground, (*moving)?));
                if !shape.is_bytes() {
                    for (((component, grid, columns), curve), drawn) in channels.iter().zip(&curves).zip(drawn) {
                        let Some(drawn) = drawn else { continue };
                        let samples = covering(component, drawn);
                        let grid = [place.first, place.second].map(|row| &grid[row * width..(row + 1) * width]);
                        let target = |x: usize| {
                            let [top, bottom] = grid.map(|row| columns[x].of(row));
                            top + (bottom - top) * place.fraction
                        };
                        self.wide.resize(samples.len(), 0.0);
                        let row = &mut plane.data[y * plane.stride..];
                        component.read(row, samples.start, &mut self.wide);
                        let weights = self.samples.weights(component, foreground, *curve, samples.clone());
                        for (x, (value, weight)) in samples.clone().zip(self.wide.iter_mut().zip(weights)) {
                            *value += (target(x) - *value) * f32::from(*weight) / ONE;
                        }
                        component.write(row, samples.start, &self.wide);
                    }
                    continue;
                }
                // A pixel that moves in one channel only has a weight of 0 in others.
                let Some(drawn) = drawn.flatten().reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)) else {
                    continue;
                };
                let (mut begin, mut end) = (bytes, 0);
                for ((component, ..), curve) in channels.iter().zip(&curves) {
                    let samples = covering(component, drawn.clone());
                    let first = component.offset + samples.start * component.step;
                    begin = begin.min(first);
                    end = end.max(component.offset + (samples.end - 1) * component.step + 1);
                    let weights = self.samples.weights(component, foreground, *curve, samples);
                    let out = &mut self.weights[first..];
                    match component.step {
                        1 => out[..weights.len()].copy_from_slice(weights),
                        step => out.iter_mut().step_by(step).zip(weights).for_each(|(out, w)| *out = *w),
                    }
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
}

/// The samples of a component that lie on some pixels of a row.
fn covering(component: &Component, pixels: Range<usize>) -> Range<usize> {
    let [first, last] = [pixels.start, pixels.end - 1].map(|x| nearest(x, component.across, component.width));
    first..last + 1
}

/// Samples of a row: scratch memory.
#[derive(Debug, Default)]
struct Samples {
    foreground: Vec<u8>,
    weights: Vec<i16>,
}

impl Samples {
    /// The weights of some samples of a component, from the foreground of the row's pixels.
    fn weights(&mut self, component: &Component, row: &[u8], curve: Curve, samples: Range<usize>) -> &[i16] {
        self.weights.resize(samples.len(), 0);
        let across = component.across;
        if across == 1 {
            weights(curve, &row[samples], &mut self.weights);
        } else {
            let pixels = &row[samples.start * across..(samples.end * across).min(row.len())];
            self.foreground.resize(samples.len(), 0);
            means(pixels, across, &mut self.foreground);
            weights(curve, &self.foreground, &mut self.weights);
        }
        &self.weights
    }
}

vectorised! {
    /// The means of `across` values at a time; the last may have fewer.
    fn means(values: &[u8], across: usize, out: &mut [u8]) {
        if across == 2 {
            let (pairs, rest) = values.as_chunks::<2>();
            for (out, [a, b]) in out.iter_mut().zip(pairs) {
                *out = ((u16::from(*a) + u16::from(*b)) / 2) as u8;
            }
            if let ([value], Some(out)) = (rest, out.last_mut()) {
                *out = *value;
            }
            return;
        }
        for (out, values) in out.iter_mut().zip(values.chunks(across)) {
            let sum: usize = values.iter().map(|value| usize::from(*value)).sum();
            *out = (sum / values.len()) as u8;
        }
    }
}

vectorised! {
    /// The weights of samples.
    fn weights(curve: Curve, foreground: &[u8], out: &mut [i16]) {
        match curve {
            Curve::Line { zero, byte } => {
                for (out, p) in out.iter_mut().zip(foreground) {
                    *out = rounded(zero + byte * f32::from(*p));
                }
            }
            Curve::Seen(opacity) => {
                for (out, p) in out.iter_mut().zip(foreground) {
                    *out = rounded((1.0 - kept_color(f32::from(*p) / 255.0, opacity)) * ONE);
                }
            }
        }
    }
}

/// The nearest integer.
#[inline(always)]
fn rounded(value: f32) -> i16 {
    // At 1.5 * 2^23 the last bit of a float is worth one: adding it rounds, and the low bits are the number.
    (value + 12_582_912.0).to_bits() as i16
}

/// Spreads a row of the targets' grids over the bytes of a row of a plane.
fn spread(row: usize, grid_width: usize, channels: &[(&Component, &Vec<f32>, Vec<Place>)], out: &mut [i16]) {
    for (component, grid, columns) in channels {
        let mut wide = vec![0.0; columns.len()];
        interpolate(&grid[row * grid_width..(row + 1) * grid_width], columns, &mut wide);
        let out = out[component.offset..].iter_mut().step_by(component.step);
        for (out, value) in out.zip(wide) {
            *out = rounded(value.clamp(0.0, 255.0) * TARGET);
        }
    }
}

/// The pixels of a row from the first to the last whose foreground lies in `least..=greatest`.
fn drawn(row: &[u8], [least, greatest]: [u8; 2]) -> Option<Range<usize>> {
    // Whole blocks at first, which are compared at once.
    const BLOCK: usize = 64;
    let moves = |p: &u8| (least..=greatest).contains(p);
    let any = |block: &[u8]| block.iter().fold(false, |any, p| any | moves(p));
    let first = BLOCK * row.chunks(BLOCK).position(any)?;
    let first = first + row[first..].iter().position(moves)?;
    let end = row.len() - BLOCK * row.rchunks(BLOCK).position(any)?;
    let last = row[..end].iter().rposition(moves)?;
    Some(first..last + 1)
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
