//! Labelled pictures as training data of the supervised network. See [`crate::recipe::Labels`].

use std::path::Path;

use anyhow::{Error, Result, ensure};
use image::RgbImage;

use super::decode::{centre_square, prepare};
use super::packing::write_pack;
use crate::evaluate::items::Items;
use crate::evaluate::metrics::Truth;
use crate::evaluate::parts::{PartClass, PartedImages};
use crate::evaluate::still::LabelledImages;
use crate::recipe::Labels;

/// The class of pixels that are not learned.
const VOID: u8 = 255;

/// Packs the pictures of `folder` that `evaluate` fits on as squares of `side` pixels, each pixel with the index of its class in
/// the place of the object.
///
/// # Errors
/// If the folder is no labelled set, or the file cannot be written.
pub fn pack_labelled(folder: &Path, labels: &Labels, side: usize, out: &Path) -> Result<()> {
    let mut pictures = Vec::new();
    let mut add = |picture: RgbImage, classes: &[u8]| {
        let size = (picture.width() as usize, picture.height() as usize);
        let mut pixels = centre_square(prepare(picture.into(), side));
        pixels.object = Some(square(classes, size, side));
        pictures.push(pixels);
    };
    let fit = |items: &Items| -> Vec<usize> { (0..items.all.len()).filter(|index| items.all[*index].fit).collect() };
    if labels.classes.is_empty() {
        let images = LabelledImages::of(Items::open(folder, labels.maps(), None)?)?;
        let class = |truth: &Truth| match truth {
            Truth::Background => 0,
            Truth::Foreground => 1,
            Truth::Ignored => VOID,
        };
        for index in fit(&images.items) {
            let (picture, truth) = images.read(index)?;
            add(picture, &truth.pixels.iter().map(class).collect::<Vec<_>>());
        }
    } else {
        let parts: Result<Vec<PartClass>, String> = labels.classes.iter().map(|class| class.parse()).collect();
        let images = PartedImages::open(folder, labels.maps(), &parts.map_err(Error::msg)?, None)?;
        for index in fit(&images.items) {
            let (picture, classes) = images.read(index)?;
            add(picture, &classes);
        }
    }
    ensure!(
        !pictures.is_empty(),
        "{} has no pictures to learn from",
        folder.display()
    );
    Ok(write_pack(out, side, &pictures)?)
}

/// The middle square of a map of `size`, the nearest class for each of `side` by `side` pixels.
fn square(classes: &[u8], (width, height): (usize, usize), side: usize) -> Box<[u8]> {
    let cut = width.min(height);
    let at = |place: usize, length: usize| (length - cut) / 2 + (2 * place + 1) * cut / (2 * side);
    let rows = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
    rows.map(|(x, y)| classes[at(y, height) * width + at(x, width)])
        .collect()
}
