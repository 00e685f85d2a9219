//! Learning on the CPU: the network's own kernels over flat vectors.

mod inference;
mod passes;
mod update;

use std::ops::Range;

use factorseg_kernels::{InstructionSet, KeptPass, KernelError, Threads, TrainingNetwork, TrainingOptions, VectorMath};
use factorseg_model::parameters::ParameterSpec;
use factorseg_model::{ModelConfig, NoiseSchedule};

use super::chance::random_head;
use super::names::learned;
use super::{DECODER, Loss, MASK_GENERATOR, MASK_HEAD, Moments, Slice, Snapshot, StepOutcome};
use crate::data::order::{Stream, random, random_part};
use crate::recipe::{AdamConfig, MaskHead, Phase, Recipe};

/// Weights, their average and Adam's moments as flat vectors, all in the network's order.
pub struct NativeLearner {
    network: TrainingNetwork,
    /// Where regions compete: the pass that makes the masks, which waits for those of the branches.
    kept: Option<KeptPass>,
    math: VectorMath,
    /// What a learner that only computes gradients does without; `None` before the first update.
    memory: Option<Memory>,
    average_rate: f64,
    /// Adam's updates of each parameter; `None` before the first.
    updates: Vec<Option<u64>>,
    adam: AdamConfig,
    specs: Vec<ParameterSpec>,
    ranges: Vec<Range<usize>>,
    regions: usize,
    schedule: NoiseSchedule,
    seed: u64,
}

/// What updates leave beside the weights, in their order.
struct Memory {
    average: Vec<f32>,
    /// Adam's moments.
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Memory {
    /// Of weights that have not moved: they are their own average.
    fn new(parameters: &[f32]) -> Self {
        Self {
            average: parameters.to_vec(),
            first: vec![0.0; parameters.len()],
            second: vec![0.0; parameters.len()],
        }
    }
}

impl std::fmt::Debug for NativeLearner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NativeLearner")
            .field("parameters", &self.network.parameters().len())
            .finish_non_exhaustive()
    }
}

impl NativeLearner {
    /// A learner that starts at `values`, those of `specs`, on `threads` threads (0: one per core).
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn new(
        model: &ModelConfig,
        recipe: &Recipe,
        seed: u64,
        specs: Vec<ParameterSpec>,
        values: &[Vec<f32>],
        threads: usize,
    ) -> Result<Self, KernelError> {
        let threads = Threads::new(threads)?;
        let instructions = InstructionSet::detect();
        let options = TrainingOptions {
            classes: model.classes,
            height: model.image_size,
            width: model.image_size,
            batch: branches(recipe, model.regions)
                * recipe.micro_batch.unwrap_or(recipe.batch_size).min(recipe.batch_size),
            threads: threads.clone(),
            instructions,
        };
        let mut network = TrainingNetwork::new(&model.architecture(), options)?;
        let ranges: Vec<Range<usize>> = network.list().iter().map(|parameter| parameter.range()).collect();
        let same = network.list().len() == specs.len()
            && network
                .list()
                .iter()
                .zip(&specs)
                .all(|(ours, theirs)| ours.name == theirs.name && ours.shape == theirs.shape);
        if !same {
            return Err(KernelError::Size(
                "the parameters of the kernels' network are not those of the model".to_owned(),
            ));
        }
        let competes = recipe.phases.iter().any(|phase| phase.competition.is_some());
        let kept = competes.then(|| network.kept_pass(network.options().batch / model.regions));
        network.parameters_mut().copy_from_slice(&values.concat());
        Ok(Self {
            network,
            kept,
            math: VectorMath::new(threads, instructions),
            memory: None,
            average_rate: recipe.ema_rate,
            updates: vec![None; specs.len()],
            adam: recipe.adam,
            specs,
            ranges,
            regions: model.regions,
            schedule: NoiseSchedule::new(&model.schedule),
            seed,
        })
    }

    /// Names and shapes of the parameters.
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// What happens once, before the first step of phase `index`.
    pub fn enter(&mut self, index: usize, phase: &Phase) {
        if phase.reset_optimizer {
            self.updates.fill(None);
        }
        let MaskHead::Released { std, from_decoder } = phase.mask_head else {
            return;
        };
        let mut random = random(self.seed, Stream::MaskHead, index as u64);
        for place in 0..self.specs.len() {
            let ParameterSpec { name, shape } = &self.specs[place];
            let Some(rest) = name.strip_prefix(MASK_GENERATOR) else {
                continue;
            };
            let range = self.ranges[place].clone();
            let parameters = self.network.parameters_mut();
            match name.strip_prefix(MASK_HEAD) {
                Some("weight") => parameters[range.clone()].copy_from_slice(&random_head(&mut random, std, shape)),
                Some(_) => parameters[range.clone()].fill(0.0),
                None if from_decoder => {
                    let source = format!("{DECODER}{rest}");
                    if let Some(source) = self.specs.iter().position(|spec| spec.name == source) {
                        parameters.copy_within(self.ranges[source].clone(), range.start);
                    }
                }
                None => {}
            }
            // Neither the average nor Adam should remember what is gone.
            if let Some(memory) = &mut self.memory {
                memory.average[range.clone()].copy_from_slice(&parameters[range]);
            }
            self.updates[place] = None;
        }
    }

