//! The model's regions of all images of a data set, of which some are fitted on and the others scored.

use anyhow::Result;
use factorseg_model::Engine;
use image::RgbImage;

use super::assignment::labels;
use super::common_grid::CommonGrid;
use super::segment::{Passes, segment};

/// One in so many images is fitted on.
const FIT_EVERY: usize = 5;

/// Images that are segmented at once.
const BATCH: usize = 8;

/// What a model made of the images of a data set.
pub struct Predictions {
    /// The regions of each image, `[height, width]`.
    pub regions: Vec<Vec<u8>>,
    /// All masks on one grid.
    pub common: CommonGrid,
    /// Indices of the images that are fitted on.
    pub fit: Vec<usize>,
    /// Indices of the others.
    pub test: Vec<usize>,
}

impl Predictions {
    /// Segments `pictures`; `progress` hears how many are done.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn of(
        engine: &mut dyn Engine,
        passes: &Passes,
        pictures: &[&RgbImage],
        mut progress: impl FnMut(usize),
    ) -> Result<Self> {
        let count = engine.info().regions;
        let (mut regions, mut common) = (Vec::with_capacity(pictures.len()), CommonGrid::new(count));
        for batch in pictures.chunks(BATCH) {
            for map in segment(engine, batch, passes)? {
                common.add(&map);
                regions.push(labels(&map.probabilities, count));
            }
            progress(regions.len());
        }
        let (fit, test) = (0..pictures.len()).partition(|index| index % FIT_EVERY == 0);
        Ok(Self {
            regions,
            common,
            fit,
            test,
        })
    }
}
