//! What tests of several modules need.

use factorseg_model::parameters::map_values;
use factorseg_model::{DeviceSpec, ModelConfig, Preset};

use super::learner::MASK_HEAD;
use super::{Device, Network};
use crate::data::batch::normal;
use crate::data::order::{Stream, random};

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

/// The CPU, without a gradient tape.
pub fn cpu() -> Device {
    DeviceSpec::Cpu.resolve().unwrap()
}

/// A network whose every weight is random: fresh ones predict zero.
pub fn scrambled(config: &ModelConfig, zero_mask_head: bool) -> Network {
    let mut random = random(11, Stream::Sample, 0);
    map_values(config.init(&cpu()), |name, shape| {
        let mut values = Vec::new();
        normal(&mut random, shape.iter().product(), &mut values);
        let scale = if zero_mask_head && name.starts_with(MASK_HEAD) {
            0.0
        } else {
            0.1
        };
        Some(values.into_iter().map(|v| v * scale).collect())
    })
}
