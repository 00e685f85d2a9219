//! Edge-aware upsampling of the foreground by the guided filter of [`factorseg_refine::guided`].
//!
//! Around each cell of the mask's grid the foreground is fitted as a linear function of the frame's colour
//! components. What a pixel's colour differs from its cell's mean moves its foreground by that function, so that
//! edges fall where the colours change, not where the grid happens to lie, and each cell keeps its own mean. On the
//! annotations of DAVIS, averaged to 112x64 and brought back to 854x480, that is IoU 0.942 against 0.932 of bilinear
//! interpolation, and 0.898 against 0.882 if they are blurred first; the filter's own offset, which smooths the mask
//! over its window, has 0.925 and 0.891. Components are used as they are (YUV or RGB).

use factorseg_refine::guided::{Fit, Guide};
use factorseg_refine::{Plane, vectorised};

use super::grid::{RowPair, interpolate, nearest, places};
use crate::pixels::layout::{self, Channel, Component, Layout};

/// Half the side of the window that is fitted, in cells.
const RADIUS: usize = 1;

/// Fits `foreground` (`[height, width]`, `0..=1`) to the frame's averages on the same grid
/// (`[components, height, width]`, `0..=255`, as [`crate::pixels::sampling::Sampler::average`] gives them). Components and
/// foreground of the fit are in `0..=255`.
pub fn fit(foreground: &[f32], averages: &[f32], width: usize, height: usize) -> Fit {
    let plane = |values: &[f32], scale: f32| Plane {
        width,
        height,
        values: values.iter().map(|value| value * scale).collect(),
    };
    let channels = averages.chunks_exact(width * height);
    let guide = Guide::new(channels.map(|values| plane(values, 1.0 / 255.0)).collect(), RADIUS);
    let mut fit = guide.fit(&plane(foreground, 1.0));
    fit.offset.values.iter_mut().for_each(|value| *value *= 255.0);
    fit
}

/// Applies fits to frames of one layout; keeps its scratch rows.
#[derive(Debug, Default)]
pub struct Refiner {
    /// Slopes and offset of the fit, as wide as a strip.
    spread: RowPair<Vec<Vec<f32>>>,
    components: Vec<Vec<f32>>,
}

