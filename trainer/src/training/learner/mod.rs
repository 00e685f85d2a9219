//! One optimizer step (Algorithm 1): encode, masks, decode, loss, gradients, update, on whatever device computes it.

mod inference;
mod names;
mod outcome;

pub(super) use names::{CLASSES, DECODER, MASK_GENERATOR, MASK_HEAD, TIMESTEP_BIAS};
pub use outcome::{MaskBatch, StepOutcome};

use std::ops::Range;

use anyhow::{Result, ensure};
use factorseg_kernels::{Adam, DeviceGroup, KernelError, Parameter, Snapshot, TrainingPass, TrainingSize, Update};
use factorseg_model::{Device, ModelConfig, NoiseSchedule, Precision};

use super::{competition, paper, self_training};
use crate::data::batch::Batch;
use crate::data::order::{Stream, random, random_part};
use crate::data::share::Share;
use crate::recipe::{MaskHead, Phase, Recipe};
use names::{ENCODER, learned, part, rate_factor};

/// Is told of a part of the network whose gradient is whole, by name.
pub(super) type WholePart<'a> = dyn FnMut(&mut dyn TrainingPass, &'static str) -> Result<(), KernelError> + 'a;

/// The network in training: weights, their average, and Adam's moments, flat in the order of the model's parameters.
pub struct Learner {
    pub(super) network: Box<dyn TrainingPass>,
    pub(super) regions: usize,
    pub(super) schedule: NoiseSchedule,
    side: usize,
    seed: u64,
}

impl std::fmt::Debug for Learner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parameters = self.network.list().last().map_or(0, |last| last.range().end);
        formatter
            .debug_struct("Learner")
            .field("parameters", &parameters)
            .finish_non_exhaustive()
    }
}

impl Learner {
    /// A learner that starts at `values` on `device`: on the CPU on `threads` threads (0: one per core).
    ///
    /// # Errors
    /// If the values are not those of the model, or the device cannot be had or does not train in that precision.
    pub fn new(
        model: &ModelConfig,
        recipe: &Recipe,
        seed: u64,
        values: &[f32],
        device: Device,
        threads: usize,
        precision: Precision,
    ) -> Result<Self> {
        ensure!(
            device != Device::Cpu || precision.runs_on_this_processor(),
            "precision bf16 trains on CUDA and on processors with AVX512-BF16, which this one is not: use --precision f32"
        );
        let network = device.training(&model.architecture(), size(model, recipe), threads, precision)?;
        Self::with(network, model, seed, values)
    }

    /// A learner that starts at `values` with a network in training.
    fn with(mut network: Box<dyn TrainingPass>, model: &ModelConfig, seed: u64, values: &[f32]) -> Result<Self> {
        let count = network.list().last().map_or(0, |last| last.range().end);
        ensure!(
            values.len() == count,
            "{} weights for a network of {count}",
            values.len()
        );
        network.set_parameters(values)?;
        Ok(Self {
            network,
            regions: model.regions,
            schedule: NoiseSchedule::new(&model.schedule),
            side: model.image_size,
            seed,
        })
    }

    /// Names, shapes and places of the parameters.
    pub fn parameter_list(&self) -> &[Parameter] {
        self.network.list()
    }

