//! What tests of several modules need.

use factorseg_model::{Device, ModelConfig, Precision, Preset};

use super::learner::{Learner, MASK_HEAD};
use crate::data::batch::normal;
use crate::data::order::{Stream, random};
use crate::recipe::Recipe;

/// Normal values, the same for the same seed.
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut values = Vec::new();
    normal(&mut random(seed, Stream::Sample, 0), count, &mut values);
    values
}

/// The smallest network that has every part.
pub fn config() -> ModelConfig {
    ModelConfig {
        image_size: 8,
        base_channels: 8,
        channel_multipliers: vec![1, 2],
        residual_blocks: 1,
        attention_resolutions: vec![4],
        classes: 2,
        ..ModelConfig::preset(Preset::Tiny)
    }
}

/// Weights that are all random: fresh networks predict zero.
pub fn scrambled(config: &ModelConfig, zero_mask_head: bool) -> Vec<f32> {
    let mut random = random(11, Stream::Sample, 0);
    let mut weights = Vec::new();
    for parameter in config.parameters() {
        normal(&mut random, parameter.range().len(), &mut weights);
        let zero = zero_mask_head && parameter.name.starts_with(MASK_HEAD);
        let scale = if zero { 0.0 } else { 0.1 };
        weights[parameter.range()].iter_mut().for_each(|value| *value *= scale);
    }
    weights
}

/// A learner on one thread of the CPU, for batches of 4.
pub fn learner(config: &ModelConfig, weights: &[f32]) -> Learner {
    let mut recipe = Recipe::load("two-phase").unwrap();
    recipe.batch_size = 4;
    Learner::new(config, &recipe, 1, weights, Device::Cpu, 1, Precision::F32).unwrap()
}