impl Refiner {
    /// Computes the foreground of a frame, `layout.width * layout.height` bytes, `0..=255`.
    pub fn refine(&mut self, layout: &Layout, frame: &[layout::Plane<'_>], fit: &Fit, foreground: &mut Vec<u8>) {
        let (width, height) = (layout.width, layout.height);
        let (grid_width, grid_height) = fit.offset.size();
        foreground.resize(width * height, 0);
        let columns = places(width, width as f64, grid_width);
        let is_color = |component: &&Component| component.channel != Channel::Alpha;
        let colors: Vec<&Component> = layout.components.iter().filter(is_color).collect();
        let grids: Vec<&Plane> = fit.slopes.iter().chain([&fit.offset]).collect();
        let rows = places(height, height as f64, grid_height);
        self.components.resize(colors.len(), Vec::new());
        self.spread.reset(|rows| {
            rows.resize(grids.len(), Vec::new());
            rows.iter_mut().for_each(|row| row.resize(width, 0.0));
        });
        // The row of each component that is converted now.
        let mut converted = vec![usize::MAX; colors.len()];
        for (y, (place, out)) in rows.iter().zip(foreground.chunks_exact_mut(width)).enumerate() {
            let [top, bottom] = self.spread.around(place, |grid_row, rows| {
                for (out, grid) in rows.iter_mut().zip(&grids) {
                    interpolate(grid.row(grid_row), &columns, out);
                }
            });
            for (index, component) in colors.iter().enumerate() {
                let row = nearest(y, component.down, component.height);
                if converted[index] != row {
                    converted[index] = row;
                    let plane = &frame[component.plane];
                    widen(
                        component,
                        &plane.data[row * plane.stride..],
                        width,
                        &mut self.components[index],
                    );
                }
            }
            // One component, or three.
            let [first, second, third] = [0, 1, 2].map(|index| index.min(colors.len() - 1));
            let of = |index: usize| (&top[index][..], &bottom[index][..], &self.components[index][..]);
            let offset = (&top[colors.len()][..], &bottom[colors.len()][..]);
            if third == first {
                apply_one(of(first), offset, place.fraction, out);
            } else {
                apply_three([of(first), of(second), of(third)], offset, place.fraction, out);
            }
        }
    }
}

/// A row of a component, as wide as the frame.
fn widen(component: &Component, row: &[u8], width: usize, out: &mut Vec<f32>) {
    out.resize(width, 0.0);
    if !component.is_bytes() {
        let mut samples = vec![0.0; component.width];
        component.read(row, 0, &mut samples);
        spread(&samples, 1, component.across, out);
        return;
    }
    let samples = &row[component.offset..=component.offset + (component.width - 1) * component.step];
    spread_bytes(samples, component.step, component.across, out);
}

vectorised! {
    fn spread_bytes(samples: &[u8], step: usize, across: usize, out: &mut [f32]) {
        spread(samples, step, across, out);
    }
}

/// Samples that lie `step` apart, each `across` times.
#[inline(always)]
fn spread<T: Copy + Into<f32>>(samples: &[T], step: usize, across: usize, out: &mut [f32]) {
    match (step, across) {
        (1, 1) => spread_by::<T, 1, 1>(samples, out),
        (1, 2) => spread_by::<T, 1, 2>(samples, out),
        (2, 1) => spread_by::<T, 2, 1>(samples, out),
        (2, 2) => spread_by::<T, 2, 2>(samples, out),
        (3, 1) => spread_by::<T, 3, 1>(samples, out),
        (4, 1) => spread_by::<T, 4, 1>(samples, out),
        (4, 2) => spread_by::<T, 4, 2>(samples, out),
        _ => {
            for (out, sample) in out.chunks_mut(across).zip(samples.iter().step_by(step)) {
                out.fill((*sample).into());
            }
        }
    }
}

/// A compiler that knows both distances makes vectors of it.
#[inline(always)]
fn spread_by<T: Copy + Into<f32>, const STEP: usize, const ACROSS: usize>(samples: &[T], out: &mut [f32]) {
    // The last sample has no whole step behind it, and perhaps fewer pixels.
    let whole = (samples.len() - 1) / STEP;
    let (out, end) = out.split_at_mut(whole * ACROSS);
    for (out, sample) in out
        .as_chunks_mut::<ACROSS>()
        .0
        .iter_mut()
        .zip(samples.as_chunks::<STEP>().0)
    {
        *out = [sample[0].into(); ACROSS];
    }
    end.fill(samples[whole * STEP].into());
}

/// A component's slopes above and below a row, and its samples.
type Sloped<'a> = (&'a [f32], &'a [f32], &'a [f32]);

vectorised! {
    /// A row of foreground, from the offsets above and below it and one component.
    fn apply_one(color: Sloped<'_>, offset: (&[f32], &[f32]), fraction: f32, out: &mut [u8]) {
        let width = out.len();
        let (offset_top, offset_bottom) = (&offset.0[..width], &offset.1[..width]);
        let (top, bottom, samples) = (&color.0[..width], &color.1[..width], &color.2[..width]);
        for x in 0..width {
            let sum = offset_top[x] + (offset_bottom[x] - offset_top[x]) * fraction;
            let sum = sum + (top[x] + (bottom[x] - top[x]) * fraction) * samples[x];
            out[x] = rounded(sum);
        }
    }
}

vectorised! {
    /// A row of foreground, from the offsets above and below it and three components.
    fn apply_three(colors: [Sloped<'_>; 3], offset: (&[f32], &[f32]), fraction: f32, out: &mut [u8]) {
        let width = out.len();
        let (offset_top, offset_bottom) = (&offset.0[..width], &offset.1[..width]);
        let [(a_top, a_bottom, a), (b_top, b_bottom, b), (c_top, c_bottom, c)] =
            colors.map(|(top, bottom, samples)| (&top[..width], &bottom[..width], &samples[..width]));
        for x in 0..width {
            let sum = offset_top[x] + (offset_bottom[x] - offset_top[x]) * fraction;
            let sum = sum + (a_top[x] + (a_bottom[x] - a_top[x]) * fraction) * a[x];
            let sum = sum + (b_top[x] + (b_bottom[x] - b_top[x]) * fraction) * b[x];
            let sum = sum + (c_top[x] + (c_bottom[x] - c_top[x]) * fraction) * c[x];
            out[x] = rounded(sum);
        }
    }
}

/// The nearest byte.
#[inline(always)]
fn rounded(value: f32) -> u8 {
    // At 2^23 the last bit of a float is worth one: adding it rounds, and the low byte is the number.
    (value.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

#[cfg(test)]
mod tests;
