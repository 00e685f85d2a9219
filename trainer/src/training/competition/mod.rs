//! Regions compete for the picture: the branches' pictures, their losses, and what follows for the masks. See
//! [`Competition`]. [`regions`] makes the masks, [`sight`] says what each branch sees.

pub mod regions;
mod sight;

use anyhow::Result;
use factorseg_kernels::Masks;
use factorseg_model::NoiseSchedule;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::learner::{DECODER, Learner, MASK_GENERATOR, WholePart};
use super::watching::timing::{self, Part};
use crate::data::batch::{MicroBatch, normal};
use crate::recipe::Competition;
use regions::Regions;
use sight::Sights;

/// Forward and backward of one micro-batch: returns its loss times `weight`, whose gradient is added, and the masks.
pub fn pass(
    learner: &mut Learner,
    part: &MicroBatch,
    competition: &Competition,
    temperature: f64,
    weight: f64,
    chance: &mut ChaCha8Rng,
    whole: &mut WholePart<'_>,
) -> Result<(f64, Option<Vec<f32>>)> {
    timing::start();
    let (network, schedule) = (learner.network.as_mut(), &learner.schedule);
    // The masks' gradient comes from the branches: the masks' pass waits for them.
    network.exchange()?;
    network.encode(&part.noised, &part.timesteps, &part.classes)?;
    let logits = network.mask_logits()?;
    let shares = shares(competition, learner.regions, chance);
    let regions = Regions::new(&logits, part.noised.len() / (3 * part.size), &shares, temperature);
    network.exchange()?;
    let branches = Branches::new(part, &regions, competition, schedule, chance);
    network.encode(&branches.noised, &branches.timesteps, &branches.classes)?;
    let mut found = branches.compare(&network.decode(Masks::Uniform)?, &regions, competition);
    let scale = |slopes: &mut [f32]| slopes.iter_mut().for_each(|slope| *slope *= weight as f32);
    scale(&mut found.slopes);
    timing::lap(Part::Forward);
    network.backward_decode(&found.slopes)?;
    whole(network, DECODER)?;
    network.backward_encode()?;
    network.exchange()?;
    scale(&mut found.mask_slopes);
    network.backward_masks(&regions.logit_slopes(found.mask_slopes))?;
    whole(network, MASK_GENERATOR)?;
    network.backward_encode()?;
    network.exchange()?;
    timing::lap(Part::Backward);
    Ok((found.loss * weight, Some(regions.masks().to_vec())))
}

/// Shares of the regions in the next micro-batch.
pub fn shares(competition: &Competition, regions: usize, chance: &mut ChaCha8Rng) -> Vec<f64> {
    let (least, most) = competition.foreground;
    with_foreground(competition, chance.random_range(least..=most), regions)
}

/// Shares of the regions in the head of a finished model.
pub fn exported_shares(competition: &Competition, regions: usize) -> Vec<f64> {
    let (least, most) = competition.foreground;
    with_foreground(competition, (least + most) / 2.0, regions)
}

/// The background's share, then equal parts of the foreground's, then that of the bottom.
fn with_foreground(competition: &Competition, foreground: f64, regions: usize) -> Vec<f64> {
    let parts = competition.foreground_regions(regions);
    let mut shares = vec![competition.bottom; regions];
    shares[0] = 1.0 - foreground - competition.bottom;
    shares[parts.clone()].fill(foreground / parts.len() as f64);
    shares
}

/// What the branches see and must find: all images of region 0's branch, then those of the next.
#[derive(Debug)]
pub struct Branches {
    /// Pictures whose noise varies from place to place, `[K images, 3, side, side]`.
    pub noised: Vec<f32>,
    /// Noise level of the hidden blocks, `[K images]`.
    pub timesteps: Vec<i32>,
    /// Classes, `[K images]`, or empty.
    pub classes: Vec<i32>,
    /// The noise of the hidden blocks, `[images, 3, pixels]`.
    noise: Vec<f32>,
    /// Whether a pixel is hidden, `[images, pixels]`.
    hidden: Vec<bool>,
}

impl Branches {
    /// Of a micro-batch whose masks are those of `regions`.
    pub fn new(
        part: &MicroBatch,
        regions: &Regions,
        competition: &Competition,
        schedule: &NoiseSchedule,
        chance: &mut ChaCha8Rng,
    ) -> Self {
        let images = part.size;
        let pixels = part.noised.len() / (3 * images);
        let side = pixels.isqrt();
        let hidden = hidden_blocks(images, side, competition, chance);
        let sights = Sights::new(competition, side);
        let (first, last) = competition.timesteps;
        let last = last.min(schedule.timesteps());
        let timesteps: Vec<i32> = (0..images)
            .map(|_| chance.random_range(first.min(last)..=last) as i32)
            .collect();
        let mut noise = Vec::with_capacity(part.noised.len());
        normal(chance, part.noised.len(), &mut noise);
        let mut noised = Vec::with_capacity(regions.count() * part.noised.len());
        normal(chance, regions.count() * part.noised.len(), &mut noised);
        for image in 0..images {
            let (image_part, noise_part) = schedule.mix(part.timesteps[image] as usize);
            let (hidden_image, hidden_noise) = schedule.mix(timesteps[image] as usize);
            let seen = sights.of(regions, image);
            for channel in 0..3 {
                for pixel in 0..pixels {
                    let at = (image * 3 + channel) * pixels + pixel;
                    // The clean picture, from the noise that the mask generator's input was made with.
                    let clean = (f64::from(part.noised[at]) - noise_part * f64::from(part.noise[at])) / image_part;
                    let own = f64::from(noise[at]);
                    let plain = image * pixels + pixel;
                    for region in 0..regions.count() {
                        let value = &mut noised[region * part.noised.len() + at];
                        if hidden[plain] {
                            *value = (hidden_image * clean + hidden_noise * own) as f32;
                        } else if seen[region * pixels + pixel] {
                            *value = (image_part * clean + noise_part * own) as f32;
                        }
                    }
                }
            }
        }
        Self {
            noised,
            timesteps: timesteps.repeat(regions.count()),
            classes: part.classes.repeat(regions.count()),
            noise,
            hidden,
        }
    }

