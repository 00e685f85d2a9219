//! Images that are never trained on, noised once and for all: progress is watched on them.

use std::borrow::Cow;

use anyhow::Result;
use factorseg_model::NoiseSchedule;
use factorseg_model::softmax::softmax;

use crate::data::batch::{centre_square, normal};
use crate::data::cache::ImageCache;
use crate::data::decode::Pixels;
use crate::data::order::{Stream, random};
use crate::data::teacher::Teacher;
use crate::training::competition::regions;
use crate::training::learner::Learner;

/// Held-out images at one noise level.
#[derive(Debug)]
pub struct HeldOut {
    /// Clean images, `[count, 3, side, side]` in -1..=1.
    pub images: Vec<f32>,
    noised: Vec<f32>,
    /// Class of each image; empty in a model without classes.
    pub classes: Vec<i32>,
    /// The teacher's masks of all images, `[count, K, side, side]`; empty without a teacher.
    pub targets: Vec<f32>,
    timestep: usize,
    /// Side in pixels.
    pub side: usize,
    /// Number of images.
    pub count: usize,
}

impl HeldOut {
    /// Reads the images (broken ones are left out), brings them to `side` from the size that the cache has them in, noises them at `timestep`, and asks the teacher for their masks.
    ///
    /// # Errors
    /// If too many of them are broken, or the teacher fails.
    pub fn new(
        cache: &ImageCache,
        side: usize,
        classes: usize,
        schedule: &NoiseSchedule,
        timestep: usize,
        seed: u64,
        teacher: Option<&Teacher>,
    ) -> Result<Self> {
        let mut held_out = Self {
            images: Vec::new(),
            noised: Vec::new(),
            classes: Vec::new(),
            targets: Vec::new(),
            timestep,
            side,
            count: 0,
        };
        let (image_part, noise_part) = schedule.mix(timestep);
        for index in 0..cache.len() {
            let Some(pixels) = cache.get(index)? else { continue };
            let pixels = match teacher {
                Some(teacher) => teacher.shown(None, &pixels)?,
                None => Cow::Borrowed(&*pixels),
            };
            let pixels = smaller(&pixels, side);
            let (image, object) = centre_square(&pixels, side);
            if let Some(teacher) = teacher {
                held_out
                    .targets
                    .extend(teacher.targets(&image, object.as_deref(), side)?);
            }
            let mut noise = Vec::with_capacity(image.len());
            normal(
                &mut random(seed, Stream::HeldOut, index as u64),
                image.len(),
                &mut noise,
            );
            held_out.noised.extend(
                image
                    .iter()
                    .zip(noise)
                    .map(|(x, e)| image_part as f32 * x + noise_part as f32 * e),
            );
            held_out.images.extend(image);
            if classes > 0 {
                held_out.classes.push(cache.class(index).unwrap_or(classes) as i32);
            }
            held_out.count += 1;
        }
        Ok(held_out)
    }

    /// Mask logits of all images.
    fn logits(&self, learner: &mut Learner, weights: &[f32]) -> Result<Vec<f32>> {
        let timesteps = vec![self.timestep as i32; self.count];
        learner.mask_logits(weights, &self.noised, &timesteps, &self.classes)
    }

    /// Masks of all images by other weights of the network, `[count, K, side, side]`, flat.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn masks(&self, learner: &mut Learner, weights: &[f32]) -> Result<Vec<f32>> {
        let mut masks = self.logits(learner, weights)?;
        let regions = masks.len() / (self.count * self.side * self.side).max(1);
        softmax(&mut masks, self.count, regions);
        Ok(masks)
    }

    /// Mean and scale of each region's zero-sum logits for a head that gives each region its share of all images together;
    /// `None` without images.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn share_statistics(
        &self,
        learner: &mut Learner,
        weights: &[f32],
        shares: &[f64],
    ) -> Result<Option<Vec<(f64, f64)>>> {
        if self.count == 0 {
            return Ok(None);
        }
        let logits = self.logits(learner, weights)?;
        Ok(Some(regions::head_statistics(&logits, self.side * self.side, shares)))
    }
}

/// The picture with a shorter side of `side`, as a packed file of the training size would give it.
fn smaller(pixels: &Pixels, side: usize) -> Cow<'_, Pixels> {
    match pixels.width.min(pixels.height) <= side {
        true => Cow::Borrowed(pixels),
        false => Cow::Owned(pixels.clone().prepared(side)),
    }
}
