//! The paper's own training: noise prediction under the masks (Eq. 8), fresh weights, the moving average.

pub mod export;
mod initial;

use anyhow::Result;
use factorseg_kernels::{Masks, Parameter, Snapshot};
use factorseg_model::softmax::softmax;
use rand_chacha::ChaCha8Rng;

use super::learner::{DECODER, Learner, MASK_GENERATOR, MASK_HEAD, WholePart};
use super::watching::timing::{self, Part};
use crate::data::batch::{MicroBatch, normal};
use crate::recipe::{MaskHead, Phase, Recipe};
pub use initial::initial_weights;

/// Forward and backward of one micro-batch: returns its loss (Eq. 8) times `weight`, whose gradient is added, and the masks.
pub fn pass(
    learner: &mut Learner,
    part: &MicroBatch,
    phase: &Phase,
    temperature: f64,
    weight: f64,
    whole: &mut WholePart<'_>,
) -> Result<(f64, Option<Vec<f32>>)> {
    timing::start();
    let (network, regions) = (learner.network.as_mut(), learner.regions);
    network.encode(&part.noised, &part.timesteps, &part.classes)?;
    let masks = match phase.mask_head {
        MaskHead::Uniform => None,
        MaskHead::Released { .. } | MaskHead::Trained => {
            let mut masks = network.mask_logits()?;
            masks.iter_mut().for_each(|logit| *logit /= temperature as f32);
            softmax(&mut masks, part.size, regions);
            Some(masks)
        }
    };
    let predicted = network.decode(masks.as_deref().map_or(Masks::Uniform, Masks::Given))?;
    let scale = weight / part.noise.len() as f64;
    let mut squares = 0.0;
    let errors = predicted.iter().zip(&part.noise).map(|(predicted, noise)| {
        let error = predicted - noise;
        squares += f64::from(error * error);
        (2.0 * scale) as f32 * error
    });
    let slopes: Vec<f32> = errors.collect();
    timing::lap(Part::Forward);
    let mut mask_slopes = network.backward_decode(&slopes)?;
    whole(network, DECODER)?;
    if let Some(masks) = &masks {
        softmax_slopes(
            masks,
            &mut mask_slopes,
            regions,
            phase.masks.parts.unwrap_or(regions),
            masks.len() / (part.size * regions),
            temperature,
        );
        network.backward_masks(&mask_slopes)?;
        whole(network, MASK_GENERATOR)?;
    }
    network.backward_encode()?;
    timing::lap(Part::Backward);
    Ok((squares * scale, masks))
}

/// From the gradient by masks `[images, regions, pixels]`, the softmax of logits over a temperature, to that by the logits. Of
/// `parts` regions in a row the sum is held: what would move it is left out. With all regions that is nothing, as they
/// sum to 1.
pub fn softmax_slopes(
    masks: &[f32],
    slopes: &mut [f32],
    regions: usize,
    parts: usize,
    pixels: usize,
    temperature: f64,
) {
    debug_assert!(regions.is_multiple_of(parts));
    let groups = slopes
        .chunks_exact_mut(parts * pixels)
        .zip(masks.chunks_exact(parts * pixels));
    for (slopes, masks) in groups {
        for pixel in 0..pixels {
            let places = (0..parts).map(|region| region * pixels + pixel);
            let moment: f32 = places.clone().map(|at| masks[at] * slopes[at]).sum();
            let mean = match parts == regions {
                true => moment,
                // A region may have none of a pixel.
                false => moment / places.clone().map(|at| masks[at]).sum::<f32>().max(f32::MIN_POSITIVE),
            };
            for at in places {
                slopes[at] = masks[at] * (slopes[at] - mean) / temperature as f32;
            }
        }
    }
}

/// Rate of the moving average at `step`: where it warms up it follows faster at first, as `(1 + step) / (10 + step)`, so that it does
/// not remember the random start.
pub fn average_rate(recipe: &Recipe, step: u64) -> f64 {
    match recipe.ema_warmup {
        true => recipe.ema_rate.min((1.0 + step as f64) / (10.0 + step as f64)),
        false => recipe.ema_rate,
    }
}

/// Takes the mask head off its saddle: random weights of deviation `std` (that of a default convolution if left out). Neither
/// the average nor Adam remembers the mask generator that was.
pub fn release(list: &[Parameter], snapshot: &mut Snapshot, std: Option<f64>, chance: &mut ChaCha8Rng) {
    for (index, parameter) in list.iter().enumerate() {
        if !parameter.name.starts_with(MASK_GENERATOR) {
            continue;
        }
        let range = parameter.range();
        match parameter.name.strip_prefix(MASK_HEAD) {
            Some("weight") => {
                let fan_in: usize = parameter.shape[1..].iter().product();
                let std = std.unwrap_or_else(|| 1.0 / (3.0 * fan_in as f64).sqrt());
                let mut values = Vec::new();
                normal(chance, range.len(), &mut values);
                for (to, value) in snapshot.raw[range.clone()].iter_mut().zip(values) {
                    *to = value * std as f32;
                }
            }
            Some(_) => snapshot.raw[range.clone()].fill(0.0),
            None => {}
        }
        snapshot.average[range.clone()].copy_from_slice(&snapshot.raw[range]);
        snapshot.moments[index] = None;
    }
}

#[cfg(test)]
mod tests;
