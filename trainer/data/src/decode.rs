//! One image file to 8-bit RGB pixels of the training size.
//!
//! Resampling is guided-diffusion's, bit for bit: halve by averages while the shorter side is at
//! least twice the target, then one bicubic step. This keeps large photographs free of aliasing at
//! the cost of one pass over the pixels.

use std::path::Path;

use image::imageops;
use image::{DynamicImage, RgbImage};

pub use crate::picture::DecodeError;
use crate::picture::{decode_picture, open_picture};
use crate::resample::{Filter, halve, resize};

/// Longest side that is kept, in multiples of the shorter: bounds the memory of panoramas.
const LONGEST_ASPECT: u32 = 2;

/// 8-bit RGB pixels, row by row, `[height, width, 3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width * 3` values in 0..=255.
    pub data: Box<[u8]>,
    /// How surely each pixel is the object, `[height, width]` from 0 to 255, where that is known.
    pub object: Option<Box<[u8]>>,
}

impl Pixels {
    pub(crate) fn into_image(self) -> RgbImage {
        // The buffer has the size of the picture.
        RgbImage::from_raw(self.width as u32, self.height as u32, self.data.into_vec()).unwrap_or_default()
    }

    /// The picture as `shape` makes it, and the object with it.
    pub(crate) fn shaped(mut self, shape: impl Fn(RgbImage) -> RgbImage) -> Self {
        let (width, height) = (self.width as u32, self.height as u32);
        let object = self.object.take().map(|object| {
            let grey = object.iter().flat_map(|value| [*value; 3]).collect();
            let shaped = shape(RgbImage::from_raw(width, height, grey).unwrap_or_default());
            shaped.pixels().map(|pixel| pixel.0[0]).collect()
        });
        Self {
            object,
            ..shape(self.into_image()).into()
        }
    }

    /// Cropped to at most two to one and resampled, as [`read_image`] does.
    pub fn prepared(self, shorter_side: usize) -> Self {
        self.shaped(|image| {
            let (width, height) = image.dimensions();
            let kept = (width.min(LONGEST_ASPECT * height), height.min(LONGEST_ASPECT * width));
            resample(middle(image, kept), shorter_side as u32)
        })
    }

    /// The square of `cut` pixels at (`left`, `top`), resampled to `side`.
    pub fn square(self, (left, top): (usize, usize), cut: usize, side: usize) -> Self {
        let [left, top, cut, side] = [left, top, cut, side].map(|length| length as u32);
        self.shaped(|image| {
            let square = imageops::crop_imm(&image, left, top, cut, cut).to_image();
            resize(&square, side, side, Filter::Bicubic)
        })
    }
}

impl From<RgbImage> for Pixels {
    fn from(image: RgbImage) -> Self {
        Self {
            width: image.width() as usize,
            height: image.height() as usize,
            data: image.into_raw().into_boxed_slice(),
            object: None,
        }
    }
}

/// Reads an image file whose shorter side becomes `shorter_side`.
///
/// Transparency is dropped, grey becomes RGB, and of an image longer than two to one the middle is
/// kept.
///
/// # Errors
/// As [`open_picture`].
pub fn read_image(path: &Path, shorter_side: usize) -> Result<Pixels, DecodeError> {
    Ok(prepare(open_picture(path)?, shorter_side))
}

/// As [`read_image`], from the bytes of a file.
///
/// # Errors
/// As [`decode_picture`].
pub fn decode_image(bytes: &[u8], shorter_side: usize) -> Result<Pixels, DecodeError> {
    Ok(prepare(decode_picture(bytes)?, shorter_side))
}

/// Crops a decoded image to at most two to one and resamples it, as [`read_image`] does.
pub fn prepare(image: DynamicImage, shorter_side: usize) -> Pixels {
    Pixels::from(image.into_rgb8()).prepared(shorter_side)
}

/// The middle of an image, of a size that is not larger.
fn middle(image: RgbImage, (width, height): (u32, u32)) -> RgbImage {
    if (width, height) == image.dimensions() {
        return image;
    }
    let (left, top) = ((image.width() - width) / 2, (image.height() - height) / 2);
    imageops::crop_imm(&image, left, top, width, height).to_image()
}

fn resample(mut image: RgbImage, shorter_side: u32) -> RgbImage {
    while image.width().min(image.height()) >= 2 * shorter_side {
        image = halve(&image);
    }
    let (width, height) = image.dimensions();
    let scale = f64::from(shorter_side) / f64::from(width.min(height).max(1));
    let scaled = |side: u32| ((f64::from(side) * scale).round_ties_even() as u32).max(shorter_side);
    resize(&image, scaled(width), scaled(height), Filter::Bicubic)
}

/// The middle square.
pub fn centre_square(pixels: Pixels) -> Pixels {
    let side = pixels.width.min(pixels.height) as u32;
    pixels.shaped(|image| middle(image, (side, side)))
}

#[cfg(test)]
mod tests;
