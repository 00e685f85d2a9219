//! Learning on the CPU: the network's own kernels over flat vectors.

use std::ops::Range;

use factorseg_kernels::{
    AdamUpdate, InstructionSet, KeptPass, KernelError, Masks, Threads, TrainingNetwork, TrainingOptions, VectorMath,
};
use factorseg_model::parameters::ParameterSpec;
use factorseg_model::{ModelConfig, NoiseSchedule};
use rand_chacha::ChaCha8Rng;

use super::competition::{self, Branches};
use super::ema::Average;
use super::masks::gumbel;
use super::random_masks::random_masks;
use super::shaping::{self, Volume};
use super::step::{
    DECODER, Loss, MASK_GENERATOR, MASK_HEAD, MaskBatch, Moments, Slice, Snapshot, StepOutcome, kept_middles,
    random_head,
};
use super::timing::{self, Part};
use crate::data::batch::MicroBatch;
use crate::data::order::{Stream, random, random_part};
use crate::recipe::{AdamConfig, Competition, MaskHead, Phase, Recipe};

/// Weights, their average and Adam's moments as flat vectors, all in the network's order.
pub struct NativeLearner {
    network: TrainingNetwork,
    /// Where regions compete: the pass that makes the masks, while the branches' passes.
    kept: Option<KeptPass>,
    math: VectorMath,
    average: Vec<f32>,
    average_rate: f64,
    first: Vec<f32>,
    second: Vec<f32>,
    /// Adam's updates of each parameter; `None` before the first.
    updates: Vec<Option<u64>>,
    adam: AdamConfig,
    specs: Vec<ParameterSpec>,
    ranges: Vec<Range<usize>>,
    regions: usize,
    schedule: NoiseSchedule,
    seed: u64,
}