    /// What happens once, before the first step of phase `index`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn enter(&mut self, index: usize, phase: &Phase) -> Result<(), KernelError> {
        if let MaskHead::Released { std } = phase.mask_head {
            let mut snapshot = self.network.snapshot()?;
            let mut chance = random(self.seed, Stream::MaskHead, index as u64);
            paper::release(self.network.list(), &mut snapshot, std, &mut chance);
            self.network.restore(&snapshot)?;
        }
        Ok(())
    }

    /// Takes over `exported` weights where a phase does not learn: raw, averaged, and without a memory of gradients.
    ///
    /// # Errors
    /// If the device fails.
    pub fn settle(&mut self, recipe: &Recipe, phase: &Phase, exported: &[f32]) -> Result<(), KernelError> {
        let mut snapshot = self.network.snapshot()?;
        for (index, parameter) in self.network.list().iter().enumerate() {
            if rate_factor(recipe, phase, &parameter.name) == 0.0 {
                let range = parameter.range();
                snapshot.raw[range.clone()].copy_from_slice(&exported[range.clone()]);
                snapshot.average[range.clone()].copy_from_slice(&exported[range]);
                snapshot.moments[index] = None;
            }
        }
        self.network.restore(&snapshot)
    }

    /// The first half of a step ([`Ranks::step`](super::parallel::Ranks::step)): the gradient of the micro-batches at hand, in the
    /// place of any from before. The loss is their part of the whole batch's. `whole` is told of a part of the network
    /// ([`DECODER`], [`MASK_GENERATOR`]) as soon as its gradient is whole, while the others' is not.
    ///
    /// # Errors
    /// If they do not fit the network, or the device fails.
    pub fn accumulate(
        &mut self,
        batch: &Batch,
        recipe: &Recipe,
        phase: &Phase,
        phase_step: u64,
        whole: &mut WholePart<'_>,
    ) -> Result<StepOutcome> {
        let temperature = phase.masks.temperature.at(phase_step, phase.steps);
        self.network.begin(learned(phase));
        let (mut loss, mut masks) = (0.0, None);
        for (index, part) in batch.parts.iter().enumerate() {
            let weight = part.size as f64 / recipe.batch_size as f64;
            let last = index + 1 == batch.parts.len();
            let mut whole = |network: &mut dyn TrainingPass, part: &'static str| match last {
                true => whole(network, part),
                false => Ok(()),
            };
            let (part_loss, values) = if recipe.self_training.is_some() {
                self_training::pass(self, part, weight, &mut whole)?
            } else if let Some(competition) = &phase.competition {
                let mut chance = random_part(self.seed, Stream::Masks, batch.step, batch.first + index);
                competition::pass(self, part, competition, temperature, weight, &mut chance, &mut whole)?
            } else {
                paper::pass(self, part, phase, temperature, weight, &mut whole)?
            };
            loss += part_loss;
            masks = values.map(|values| MaskBatch {
                values,
                images: part.size,
                regions: self.regions,
            });
        }
        Ok(StepOutcome {
            loss: loss as f32,
            masks: masks.filter(|_| phase.mask_head.is_learned()),
        })
    }

    /// The second half: moves weights and average by the gradient.
    ///
    /// # Errors
    /// If the device fails.
    pub fn apply(&mut self, step: u64, recipe: &Recipe, phase: &Phase, phase_step: u64) -> Result<(), KernelError> {
        let rate = phase.learning_rate_at(phase_step);
        let factor = |parameter: &Parameter| rate * rate_factor(recipe, phase, &parameter.name);
        let rates: Vec<f64> = self.network.list().iter().map(factor).collect();
        super::watching::timing::timed(super::watching::timing::Part::Optimizer, || {
            self.network.update(&Update {
                clip: recipe.gradient_clip,
                adam: Adam {
                    beta_1: recipe.adam.beta_1,
                    beta_2: recipe.adam.beta_2,
                    epsilon: recipe.adam.epsilon,
                    weight_decay: recipe.adam.weight_decay,
                },
                rates: &rates,
                average_rate: paper::average_rate(recipe, step),
            })
        })
    }

    /// The weights.
    ///
    /// # Errors
    /// If the device fails.
    pub fn parameters(&self) -> Result<Vec<f32>, KernelError> {
        self.network.parameters()
    }

    /// Lets this device be one of a group of as many processes, which sum gradients up among themselves.
    pub(super) fn join(&mut self, id: Vec<u8>, share: Share) -> Result<()> {
        let (rank, count) = (share.index, share.count);
        Ok(self.network.join(&DeviceGroup { id, rank, count })?)
    }

    /// Names of the parts of the network that learn, in the order in which a backward pass is through with them, and where their
    /// parameters are.
    pub(super) fn parts(&self, recipe: &Recipe, phase: &Phase) -> Vec<(&'static str, Range<usize>)> {
        let [decoder, masks] = [DECODER, MASK_GENERATOR].map(|name| part(self.network.list(), name));
        let encoder = 0..masks.start;
        let mut parts = vec![(DECODER, decoder), (MASK_GENERATOR, masks), (ENCODER, encoder)];
        // The head learns wherever a part of the mask generator does.
        let learns =
            |name: &str| rate_factor(recipe, phase, if name == MASK_GENERATOR { MASK_HEAD } else { name }) > 0.0;
        parts.retain(|(name, _)| learns(name));
        parts
    }

    /// Everything that a checkpoint holds.
    ///
    /// # Errors
    /// If the device fails.
    pub fn snapshot(&self) -> Result<Snapshot, KernelError> {
        self.network.snapshot()
    }

    /// Goes back to a snapshot of a learner of the same network.
    ///
    /// # Errors
    /// If the device fails.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), KernelError> {
        self.network.restore(snapshot)
    }
}

/// What passes of a recipe need room for.
fn size(model: &ModelConfig, recipe: &Recipe) -> TrainingSize {
    let images = recipe.micro_batch.unwrap_or(recipe.batch_size).min(recipe.batch_size);
    // The branches of a competition run as one batch, while the pass that made their masks waits.
    let competes = recipe.phases.iter().any(|phase| phase.competition.is_some());
    TrainingSize {
        side: model.image_size,
        batch: if competes { model.regions * images } else { images },
        waiting: if competes { images } else { 0 },
    }
}

#[cfg(test)]
mod tests;
