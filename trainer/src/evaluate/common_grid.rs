//! All masks of a data set on one grid, whatever the sizes of their images.

use super::assignment::labels;
use crate::training::monitor::MaskFigures;

/// Side of the grid; as in [`super::baselines::FixedMask::Grid`].
const GRID: usize = 64;

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

    /// Adds the masks of an image, `[regions, height, width]`.
    pub fn add(&mut self, probabilities: &[f32], width: usize, height: usize) {
        for plane in probabilities.chunks_exact(width * height) {
            for cell in 0..GRID * GRID {
                let (x, y) = (cell % GRID, cell / GRID);
                self.masks
                    .push(plane[(2 * y + 1) * height / (2 * GRID) * width + (2 * x + 1) * width / (2 * GRID)]);
            }
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