impl std::fmt::Debug for NativeLearner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NativeLearner")
            .field("parameters", &self.average.len())
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
        let values = values.concat();
        network.parameters_mut().copy_from_slice(&values);
        let count = values.len();
        Ok(Self {
            network,
            kept,
            math: VectorMath::new(threads, instructions),
            average: values,
            average_rate: recipe.ema_rate,
            first: vec![0.0; count],
            second: vec![0.0; count],
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
            self.average[range.clone()].copy_from_slice(&parameters[range]);
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
        let (mut loss, mut masks) = (0.0, None);
        for (index, part) in slice.parts.iter().enumerate() {
            let weight = part.size as f64 / recipe.batch_size as f64;
            let mut chance = random_part(self.seed, Stream::Masks, slice.step, slice.first + index);
            loss += if let Some(competition) = &phase.competition {
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

    /// Moves weights and average by the gradient, which ends step `step` of all and `phase_step` of `phase`.
    pub fn apply(&mut self, step: u64, recipe: &Recipe, phase: &Phase, phase_step: u64) {
        timing::start();
        self.update(phase, phase.learning_rate_at(phase_step), recipe.gradient_clip);
        let rate = Average::rate_at(self.average_rate, step);
        self.math.average(&mut self.average, self.network.parameters(), rate);
        timing::lap(Part::Optimizer);
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

    /// Forward and backward of one micro-batch; returns its loss times `weight`, whose gradient is added.
    fn pass(
        &mut self,
        part: &MicroBatch,
        phase: &Phase,
        temperature: f64,
        weight: f64,
        chance: &mut ChaCha8Rng,
        last_masks: &mut Option<MaskBatch>,
    ) -> Result<f64, KernelError> {
        timing::start();
        let network = &mut self.network;
        let side = network.options().height;
        let timesteps: Vec<f32> = part.timesteps.iter().map(|timestep| *timestep as f32).collect();
        let classes = (!part.classes.is_empty()).then_some(part.classes.as_slice());
        network.encode(&part.noised, &timesteps, classes)?;
        let (images, regions) = (part.size, self.regions);
        let mut steps = Vec::new();
        let masks = match phase.mask_head {
            MaskHead::Uniform => None,
            MaskHead::RandomPartition { softness } => Some(random_masks(chance, images, regions, side, softness)),
            MaskHead::Released { .. } | MaskHead::Trained => {
                let mut volume = Volume {
                    values: network.mask_logits().to_vec(),
                    images,
                    regions,
                };
                let noise = (phase.masks.gumbel > 0.0).then(|| gumbel(chance, volume.values.len()));
                steps = shaping::steps(&phase.masks, temperature, noise);
                shaping::forward(&mut steps, &mut volume);
                Some(volume.values)
            }
        };
        let kept = (phase.middle_dropout > 0.0).then(|| kept_middles(chance, images, phase.middle_dropout));
        let given = masks.as_deref().map_or(Masks::Uniform, Masks::Given);
        let predicted = network.decode(given, kept.as_deref())?;
        let scale = weight / part.noise.len() as f64;
        let weights = phase.noise_weighting.weights(&self.schedule, &part.timesteps);
        let mut squares = 0.0;
        let mut slopes = Vec::with_capacity(predicted.len());
        let image = part.noise.len() / images;
        let both = predicted.chunks_exact(image).zip(part.noise.chunks_exact(image));
        for (index, (predicted, noise)) in both.enumerate() {
            let weight = weights.as_ref().map_or(1.0, |weights| weights[index]);
            slopes.extend(predicted.iter().zip(noise).map(|(predicted, noise)| {
                let error = predicted - noise;
                squares += f64::from(weight * error * error);
                (2.0 * scale) as f32 * weight * error
            }));
        }
        timing::lap(Part::Forward);
        let mask_slopes = network.backward_decode(&slopes)?;
        if !steps.is_empty() {
            let mut slopes = Volume {
                values: mask_slopes.to_vec(),
                images,
                regions,
            };
            shaping::backward(&steps, &mut slopes);
            network.backward_masks(&slopes.values)?;
        }
        network.backward_encode();
        timing::lap(Part::Backward);
        *last_masks = masks.map(|values| MaskBatch::Host {
            values,
            images,
            regions,
        });
        Ok(squares * scale)
    }

    /// As [`Self::pass`], with regions that compete.
    fn compete(
        &mut self,
        part: &MicroBatch,
        competition: &Competition,
        temperature: f64,
        weight: f64,
        chance: &mut ChaCha8Rng,
        last_masks: &mut Option<MaskBatch>,
    ) -> Result<f64, KernelError> {
        let network = &mut self.network;
        let encode = |network: &mut TrainingNetwork, pictures: &[f32], timesteps: &[i32], classes: &[i32]| {
            let timesteps: Vec<f32> = timesteps.iter().map(|timestep| *timestep as f32).collect();
            network.encode(pictures, &timesteps, (!classes.is_empty()).then_some(classes))
        };
        let kept = self
            .kept
            .get_or_insert_with(|| network.kept_pass(network.options().batch));
        timing::start();
        network.exchange(kept)?;
        encode(network, &part.noised, &part.timesteps, &part.classes)?;
        let shares = competition::shares(competition, self.regions, chance);
        let logits = network.mask_logits();
        let regions = competition::regions(part, logits, competition, &shares, temperature, &self.schedule);
        let branches = Branches::new(part, &regions, competition, &self.schedule, chance);
        // The masks' gradient comes from the branches: the masks' pass waits for them.
        network.exchange(kept)?;
        encode(network, &branches.noised, &branches.timesteps, &branches.classes)?;
        let mut found = branches.compare(network.decode(Masks::Uniform, None)?, &regions, competition);
        let scale = |slopes: &mut [f32]| slopes.iter_mut().for_each(|slope| *slope *= weight as f32);
        scale(&mut found.slopes);
        timing::lap(Part::Forward);
        network.backward_decode(&found.slopes)?;
        network.backward_encode();
        timing::lap(Part::Backward);
        scale(&mut found.mask_slopes);
        network.exchange(kept)?;
        network.backward_masks(&regions.logit_slopes(found.mask_slopes))?;
        network.backward_encode();
        network.exchange(kept)?;
        timing::lap(Part::Backward);
        *last_masks = Some(MaskBatch::Host {
            values: regions.masks().to_vec(),
            images: part.size,
            regions: self.regions,
        });
        Ok(found.loss * weight)
    }

    /// Clips the gradients and moves the parameters.
    fn update(&mut self, phase: &Phase, rate: f64, clip: Option<f64>) {
        let (parameters, gradients) = self.network.parameters_and_gradients();
        if let Some(limit) = clip {
            let norm = self.math.square_sum(gradients).sqrt();
            let factor = limit / (norm + 1e-12);
            // A norm that is no number must not pass for a small one.
            if factor < 1.0 || factor.is_nan() {
                self.math.scale(gradients, factor as f32);
            }
        }
        let mut place = 0;
        while place < self.specs.len() {
            let plan = |place: usize| {
                let masks = self.specs[place].name.starts_with(MASK_GENERATOR);
                let factor = if masks {
                    phase.mask_generator_factor
                } else {
                    phase.denoiser_factor
                };
                // The mask generator has a gradient only where it makes the masks.
                let takes_part = !masks || phase.mask_head.is_learned();
                (if takes_part { rate * factor } else { 0.0 }, self.updates[place])
            };
            // Neighbours that are treated alike are one vector.
            let first = place;
            let (rate, updates) = plan(first);
            while place < self.specs.len() && plan(place) == (rate, updates) {
                place += 1;
            }
            if rate == 0.0 {
                continue;
            }
            let range = self.ranges[first].start..self.ranges[place - 1].end;
            if updates.is_none() {
                self.first[range.clone()].fill(0.0);
                self.second[range.clone()].fill(0.0);
            }
            let updates = updates.unwrap_or(0) + 1;
            let update = AdamUpdate {
                beta_1: self.adam.beta_1,
                beta_2: self.adam.beta_2,
                epsilon: self.adam.epsilon,
                weight_decay: self.adam.weight_decay,
                rate,
                updates,
            };
            self.math.adam(
                update,
                &mut parameters[range.clone()],
                &gradients[range.clone()],
                &mut self.first[range.clone()],
                &mut self.second[range],
            );
            self.updates[first..place].fill(Some(updates));
        }
    }

    /// Mask logits of noised images, `[images, K, height, width]`, by another network of the same shape: `values` are
    /// its parameters.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn mask_logits(
        &mut self,
        values: &[Vec<f32>],
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
    ) -> Result<Vec<f32>, KernelError> {
        self.with_parameters(values, noised, timesteps, classes, |network, _| {
            Ok(network.mask_logits().to_vec())
        })
    }

    /// The noise that another network of the same shape predicts, `[images, 3, height, width]`, under `masks`
    /// (`[images, K, height, width]`; uniform ones if left out).
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn predict(
        &mut self,
        values: &[Vec<f32>],
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
        masks: Option<&[f32]>,
    ) -> Result<Vec<f32>, KernelError> {
        let options = self.network.options();
        let image = self.regions * options.height * options.width;
        self.with_parameters(values, noised, timesteps, classes, |network, images| {
            let given = masks.map_or(Masks::Uniform, |masks| {
                Masks::Given(&masks[images.start * image..images.end * image])
            });
            network.decode(given, None).map(<[f32]>::to_vec)
        })
    }

    /// Encodes all images, as many at once as the network takes, with `values` for parameters, and joins what `pass`
    /// makes of the images whose indices it is given. The learner's own parameters are back afterwards.
    fn with_parameters(
        &mut self,
        values: &[Vec<f32>],
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
        mut pass: impl FnMut(&mut TrainingNetwork, Range<usize>) -> Result<Vec<f32>, KernelError>,
    ) -> Result<Vec<f32>, KernelError> {
        let own = self.network.parameters().to_vec();
        self.network.parameters_mut().copy_from_slice(&values.concat());
        let options = self.network.options();
        let (image, batch) = (3 * options.height * options.width, options.batch);
        let mut joined = Vec::new();
        let mut result = Ok(());
        for (index, part) in timesteps.chunks(batch).enumerate() {
            let images = index * batch..index * batch + part.len();
            let timesteps: Vec<f32> = part.iter().map(|timestep| *timestep as f32).collect();
            let classes = (!classes.is_empty()).then(|| &classes[images.clone()]);
            let pictures = &noised[images.start * image..images.end * image];
            let made = match self.network.encode(pictures, &timesteps, classes) {
                Ok(()) => pass(&mut self.network, images),
                Err(error) => Err(error),
            };
            match made {
                Ok(values) => joined.extend(values),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.network.parameters_mut().copy_from_slice(&own);
        result.map(|()| joined)
    }

    /// Everything that a checkpoint holds.
    pub fn snapshot(&self) -> Snapshot {
        let split = |values: &[f32]| -> Vec<Vec<f32>> {
            self.ranges.iter().map(|range| values[range.clone()].to_vec()).collect()
        };
        let moments = self
            .ranges
            .iter()
            .zip(&self.updates)
            .map(|(range, updates)| {
                updates.map(|updates| Moments {
                    first: self.first[range.clone()].to_vec(),
                    second: self.second[range.clone()].to_vec(),
                    updates,
                })
            })
            .collect();
        Snapshot {
            raw: split(self.network.parameters()),
            average: split(&self.average),
            moments,
        }
    }

    /// Goes back to a snapshot of a learner of the same network.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let parameters = self.network.parameters_mut();
        for (index, range) in self.ranges.iter().enumerate() {
            parameters[range.clone()].copy_from_slice(&snapshot.raw[index]);
            self.average[range.clone()].copy_from_slice(&snapshot.average[index]);
            let moments = snapshot.moments[index].as_ref();
            self.updates[index] = moments.map(|moments| moments.updates);
            if let Some(moments) = moments {
                self.first[range.clone()].copy_from_slice(&moments.first);
                self.second[range.clone()].copy_from_slice(&moments.second);
            }
        }
    }

    /// The averaged weights, by parameter.
    pub fn average(&self) -> Vec<Vec<f32>> {
        self.ranges
            .iter()
            .map(|range| self.average[range.clone()].to_vec())
            .collect()
    }
}

/// The most images that go through the network at once for each of a micro-batch.
fn branches(recipe: &Recipe, regions: usize) -> usize {
    let competes = recipe.phases.iter().any(|phase| phase.competition.is_some());
    if competes { regions } else { 1 }
}
