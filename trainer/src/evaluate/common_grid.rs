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

pub struct CommonGrid {
    regions: usize,
    masks: Vec<f32>,
    images: usize,
}

impl CommonGrid {
    pub fn new(regions: usize) -> Self {
        Self {
            regions,
            masks: Vec::new(),
            images: 0,
        }
    }

    /// Adds the masks of an image.
    pub fn add(&mut self, map: &RegionMap) {
        for plane in map.probabilities.chunks_exact(map.width * map.height) {
            self.masks.extend(cells(map.width, map.height).map(|at| plane[at]));
        }
        self.images += 1;
    }

    /// The winners of the mean mask, `[GRID, GRID]`.
    pub fn labels(&self) -> Vec<u8> {
        let mut mean = vec![0.0f32; self.regions * GRID * GRID];
        for mask in self.masks.chunks_exact(mean.len()) {
            for (sum, value) in mean.iter_mut().zip(mask) {
                *sum += value;
            }
        }
        labels(&mean, self.regions)
    }

    pub fn figures(&self) -> MaskFigures {
        MaskFigures::of(&self.masks, self.images, self.regions)
    }
}
