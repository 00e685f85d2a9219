//! The model's masks of the images of a data set, one after the other: what is kept of them does not grow with the set.

use anyhow::Result;
use factorseg_model::{Engine, RegionMap};
use image::RgbImage;

use super::segment::{Passes, batches, segment};

/// Images that are segmented at once.
const BATCH: usize = 8;

/// Segments pictures as they come, each with its truth; `each` gets them with their masks.
///
/// # Errors
/// If a picture cannot be read or the engine fails.
pub fn predict<T>(
    engine: &mut dyn Engine,
    passes: &Passes,
    images: impl Iterator<Item = Result<(RgbImage, T)>>,
    mut each: impl FnMut(RgbImage, T, RegionMap),
) -> Result<()> {
    for batch in batches(images, BATCH) {
        let (pictures, truths): (Vec<_>, Vec<_>) = batch?.into_iter().unzip();
        let maps = segment(engine, &pictures, passes)?;
        for ((picture, truth), map) in pictures.into_iter().zip(truths).zip(maps) {
            each(picture, truth, map);
        }
    }
    Ok(())
}
