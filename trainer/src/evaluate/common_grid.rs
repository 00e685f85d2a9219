//! All masks of a data set on one grid, whatever the sizes of their images.

use factorseg_model::RegionMap;

use super::assignment::labels;
use crate::training::watching::monitor::MaskFigures;

/// Side of the grid.
pub const GRID: usize = 64;

/// Of an axis of `pixels` pixels the one in the middle of each of `cells` cells.
pub fn middles(cells: usize, pixels: usize) -> impl Iterator<Item = usize> + Clone {
    (0..cells).map(move |cell| (2 * cell + 1) * pixels / (2 * cells))
}

/// The pixels, in an image of a size, in the middle of the cells of the grid: `[GRID, GRID]`.
pub fn cells(width: usize, height: usize) -> impl Iterator<Item = usize> {
    let columns = middles(GRID, width);
    middles(GRID, height).flat_map(move |y| columns.clone().map(move |x| y * width + x))
}

/// Sums over the masks of images, from which their figures follow: memory does not grow with their number.
pub struct CommonGrid {
    regions: usize,
    images: usize,
    /// Of each region and cell: the sum, the running mean, and the sum of squares about it (Welford).
    sums: Vec<f32>,
    means: Vec<f64>,
    squares: Vec<f64>,
    largest: f64,
    entropy: f64,
}

impl CommonGrid {
    pub fn new(regions: usize) -> Self {
        let values = regions * GRID * GRID;
        Self {
            regions,
            images: 0,
            sums: vec![0.0; values],
            means: vec![0.0; values],
            squares: vec![0.0; values],
            largest: 0.0,
            entropy: 0.0,
        }
    }

    /// Adds the masks of an image.
    pub fn add(&mut self, map: &RegionMap) {
        let planes = map.probabilities.chunks_exact(map.width * map.height);
        let mask: Vec<f32> = planes
            .flat_map(|plane| cells(map.width, map.height).map(|at| plane[at]))
            .collect();
        self.images += 1;
        for (((value, sum), mean), squares) in mask
            .iter()
            .zip(&mut self.sums)
            .zip(&mut self.means)
            .zip(&mut self.squares)
        {
            *sum += value;
            let value = f64::from(*value);
            let from_mean = value - *mean;
            *mean += from_mean / self.images as f64;
            *squares += from_mean * (value - *mean);
            if value > 0.0 {
                self.entropy -= value * value.ln();
            }
        }
        for cell in 0..GRID * GRID {
            let values = mask.iter().skip(cell).step_by(GRID * GRID);
            self.largest += f64::from(values.copied().fold(0.0, f32::max));
        }
    }

    /// The winners of the mean mask, `[GRID, GRID]`.
    pub fn labels(&self) -> Vec<u8> {
        labels(&self.sums, self.regions)
    }

    /// What [`MaskFigures::of`] says of all masks together.
    pub fn figures(&self) -> MaskFigures {
        let (images, cells) = (self.images as f64, (GRID * GRID) as f64);
        let total = (images * cells).max(1.0);
        let shares: Vec<f64> = self
            .means
            .chunks_exact(GRID * GRID)
            .map(|means| means.iter().sum::<f64>() / cells)
            .collect();
        let (mut by_position, mut by_image) = (0.0, 0.0);
        for (at, (mean, squares)) in self.means.iter().zip(&self.squares).enumerate() {
            let variance = squares / (images - 1.0);
            by_image += variance;
            by_position += (mean - shares[at / (GRID * GRID)]).powi(2) - variance / images;
        }
        let by_position = by_position.max(0.0);
        let all = by_position + by_image;
        let varies = self.images > 1 && all / self.means.len() as f64 > 1e-12;
        MaskFigures {
            max_probability: self.largest / total,
            entropy: self.entropy
                / total
                / if self.regions > 1 {
                    (self.regions as f64).ln()
                } else {
                    1.0
                },
            positional: varies.then(|| by_position / all),
            shares,
        }
    }
}

#[cfg(test)]
mod tests;
