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

use super::grid::{RowPair, nearest, places};
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
    /// Slopes and offset of the fit, as wide as the frame.
    spread: RowPair<Vec<Vec<f32>>>,
    components: Vec<Vec<f32>>,
    sums: Vec<f32>,
}

impl Refiner {
    /// Computes the foreground of a frame, `layout.width * layout.height` bytes, `0..=255`.
    pub fn refine(&mut self, layout: &Layout, frame: &[layout::Plane<'_>], fit: &Fit, foreground: &mut Vec<u8>) {
        let (width, height) = (layout.width, layout.height);
        let (grid_width, grid_height) = fit.offset.size();
        foreground.clear();
        foreground.resize(width * height, 0);
        let columns = places(width, width as f64, grid_width);
        let is_color = |component: &&Component| component.channel != Channel::Alpha;
        let colors: Vec<&Component> = layout.components.iter().filter(is_color).collect();
        let grids: Vec<&Plane> = fit.slopes.iter().chain([&fit.offset]).collect();
        self.spread.reset(|rows| {
            rows.resize(grids.len(), Vec::new());
            rows.iter_mut().for_each(|row| row.resize(width, 0.0));
        });
        self.components.resize(colors.len(), Vec::new());
        self.sums.resize(width, 0.0);
        // The row of each component that is converted now.
        let mut converted = vec![usize::MAX; colors.len()];
        for (y, place) in places(height, height as f64, grid_height).iter().enumerate() {
            let [top, bottom] = self.spread.around(place, |grid_row, rows| {
                for (out, grid) in rows.iter_mut().zip(&grids) {
                    let row = grid.row(grid_row);
                    out.iter_mut()
                        .zip(&columns)
                        .for_each(|(out, place)| *out = place.of(row));
                }
            });
            for (index, component) in colors.iter().enumerate() {
                let row = nearest(y, component.down, component.height);
                if converted[index] != row {
                    converted[index] = row;
                    let plane = &frame[component.plane];
                    widen(component, plane, row, width, &mut self.components[index]);
                }
            }
            let last = colors.len();
            mix(&top[last], &bottom[last], place.fraction, &mut self.sums);
            for (index, component) in self.components.iter().enumerate() {
                accumulate(&top[index], &bottom[index], place.fraction, component, &mut self.sums);
            }
            round(&self.sums, &mut foreground[y * width..(y + 1) * width]);
        }
    }
}

/// A row of a component as wide as the frame.
fn widen(component: &Component, plane: &layout::Plane<'_>, row: usize, width: usize, out: &mut Vec<f32>) {
    out.resize(width, 0.0);
    if !component.is_bytes() {
        let row = &plane.data[row * plane.stride..];
        for (i, out) in out.chunks_mut(component.across).enumerate() {
            out.fill(component.get(row, i) as f32 * component.unit());
        }
        return;
    }
    let start = row * plane.stride + component.offset;
    let end = start + (component.width - 1) * component.step + 1;
    let samples = &plane.data[start..end];
    if component.step == 1 && component.width == width {
        for (out, sample) in out.iter_mut().zip(samples) {
            *out = f32::from(*sample);
        }
    } else if component.width == width {
        for (out, sample) in out.iter_mut().zip(samples.iter().step_by(component.step)) {
            *out = f32::from(*sample);
        }
    } else {
        for (out, sample) in out
            .chunks_mut(component.across)
            .zip(samples.iter().step_by(component.step))
        {
            out.fill(f32::from(*sample));
        }
    }
}

vectorised! {
    fn mix(top: &[f32], bottom: &[f32], fraction: f32, out: &mut [f32]) {
        for ((out, top), bottom) in out.iter_mut().zip(top).zip(bottom) {
            *out = top + (bottom - top) * fraction;
        }
    }
}

vectorised! {
    fn accumulate(top: &[f32], bottom: &[f32], fraction: f32, component: &[f32], out: &mut [f32]) {
        for (((out, top), bottom), value) in out.iter_mut().zip(top).zip(bottom).zip(component) {
            *out += (top + (bottom - top) * fraction) * value;
        }
    }
}

vectorised! {
    /// Rounds to bytes.
    fn round(values: &[f32], out: &mut [u8]) {
        for (out, value) in out.iter_mut().zip(values) {
            // At 2^23 the last bit of a float is worth one: adding it rounds, and the low byte is the number.
            *out = (value.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8;
        }
    }
}

#[cfg(test)]
mod tests;
