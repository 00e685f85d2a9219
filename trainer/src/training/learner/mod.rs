//! One optimizer step: predict the noise, compare, move the weights (Algorithm 1), on whatever computes it.

mod chance;
mod names;
mod native;
mod outcome;
mod snapshot;
mod tape;

pub(super) use names::{DECODER, MASK_GENERATOR, MASK_HEAD};
pub use native::NativeLearner;
pub use outcome::{Loss, MaskBatch, Slice, StepOutcome};
pub use snapshot::{Moments, Snapshot};
pub use tape::TapeLearner;

use anyhow::{Result, ensure};
use burn::DispatchDevice;
use burn::tensor::FloatDType;
use factorseg_model::parameters::{ParameterSpec, map_values, parameter_specs, visit_values};
use factorseg_model::{ModelConfig, Precision};

use super::{Device, Network};
use crate::data::batch::Batch;
use crate::recipe::{Phase, Recipe};

/// The network in training: weights, their average, and Adam's moments. Both kinds compute the same.
#[derive(Debug)]
pub enum Learner {
    /// The network's own kernels, on the CPU.
    Native(Box<NativeLearner>),
    /// burn's gradient tape, on any device.
    Tape(Box<TapeLearner>),
}

impl Learner {
    /// A learner of `network` (on any device) on `device` (without a gradient tape): on the CPU with the kernels, on
    /// `threads` threads (0: one per core).
    ///
    /// # Errors
    /// If the threads cannot be started, or the device does not train in that precision.
    pub fn new(
        model: &ModelConfig,
        recipe: &Recipe,
        seed: u64,
        network: Network,
        device: &Device,
        threads: usize,
        precision: Precision,
    ) -> Result<Self> {
        if !matches!(device, DispatchDevice::Flex(_)) {
            return Ok(Self::with_tape(model, recipe, seed, network, device, precision));
        }
        ensure!(
            precision != Precision::Bf16,
            "precision bf16 trains on CUDA; the CPU's kernels compute in 32 bits: use --precision f32"
        );
        let specs = parameter_specs(&network);
        let learner = NativeLearner::new(model, recipe, seed, specs, &values_of(&network), threads)?;
        Ok(Self::Native(Box::new(learner)))
    }

    /// A learner with burn's gradient tape, whatever the device.
    pub fn with_tape(
        model: &ModelConfig,
        recipe: &Recipe,
        seed: u64,
        network: Network,
        device: &Device,
        precision: Precision,
    ) -> Self {
        let dtype = match precision {
            Precision::Auto | Precision::F32 => FloatDType::F32,
            Precision::Bf16 => FloatDType::BF16,
        };
        Self::Tape(Box::new(TapeLearner::new(model, recipe, seed, network, device, dtype)))
    }

    /// Names and shapes of the parameters, in the network's order.
    pub fn specs(&self) -> &[ParameterSpec] {
        match self {
            Self::Native(learner) => learner.specs(),
            Self::Tape(learner) => learner.specs(),
        }
    }

    /// What happens once, before the first step of phase `index`.
    pub fn enter(&mut self, index: usize, phase: &Phase) {
        match self {
            Self::Native(learner) => learner.enter(index, phase),
            Self::Tape(learner) => learner.enter(index, phase),
        }
    }

