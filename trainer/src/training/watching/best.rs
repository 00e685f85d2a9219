//! Which checkpoint of a run is the best one, by the loss of pictures that are never trained on. No labels take part.

use std::cmp::Ordering;

use anyhow::Result;
use factorseg_model::softmax::softmax;
use factorseg_model::{ModelConfig, NoiseSchedule};
use serde::{Deserialize, Serialize};

use super::held_out::HeldOut;
use super::monitor::{Collapse, MaskFigures};
use crate::data::batch::{MicroBatch, normal};
use crate::data::order::{Stream, random};
use crate::recipe::{MaskHead, Phase};
use crate::training::competition::regions::Regions;
use crate::training::competition::{self, Branches};
use crate::training::learner::Learner;
use crate::training::self_training::cross_entropy;

/// How good a checkpoint is.
///
/// Phases train on different losses, so a checkpoint of a later phase is better than any of an earlier one. Within a phase
/// one whose held-out masks have not collapsed is better than one whose masks have: a network with one region for all, or
/// with undecided masks, is a plain denoiser and has a low loss. Then the lower loss wins, and of equal ones the later.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Index of the phase in the recipe.
    pub phase: usize,
    /// Whether a region takes all or nothing of the held-out images, or all masks are undecided. Masks that are the same
    /// for every picture do not count: that is a matter of degree, and a threshold would decide by chance.
    pub collapsed: bool,
    /// The phase's loss on the held-out images.
    pub loss: f64,
}

impl Score {
    /// How `self` ranks beside `other`: greater is better.
    pub fn rank(&self, other: &Self) -> Ordering {
        let by_phase = self.phase.cmp(&other.phase);
        let by_collapse = other.collapsed.cmp(&self.collapsed);
        by_phase.then(by_collapse).then(other.loss.total_cmp(&self.loss))
    }
}

/// The best of checkpoints given as step and score, in the order of their steps.
pub fn best<T: Copy>(scored: impl IntoIterator<Item = (T, Score)>) -> Option<(T, Score)> {
    scored.into_iter().reduce(|best, next| match next.1.rank(&best.1) {
        Ordering::Less => best,
        _ => next,
    })
}

/// Scores `weights` (the average with what is between logits and masks in its head, at the temperature that the phase ends with, so that
/// a falling temperature counts neither for a checkpoint nor against it) on the held-out images, `masks` of which are
/// given where they are learned. `None` without images, or where the loss is no number.
///
/// # Errors
/// If the images do not fit the network.
pub fn score(
    held_out: &HeldOut,
    learner: &mut Learner,
    weights: &[f32],
    model: &ModelConfig,
    phase: (usize, &Phase),
    masks: Option<&[f32]>,
    seed: u64,
) -> Result<Option<Score>> {
    let (index, phase) = phase;
    if held_out.count == 0 {
        return Ok(None);
    }
    let loss = loss(held_out, learner, weights, model, phase, seed)?;
    let figures = masks.map(|masks| MaskFigures::of(masks, held_out.count, model.regions));
    let collapsed = figures.is_some_and(|figures| {
        let collapses = figures.collapses();
        collapses.iter().any(|found| !matches!(found, Collapse::Bands { .. }))
    });
    Ok(loss.is_finite().then_some(Score {
        phase: index,
        collapsed,
        loss,
    }))
}

/// The phase's loss on the held-out images: the same noise, at timesteps that are spread evenly over the phase's, whenever
/// it is called.
fn loss(
    held_out: &HeldOut,
    learner: &mut Learner,
    weights: &[f32],
    model: &ModelConfig,
    phase: &Phase,
    seed: u64,
) -> Result<f64> {
    let schedule = NoiseSchedule::new(&model.schedule);
    let mut chance = random(seed, Stream::HeldOutLoss, 0);
    let part = noised(held_out, &schedule, phase.timesteps, &mut chance);
    let regions = model.regions;
    if !part.targets.is_empty() {
        let logits = learner.mask_logits(weights, &part.noised, &part.timesteps, &part.classes)?;
        return Ok(cross_entropy(&logits, &part.targets, regions, part.size).0);
    }
    if let Some(competition) = &phase.competition {
        let logits = learner.mask_logits(weights, &part.noised, &part.timesteps, &part.classes)?;
        let shares = competition::exported_shares(competition, regions);
        let temperature = phase.masks.temperature.to;
        let regions = Regions::new(&logits, held_out.side * held_out.side, &shares, temperature);
        let branches = Branches::new(&part, &regions, competition, &schedule, &mut chance);
        let predicted = learner.predict(weights, &branches.noised, &branches.timesteps, &branches.classes, None)?;
        return Ok(branches.compare(&predicted, &regions, competition).loss);
    }
    let masks = match phase.mask_head {
        MaskHead::Uniform => None,
        MaskHead::Released { .. } | MaskHead::Trained => {
            let mut masks = learner.mask_logits(weights, &part.noised, &part.timesteps, &part.classes)?;
            softmax(&mut masks, part.size, regions);
            Some(masks)
        }
    };
    let predicted = learner.predict(weights, &part.noised, &part.timesteps, &part.classes, masks.as_deref())?;
    let squares = predicted.iter().zip(&part.noise);
    let squares = squares.map(|(predicted, noise)| f64::from(predicted - noise).powi(2));
    Ok(squares.sum::<f64>() / part.noise.len() as f64)
}

/// The held-out images as one micro-batch.
fn noised(
    held_out: &HeldOut,
    schedule: &NoiseSchedule,
    timesteps: (usize, usize),
    chance: &mut rand_chacha::ChaCha8Rng,
) -> MicroBatch {
    let (first, last) = (timesteps.0 as f64, timesteps.1.min(schedule.timesteps()) as f64);
    let timesteps: Vec<i32> = (0..held_out.count)
        .map(|image| (first + (last - first) * (image as f64 + 0.5) / held_out.count as f64).round() as i32)
        .collect();
    let mut noise = Vec::with_capacity(held_out.images.len());
    normal(chance, held_out.images.len(), &mut noise);
    let values = 3 * held_out.side * held_out.side;
    let images = held_out.images.chunks_exact(values).zip(noise.chunks_exact(values));
    let mut noised = Vec::with_capacity(noise.len());
    for ((image, noise), timestep) in images.zip(&timesteps) {
        let (image_part, noise_part) = schedule.mix(*timestep as usize);
        let mixed = image.iter().zip(noise);
        noised.extend(mixed.map(|(x, e)| image_part as f32 * x + noise_part as f32 * e));
    }
    MicroBatch {
        size: held_out.count,
        noised,
        noise,
        timesteps,
        classes: held_out.classes.clone(),
        targets: held_out.targets.clone(),
    }
}

#[cfg(test)]
mod tests;
