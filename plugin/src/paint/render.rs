//! Masks as pictures of the frame's size: what the pads `mask_%u` carry.
//!
//! Probabilities are interpolated bilinearly before a winner is taken, so that borders of labels are smooth.

use factorseg_model::RegionMap;

use crate::paint::layers::{Place, places};

/// What a mask picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// The number of the region that wins, from 1.
    Labels,
    /// Probability of the foreground, 0 to 255.
    Foreground,
    /// 255 where the foreground is more probable than the rest, else 0.
    HardForeground,
    /// Probability of each region, 0 to 255, one picture below the other.
    Regions,
}

impl Picture {
    /// Rows of the picture for a frame of `height` rows.
    pub fn height(self, height: usize, regions: usize) -> usize {
        match self {
            Picture::Regions => height * regions,
            _ => height,
        }
    }
}

/// One region's probabilities, row by row at the frame's width.
struct Spread<'a> {
    values: &'a [f32],
    grid_width: usize,
    columns: &'a [Place],
    /// The grid's rows that are spread now.
    rows: [(Option<usize>, Vec<f32>); 2],
}

impl<'a> Spread<'a> {
    fn new(values: &'a [f32], grid_width: usize, columns: &'a [Place]) -> Self {
        let row = || (None, vec![0.0; columns.len()]);
        Self {
            values,
            grid_width,
            columns,
            rows: [row(), row()],
        }
    }

    fn load(&mut self, slot: usize, grid_row: usize) {
        let (loaded, out) = &mut self.rows[slot];
        if *loaded == Some(grid_row) {
            return;
        }
        *loaded = Some(grid_row);
        let row = &self.values[grid_row * self.grid_width..(grid_row + 1) * self.grid_width];
        for (out, place) in out.iter_mut().zip(self.columns) {
            *out = row[place.first] + (row[place.second] - row[place.first]) * place.fraction;
        }
    }

    /// The probabilities of a row of the frame.
    fn row(&mut self, place: &Place, out: &mut [f32]) {
        if self.rows[0].0 != Some(place.first) {
            self.rows.swap(0, 1);
            self.load(0, place.first);
        }
        self.load(1, place.second);
        let [(_, top), (_, bottom)] = &self.rows;
        for ((out, top), bottom) in out.iter_mut().zip(top).zip(bottom) {
            *out = top + (bottom - top) * place.fraction;
        }
    }
}

/// Renders a mask at `width` x `height` into rows `stride` bytes apart.
///
/// `out` must hold `stride * picture.height(height, map.regions)` bytes; what lies beside the picture is not
/// written.
pub fn render(
    map: &RegionMap,
    picture: Picture,
    is_foreground: &[bool],
    (width, height): (usize, usize),
    stride: usize,
    out: &mut [u8],
) {
    let columns = places(width, width as f64, map.width);
    let rows = places(height, height as f64, map.height);
    let cells = map.width * map.height;
    let spread = |values| Spread::new(values, map.width, &columns);
    let region = |region: usize| spread(&map.probabilities[region * cells..(region + 1) * cells]);
    let byte = |p: f32| (p * 255.0 + 0.5) as u8;
    let mut values = vec![0.0; width];
    match picture {
        Picture::Regions => {
            for index in 0..map.regions {
                let mut region = region(index);
                for (y, place) in rows.iter().enumerate() {
                    region.row(place, &mut values);
                    let at = (index * height + y) * stride;
                    for (out, p) in out[at..at + width].iter_mut().zip(&values) {
                        *out = byte(*p);
                    }
                }
            }
        }
        Picture::Foreground | Picture::HardForeground => {
            let sum = crate::paint::overlay::foreground(map, is_foreground);
            let mut foreground = spread(&sum);
            for (y, place) in rows.iter().enumerate() {
                foreground.row(place, &mut values);
                for (out, p) in out[y * stride..][..width].iter_mut().zip(&values) {
                    *out = match picture {
                        Picture::Foreground => byte(*p),
                        _ if *p > 0.5 => 255,
                        _ => 0,
                    };
                }
            }
        }
        Picture::Labels => {
            let mut regions: Vec<Spread<'_>> = (0..map.regions).map(region).collect();
            let mut best = vec![0.0f32; width];
            for (y, place) in rows.iter().enumerate() {
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
        RegionMap {
            regions: 3,
            width: 2,
            height: 1,
            probabilities: vec![1.0, 0.0, 0.0, 0.75, 0.0, 0.25],
        }
    }

    fn rendered(picture: Picture) -> Vec<u8> {
        let mut out = vec![9; 10 * picture.height(2, 3)];
        render(&map(), picture, &[false, true, true], (8, 2), 10, &mut out);
        out
    }

    #[test]
    fn labels_count_from_one_and_change_where_another_region_leads() {
        // Region 1 falls from 1 at column 1.5 to 0 at column 5.5, region 2 rises to 0.75: they meet at 3.79.
        let row = [1, 1, 1, 1, 2, 2, 2, 2, 9, 9];
        assert_eq!(rendered(Picture::Labels), [row, row].concat());
    }

    #[test]
    fn the_foreground_is_the_sum_of_its_regions() {
        let soft = [0, 0, 32, 96, 159, 223, 255, 255, 9, 9];
        assert_eq!(rendered(Picture::Foreground), [soft, soft].concat());
        let hard = [0, 0, 0, 0, 255, 255, 255, 255, 9, 9];
        assert_eq!(rendered(Picture::HardForeground), [hard, hard].concat());
    }

    #[test]
    fn regions_are_stacked() {
        let out = rendered(Picture::Regions);
        assert_eq!(out.len(), 60);
        assert_eq!(out[..8], [255, 255, 223, 159, 96, 32, 0, 0]);
        assert_eq!(out[40 + 7], 64);
        assert_eq!((out[0], out[20], out[20 + 7]), (255, 0, 191));
    }
}
