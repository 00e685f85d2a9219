//! Training batches: crop, flip, noise (Eq. 1).

use std::borrow::Cow;
use std::sync::Arc;

use factorseg_model::{NoiseSchedule, SegmentError};
use rand::Rng;
use rand_distr::StandardNormal;
use thiserror::Error;

use super::cache::{ImageCache, TooManyBroken};
use super::decode::Pixels;
use super::jitter::Jitter;
use super::order::{Order, Stream, random, random_part};
use super::share::Share;
use super::teacher::Teacher;
use crate::recipe::{Augmentation, Crop, Recipe};

/// Why there is no batch.
#[derive(Debug, Error)]
pub enum BatchError {
    /// More images are broken than the run accepts.
    #[error(transparent)]
    Broken(#[from] TooManyBroken),
    /// The teacher failed.
    #[error("the teacher failed: {0}")]
    Teacher(#[from] SegmentError),
}

/// A part of a batch that goes through the network at once.
#[derive(Debug, Clone, PartialEq)]
pub struct MicroBatch {
    /// Number of images.
    pub size: usize,
    /// Noised images `x_t`, `[size, 3, side, side]`.
    pub noised: Vec<f32>,
    /// The noise `epsilon` that the network has to find, same shape.
    pub noise: Vec<f32>,
    /// Timesteps `t`, 1-based.
    pub timesteps: Vec<i32>,
    /// Class indices; the number of classes stands for `none`. Empty without classes.
    pub classes: Vec<i32>,
    /// The teacher's masks, `[size, K, side, side]`. Empty without a teacher.
    pub targets: Vec<f32>,
}

/// What one process computes of an optimizer step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// 0-based step that this batch belongs to.
    pub step: u64,
    /// Index of the first of `parts` within the whole batch.
    pub first: usize,
    /// Its micro-batches.
    pub parts: Vec<MicroBatch>,
}

/// Builds the batch of any step from the seed and the step's number alone.
#[derive(Debug)]
pub struct BatchMaker {
    /// Seed of the run.
    pub seed: u64,
    /// Side of the training square in pixels.
    pub side: usize,
    /// Number of classes, 0 without.
    pub classes: usize,
    /// Noise schedule of the model.
    pub schedule: NoiseSchedule,
    /// Phases, batch sizes, augmentation.
    pub recipe: Recipe,
    /// Which micro-batches of a step are made.
    pub share: Share,
    /// Whose masks are learned, where the recipe is one of self-training.
    pub teacher: Option<Arc<Teacher>>,
}

impl BatchMaker {
    /// Shorter side that images are cached at, in pixels.
    pub fn cached_side(side: usize, augmentation: &Augmentation) -> usize {
        ((side as f64 * augmentation.crop_scale).round() as usize).max(side)
    }

    /// The batch of `step`, or this process's share of it. A broken image is replaced by the next good one in the set's order.
    ///
    /// # Errors
    /// When more images are broken than the run accepts, or the teacher fails.
    pub fn make(&self, step: u64, order: &mut Order, images: &ImageCache) -> Result<Batch, BatchError> {
        let (phase, _) = self.recipe.phase_at(step);
        let timesteps = self.recipe.phases[phase].timesteps;
        let size = self.recipe.batch_size;
        let part_size = self.recipe.micro_batch.unwrap_or(size);
        let range = self.share.range(size.div_ceil(part_size));
        let first = range.start;
        let mut parts = Vec::with_capacity(range.len());
        for index in range {
            let position = step * size as u64 + (index * part_size) as u64;
            let size = part_size.min(size - index * part_size);
            let values = size * 3 * self.side * self.side;
            let mut part = MicroBatch {
                size,
                noised: Vec::with_capacity(values),
                noise: Vec::with_capacity(values),
                timesteps: Vec::with_capacity(size),
                classes: Vec::new(),
                targets: Vec::new(),
            };
            for position in position..position + size as u64 {
                let place = self.place(images, order.image(position), position);
                let (index, pixels) = good_image(images, place)?;
                let pixels = match &self.teacher {
                    Some(teacher) => teacher.shown(Some(index), &pixels)?,
                    None => Cow::Borrowed(&*pixels),
                };
                self.add(&mut part, position, &pixels, images.class(index), timesteps)?;
            }
            parts.push(part);
        }
        Ok(Batch { step, first, parts })
    }

    /// The image of `position`, where the order of all has `image`: one of another kind where the recipe says how many are
    /// frames of videos.
    fn place(&self, images: &ImageCache, image: usize, position: u64) -> usize {
        match &self.recipe.self_training {
            Some(learns) if self.recipe.learns_from_motion() => {
                let moves = random_part(self.seed, Stream::Sample, position, 2).random::<f64>() < learns.motion;
                images.of_kind(moves, image)
            }
            _ => image,
        }
    }

