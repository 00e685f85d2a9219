//! The model's regions of the images of a data set, one after the other: what is kept of them does not grow with the set.

use anyhow::Result;
use factorseg_model::Engine;
use image::RgbImage;

use super::assignment::labels;
use super::common_grid::CommonGrid;
use super::segment::{Passes, batches, segment};

/// Images that are segmented at once.
const BATCH: usize = 8;

/// Segments pictures as they come, each with its truth; `each` gets them with their regions, `[height, width]`, and `common` adds
/// up their masks.
///
/// # Errors
/// If a picture cannot be read or the engine fails.
pub fn predict<T>(
    engine: &mut dyn Engine,
    passes: &Passes,
    images: impl Iterator<Item = Result<(RgbImage, T)>>,
    common: &mut CommonGrid,
    mut each: impl FnMut(RgbImage, T, Vec<u8>),
) -> Result<()> {
    let count = engine.info().regions;
    for batch in batches(images, BATCH) {
        let (pictures, truths): (Vec<_>, Vec<_>) = batch?.into_iter().unzip();
        let maps = segment(engine, &pictures, passes)?;
        for ((picture, truth), map) in pictures.into_iter().zip(truths).zip(maps) {
            common.add(&map);
            each(picture, truth, labels(&map.probabilities, count));
        }
    }
    Ok(())
}
