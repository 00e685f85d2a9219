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
mod tests {
    use super::*;

    /// 2x1 cells, three regions.
    fn map() -> RegionMap {
        mask::tests::map(3, 2, 1, &[1.0, 0.0, 0.0, 0.75, 0.0, 0.25])
    }

    fn rendered(format: MaskFormat) -> Vec<u8> {
        let mut out = vec![9; 10 * super::rows(format, 2, 3)];
        render(&map(), format, &[false, true, true], (8, 2), 10, &mut out);
        out
    }

    #[test]
    fn labels_count_from_one_and_change_where_another_region_leads() {
        // Region 1 falls from 1 at column 1.5 to 0 at column 5.5, region 2 rises to 0.75: they meet at 3.79.
        let row = [1, 1, 1, 1, 2, 2, 2, 2, 9, 9];
        assert_eq!(rendered(MaskFormat::Labels), [row, row].concat());
    }

    #[test]
    fn the_foreground_is_the_sum_of_its_regions() {
        let soft = [0, 0, 32, 96, 159, 223, 255, 255, 9, 9];
        assert_eq!(rendered(MaskFormat::Foreground), [soft, soft].concat());
        let hard = [0, 0, 0, 0, 255, 255, 255, 255, 9, 9];
        assert_eq!(rendered(MaskFormat::HardForeground), [hard, hard].concat());
    }

    #[test]
    fn regions_are_stacked() {
        let out = rendered(MaskFormat::Regions);
        assert_eq!(out.len(), 60);
        assert_eq!(out[..8], [255, 255, 223, 159, 96, 32, 0, 0]);
        assert_eq!(out[40 + 7], 64);
        assert_eq!((out[0], out[20], out[20 + 7]), (255, 0, 191));
    }
}