    /// Loss of the branches' predictions `[K images, 3, side, side]`, its gradient by them, and the gradient by the masks.
    ///
    /// The gradient by the masks is the branches' losses, gathered over the neighbourhood, and scaled so that its mean size
    /// does not depend on how well the denoiser does.
    pub fn compare(&self, predicted: &[f32], regions: &Regions, competition: &Competition) -> Comparison {
        let (count, values) = (regions.count(), self.noise.len());
        let pixels = values / 3 / (self.timesteps.len() / count);
        let side = pixels.isqrt();
        let hidden = || self.hidden.iter().enumerate().filter(|(_, hidden)| **hidden);
        let total = hidden().count().max(1) as f64;
        let mut loss = 0.0;
        let mut slopes = vec![0.0; predicted.len()];
        let mut errors = vec![0.0; count * self.hidden.len()];
        for (plain, _) in hidden() {
            let (image, pixel) = (plain / pixels, plain % pixels);
            for region in 0..count {
                let place = (image * count + region) * pixels + pixel;
                let mask = f64::from(regions.masks()[place]);
                let mut error = 0.0;
                for channel in 0..3 {
                    let at = (image * 3 + channel) * pixels + pixel;
                    let difference = f64::from(predicted[region * values + at] - self.noise[at]);
                    error += difference * difference / 3.0;
                    slopes[region * values + at] = (2.0 * mask * difference / (3.0 * total)) as f32;
                }
                loss += mask * error / total;
                errors[place] = error as f32;
            }
            // Only differences count: what all branches find hard is no evidence.
            let places = (0..count).map(|region| (image * count + region) * pixels + pixel);
            let mean = places.clone().map(|at| errors[at]).sum::<f32>() / count as f32;
            places.for_each(|at| errors[at] -= mean);
        }
        let deviation = competition.smoothing * side as f64;
        if deviation > 0.0 {
            for plane in errors.chunks_exact_mut(pixels) {
                smooth(plane, side, deviation);
            }
        }
        self.to_unit_size(&mut errors, count, pixels);
        Comparison {
            loss,
            slopes,
            mask_slopes: errors,
        }
    }

    /// Sets the values of seen pixels to 0 and scales the others so that their sizes sum to 1.
    fn to_unit_size(&self, values: &mut [f32], count: usize, pixels: usize) {
        let mut size = 1e-6;
        for (place, value) in values.iter_mut().enumerate() {
            if self.hidden[place / (count * pixels) * pixels + place % pixels] {
                size += f64::from(value.abs());
            } else {
                *value = 0.0;
            }
        }
        values
            .iter_mut()
            .for_each(|value| *value = (f64::from(*value) / size) as f32);
    }
}

/// What [`Branches::compare`] finds.
#[derive(Debug)]
pub struct Comparison {
    /// Mean over the hidden pixels of the branches' squared errors, weighted by the masks.
    pub loss: f64,
    /// Its gradient by the predictions, `[K images, 3, side, side]`.
    pub slopes: Vec<f32>,
    /// Gradient by the masks, `[images, K, pixels]`.
    pub mask_slopes: Vec<f32>,
}

/// Blocks of a grid that lies anew in every micro-batch, `[images, pixels]`.
fn hidden_blocks(images: usize, side: usize, competition: &Competition, chance: &mut ChaCha8Rng) -> Vec<bool> {
    let block = ((competition.block * side as f64).round() as usize).clamp(1, side);
    let (left, top) = (chance.random_range(0..block), chance.random_range(0..block));
    let across = side / block + 2;
    let mut hidden = Vec::with_capacity(images * side * side);
    for _ in 0..images {
        let blocks: Vec<bool> = (0..across * across)
            .map(|_| chance.random::<f64>() < competition.hidden)
            .collect();
        for y in 0..side {
            hidden.extend((0..side).map(|x| blocks[(y + top) / block * across + (x + left) / block]));
        }
    }
    hidden
}

/// Convolves a square with a Gaussian, its border repeated.
fn smooth(plane: &mut [f32], side: usize, deviation: f64) {
    let reach = (3.0 * deviation).ceil() as isize;
    let weights: Vec<f64> = (-reach..=reach)
        .map(|d| (-((d * d) as f64) / (2.0 * deviation * deviation)).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    let mut line = vec![0.0; side];
    let mut pass = |start: usize, step: usize| {
        for (at, value) in line.iter_mut().enumerate() {
            let sum: f64 = (-reach..=reach)
                .zip(&weights)
                .map(|(d, weight)| {
                    let from = (at as isize + d).clamp(0, side as isize - 1) as usize;
                    weight * f64::from(plane[start + from * step])
                })
                .sum();
            *value = (sum / total) as f32;
        }
        for (at, value) in line.iter().enumerate() {
            plane[start + at * step] = *value;
        }
    };
    for row in 0..side {
        pass(row * side, 1);
    }
    for column in 0..side {
        pass(column, side);
    }
}

#[cfg(test)]
mod tests;