    /// Trains on one batch, which is step `step` of all and `phase_step` of `phase`.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    pub fn step(&mut self, batch: &Batch, recipe: &Recipe, phase: &Phase, phase_step: u64) -> Result<StepOutcome> {
        let slice = Slice {
            step: batch.step,
            first: 0,
            parts: &batch.parts,
        };
        let outcome = self.accumulate(&slice, recipe, phase, phase_step)?;
        self.apply(batch.step, recipe, phase, phase_step);
        Ok(outcome)
    }

    /// The first half of a step: the gradient of some of its micro-batches, in the place of any from before. The loss is
    /// their part of the batch's.
    ///
    /// # Errors
    /// If they do not fit the network.
    pub fn accumulate(
        &mut self,
        slice: &Slice<'_>,
        recipe: &Recipe,
        phase: &Phase,
        phase_step: u64,
    ) -> Result<StepOutcome> {
        match self {
            Self::Native(learner) => Ok(learner.accumulate(slice, recipe, phase, phase_step)?),
            Self::Tape(learner) => Ok(learner.accumulate(slice, recipe, phase, phase_step)),
        }
    }

    /// The second half: moves weights and average by the gradient.
    pub fn apply(&mut self, step: u64, recipe: &Recipe, phase: &Phase, phase_step: u64) {
        match self {
            Self::Native(learner) => learner.apply(step, recipe, phase, phase_step),
            Self::Tape(learner) => learner.apply(step, recipe, phase, phase_step),
        }
    }

    /// The weights, flat, in the network's order.
    pub fn parameters(&self) -> Vec<f32> {
        match self {
            Self::Native(learner) => learner.parameters().to_vec(),
            Self::Tape(learner) => learner.parameters(),
        }
    }

    /// Takes over weights in the order of [`Self::parameters`], which are as many.
    pub fn set_parameters(&mut self, values: &[f32]) {
        match self {
            Self::Native(learner) => learner.set_parameters(values),
            Self::Tape(learner) => learner.set_parameters(values),
        }
    }

    /// The gradient of [`Self::accumulate`], in the order of [`Self::parameters`].
    pub fn gradients(&self) -> Vec<f32> {
        match self {
            Self::Native(learner) => learner.gradients().to_vec(),
            Self::Tape(learner) => learner.gradients(),
        }
    }

    /// Adds a gradient in the order of [`Self::parameters`], which is as long.
    pub fn add_gradients(&mut self, values: &[f32]) {
        match self {
            Self::Native(learner) => learner.add_gradients(values),
            Self::Tape(learner) => learner.add_gradients(values),
        }
    }

    /// Mask logits of noised images (`[images, 3, side, side]`, one timestep an image, `classes` empty or one an image),
    /// `[images, K, side, side]`, by another network of the same shape.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn mask_logits(
        &mut self,
        network: &Network,
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
    ) -> Result<Vec<f32>> {
        match self {
            Self::Native(learner) => Ok(learner.mask_logits(&values_of(network), noised, timesteps, classes)?),
            Self::Tape(learner) => Ok(learner.mask_logits(network, noised, timesteps, classes)),
        }
    }

    /// The noise that another network of the same shape predicts under `masks` (`[images, K, side, side]`; uniform ones
    /// if left out), `[images, 3, side, side]`.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn predict(
        &mut self,
        network: &Network,
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
        masks: Option<&[f32]>,
    ) -> Result<Vec<f32>> {
        match self {
            Self::Native(learner) => Ok(learner.predict(&values_of(network), noised, timesteps, classes, masks)?),
            Self::Tape(learner) => Ok(learner.predict(network, noised, timesteps, classes, masks)),
        }
    }

    /// Everything that a checkpoint holds.
    pub fn snapshot(&self) -> Snapshot {
        match self {
            Self::Native(learner) => learner.snapshot(),
            Self::Tape(learner) => learner.snapshot(),
        }
    }

    /// Goes back to a snapshot of a learner of the same network.
    pub fn restore(&mut self, snapshot: Snapshot) {
        match self {
            Self::Native(learner) => learner.restore(&snapshot),
            Self::Tape(learner) => learner.restore(snapshot),
        }
    }

    /// The averaged network on `device`.
    pub fn average(&self, model: &ModelConfig, device: &Device) -> Network {
        let values = match self {
            Self::Native(learner) => learner.average(),
            Self::Tape(learner) => learner.average(),
        };
        on_device(model, device, values)
    }
}

/// The values of all parameters.
fn values_of(network: &Network) -> Vec<Vec<f32>> {
    let mut values = Vec::new();
    visit_values(network, |_, _, value| values.push(value));
    values
}

/// A network of the given shape with the given parameter values, on `device`.
pub fn on_device(model: &ModelConfig, device: &Device, values: Vec<Vec<f32>>) -> Network {
    let mut values = values.into_iter();
    map_values(model.init(device), |_, _| values.next())
}

#[cfg(test)]
mod tests;
