//! Masks as pictures of the frame's size: what the pads `mask_%u` carry.
//!
//! Probabilities are interpolated bilinearly before a winner is taken, so that borders of labels are smooth.

use factorseg_model::RegionMap;

use super::grid::{Place, RowPair, places};
use crate::engine::mask;
use crate::settings::MaskFormat;

/// Rows of a picture for a frame of `height` rows.
pub fn rows(format: MaskFormat, height: usize, regions: usize) -> usize {
    match format {
        MaskFormat::Regions => height * regions,
        _ => height,
    }
}

/// One region's probabilities, row by row at the frame's width.
struct Spread<'a> {
    values: &'a [f32],
    grid_width: usize,
    columns: &'a [Place],
    rows: RowPair<Vec<f32>>,
}

impl<'a> Spread<'a> {
    fn new(values: &'a [f32], grid_width: usize, columns: &'a [Place]) -> Self {
        Self {
            values,
            grid_width,
            columns,
            rows: RowPair::default(),
        }
    }

    /// The probabilities of a row of the frame.
    fn row(&mut self, place: &Place, out: &mut [f32]) {
        let [top, bottom] = self.rows.around(place, |grid_row, out| {
            let row = &self.values[grid_row * self.grid_width..(grid_row + 1) * self.grid_width];
            out.clear();
            out.extend(self.columns.iter().map(|place| place.of(row)));
        });
        for ((out, top), bottom) in out.iter_mut().zip(top).zip(bottom) {
            *out = top + (bottom - top) * place.fraction;
        }
    }
}

/// Renders a mask at `width` x `height` into rows `stride` bytes apart.
///
/// `out` must hold `stride * rows(format, height, map.regions)` bytes; what lies beside the picture is not
/// written.
pub fn render(
    map: &RegionMap,
    format: MaskFormat,
    is_foreground: &[bool],
    (width, height): (usize, usize),
    stride: usize,
    out: &mut [u8],
) {
    let columns = places(width, width as f64, map.width);
    let lines = places(height, height as f64, map.height);
    let cells = map.width * map.height;
    let spread = |values| Spread::new(values, map.width, &columns);
    let region = |region: usize| spread(&map.probabilities[region * cells..(region + 1) * cells]);
    let byte = |p: f32| (p * 255.0 + 0.5) as u8;
    let mut values = vec![0.0; width];
    match format {
        MaskFormat::Regions => {
            for index in 0..map.regions {
                let mut region = region(index);
                for (y, place) in lines.iter().enumerate() {
                    region.row(place, &mut values);
                    let at = (index * height + y) * stride;
                    for (out, p) in out[at..at + width].iter_mut().zip(&values) {
                        *out = byte(*p);
                    }
                }
            }
        }
        MaskFormat::Foreground | MaskFormat::HardForeground => {
            let sum = mask::foreground(map, is_foreground);
            let mut foreground = spread(&sum);
            for (y, place) in lines.iter().enumerate() {
                foreground.row(place, &mut values);
                for (out, p) in out[y * stride..][..width].iter_mut().zip(&values) {
                    *out = match format {
                        MaskFormat::Foreground => byte(*p),
                        _ if *p > 0.5 => 255,
                        _ => 0,
                    };
                }
            }
        }
        MaskFormat::Labels => {
            let mut regions: Vec<Spread<'_>> = (0..map.regions).map(region).collect();
            let mut best = vec![0.0f32; width];
            for (y, place) in lines.iter().enumerate() {
                let out = &mut out[y * stride..][..width];
                best.fill(-1.0);
                for (region, label) in regions.iter_mut().zip(1u8..) {
                    region.row(place, &mut values);
                    for ((out, best), p) in out.iter_mut().zip(&mut best).zip(&values) {
                        let wins = *p > *best;
                        *out = if wins { label } else { *out };
                        *best = if wins { *p } else { *best };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