    /// The gradient of some micro-batches, in the place of any gradient from before.
    ///
    /// # Errors
    /// If they do not fit the network.
    pub fn accumulate(
        &mut self,
        slice: &Slice<'_>,
        recipe: &Recipe,
        phase: &Phase,
        phase_step: u64,
    ) -> Result<StepOutcome, KernelError> {
        let temperature = phase.masks.temperature.at(phase_step, phase.steps);
        self.network.zero_gradients();
        self.network.learn(learned(phase));
        let (mut loss, mut masks) = (0.0, None);
        for (index, part) in slice.parts.iter().enumerate() {
            let weight = part.size as f64 / recipe.batch_size as f64;
            let mut chance = random_part(self.seed, Stream::Masks, slice.step, slice.first + index);
            loss += if recipe.self_training.is_some() {
                self.imitate(part, weight, &mut masks)?
            } else if let Some(competition) = &phase.competition {
                self.compete(part, competition, temperature, weight, &mut chance, &mut masks)?
            } else {
                self.pass(part, phase, temperature, weight, &mut chance, &mut masks)?
            };
        }
        Ok(StepOutcome {
            loss: Loss::Known(loss as f32),
            masks: masks.filter(|_| phase.mask_head.is_learned()),
        })
    }

    /// The weights, flat, in the network's order.
    pub fn parameters(&self) -> &[f32] {
        self.network.parameters()
    }

    /// Takes over weights in the order of [`Self::parameters`].
    pub fn set_parameters(&mut self, values: &[f32]) {
        self.network.parameters_mut().copy_from_slice(values);
    }

    /// The gradient so far, in the order of [`Self::parameters`].
    pub fn gradients(&self) -> &[f32] {
        self.network.gradients()
    }

    /// Adds a gradient in the order of [`Self::parameters`].
    pub fn add_gradients(&mut self, values: &[f32]) {
        let (_, gradients) = self.network.parameters_and_gradients();
        for (sum, value) in gradients.iter_mut().zip(values) {
            *sum += value;
        }
    }

    /// Everything that a checkpoint holds.
    pub fn snapshot(&self) -> Snapshot {
        let moments = |place: usize| {
            let (memory, updates) = (self.memory.as_ref()?, self.updates[place]?);
            let range = &self.ranges[place];
            Some(Moments {
                first: memory.first[range.clone()].to_vec(),
                second: memory.second[range.clone()].to_vec(),
                updates,
            })
        };
        Snapshot {
            raw: self.split(self.network.parameters()),
            average: self.average(),
            moments: (0..self.specs.len()).map(moments).collect(),
        }
    }

    /// Goes back to a snapshot of a learner of the same network.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let parameters = self.network.parameters_mut();
        let memory = self.memory.get_or_insert_with(|| Memory::new(parameters));
        for (index, range) in self.ranges.iter().enumerate() {
            parameters[range.clone()].copy_from_slice(&snapshot.raw[index]);
            memory.average[range.clone()].copy_from_slice(&snapshot.average[index]);
            let moments = snapshot.moments[index].as_ref();
            self.updates[index] = moments.map(|moments| moments.updates);
            if let Some(moments) = moments {
                memory.first[range.clone()].copy_from_slice(&moments.first);
                memory.second[range.clone()].copy_from_slice(&moments.second);
            }
        }
    }

    /// The averaged weights, by parameter.
    pub fn average(&self) -> Vec<Vec<f32>> {
        match &self.memory {
            Some(memory) => self.split(&memory.average),
            None => self.split(self.network.parameters()),
        }
    }

    /// One vector for each parameter.
    fn split(&self, values: &[f32]) -> Vec<Vec<f32>> {
        self.ranges.iter().map(|range| values[range.clone()].to_vec()).collect()
    }
}

/// The most images that go through the network at once for each of a micro-batch.
fn branches(recipe: &Recipe, regions: usize) -> usize {
    let competes = recipe.phases.iter().any(|phase| phase.competition.is_some());
    if competes { regions } else { 1 }
}