    fn add(
        &self,
        part: &mut MicroBatch,
        position: u64,
        pixels: &Pixels,
        class: Option<usize>,
        timesteps: (usize, usize),
    ) -> Result<(), SegmentError> {
        let mut random = random(self.seed, Stream::Sample, position);
        let augmentation = &self.recipe.augmentation;
        // Every sample draws the same numbers in the same order, whatever the options.
        let (across, down) = (random.random::<f64>(), random.random::<f64>());
        let flip = random.random::<f64>() < augmentation.flip;
        let no_class = random.random::<f64>() < self.recipe.label_dropout;
        let timestep = random.random_range(timesteps.0..=timesteps.1);
        let cut = match augmentation.zoom {
            true => {
                // A stream of its own: what is drawn without zoom stays what it is.
                let part = random_part(self.seed, Stream::Sample, position, 1).random::<f64>();
                let largest = pixels.width.min(pixels.height) as f64 / self.side as f64;
                (self.side as f64 * largest.powf(part)).round() as usize
            }
            false => self.side,
        };
        let (left, top) = match augmentation.crop {
            Crop::Centre => ((pixels.width - cut) / 2, (pixels.height - cut) / 2),
            Crop::Random => (
                (across * (pixels.width - cut + 1) as f64) as usize,
                (down * (pixels.height - cut + 1) as f64) as usize,
            ),
        };
        let zoomed;
        let (pixels, left, top) = match cut == self.side {
            true => (pixels, left, top),
            false => {
                zoomed = pixels.clone().square((left, top), cut, self.side);
                (&zoomed, 0, 0)
            }
        };
        let values = 3 * self.side * self.side;
        let start = part.noise.len();
        normal(&mut random, values, &mut part.noise);
        let (image_part, noise_part) = self.schedule.mix(timestep);
        let mut picture = Vec::with_capacity(values);
        square(pixels, left, top, self.side, flip, |value| picture.push(value));
        if let (Some(teacher), Some(self_training)) = (&self.teacher, &self.recipe.self_training) {
            let object = object_square(pixels, left, top, self.side, flip);
            part.targets
                .extend(teacher.targets(&picture, object.as_deref(), self.side)?);
            Jitter::random(self_training.jitter as f32, &mut random).apply(&mut picture);
        }
        let noised = picture.iter().zip(&part.noise[start..]);
        part.noised
            .extend(noised.map(|(value, noise)| image_part as f32 * value + noise_part as f32 * noise));
        part.timesteps.push(timestep as i32);
        if self.classes > 0 {
            let class = if no_class {
                self.classes
            } else {
                class.unwrap_or(self.classes)
            };
            part.classes.push(class as i32);
        }
        Ok(())
    }
}

fn good_image(images: &ImageCache, first: usize) -> Result<(usize, std::sync::Arc<Pixels>), TooManyBroken> {
    let mut index = first;
    loop {
        if let Some(pixels) = images.get(index)? {
            return Ok((index, pixels));
        }
        index = (index + 1) % images.len();
        if index == first {
            return Err(TooManyBroken {
                count: images.len(),
                limit: images.len() - 1,
                path: "every image of the data".into(),
                reason: "none can be decoded".into(),
            });
        }
    }
}

/// Calls `put` with the values of the square at (`left`, `top`), channel by channel, with pixels
/// scaled to `x / 127.5 - 1`.
fn square(pixels: &Pixels, left: usize, top: usize, side: usize, flip: bool, mut put: impl FnMut(f32)) {
    for channel in 0..3 {
        for y in top..top + side {
            for x in 0..side {
                let x = left + if flip { side - 1 - x } else { x };
                put(f32::from(pixels.data[(y * pixels.width + x) * 3 + channel]) / 127.5 - 1.0);
            }
        }
    }
}

/// How surely the pixels of a square are the object, 0 to 1, where that is known.
fn object_square(pixels: &Pixels, left: usize, top: usize, side: usize, flip: bool) -> Option<Vec<f32>> {
    let object = pixels.object.as_ref()?;
    let rows = (top..top + side).flat_map(|y| {
        let row = &object[y * pixels.width + left..][..side];
        (0..side).map(move |x| row[if flip { side - 1 - x } else { x }])
    });
    Some(rows.map(|value| f32::from(value) / 255.0).collect())
}

/// The middle square of an image, `[3, side, side]` in -1..=1, and how surely its pixels are the object, 0 to 1, where that is
/// known.
pub fn centre_square(pixels: &Pixels, side: usize) -> (Vec<f32>, Option<Vec<f32>>) {
    let (left, top) = ((pixels.width - side) / 2, (pixels.height - side) / 2);
    let mut values = Vec::with_capacity(3 * side * side);
    square(pixels, left, top, side, false, |value| values.push(value));
    (values, object_square(pixels, left, top, side, false))
}

/// Appends `count` standard normal numbers.
pub fn normal(random: &mut impl Rng, count: usize, into: &mut Vec<f32>) {
    into.extend(random.sample_iter::<f32, _>(StandardNormal).take(count));
}

#[cfg(test)]
mod tests;
