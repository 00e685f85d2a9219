//! One optimizer step: predict the noise, compare, move the weights (Algorithm 1), on whatever computes it.

use anyhow::{Result, ensure};
use burn::DispatchDevice;
use burn::tensor::FloatDType;
use factorseg_model::parameters::{ParameterSpec, map_values, parameter_specs, visit_values};
use factorseg_model::{ModelConfig, Precision};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::monitor::MaskFigures;
use super::native::NativeLearner;
use super::tape::TapeLearner;
use super::{Device, Network, Tensor};
use crate::data::batch::{Batch, MicroBatch, normal};
use crate::recipe::{Phase, Recipe};

/// Name prefix of the mask generator's parameters.
pub(super) const MASK_GENERATOR: &str = "mask_generator.";
/// Name prefix of the decoder's parameters.
pub(super) const DECODER: &str = "decoder.";
/// Name prefix of the mask generator's last convolution.
pub(super) const MASK_HEAD: &str = "mask_generator.conv_out.";

/// The network in training: weights, their average, and Adam's moments. Both kinds compute the same.
#[derive(Debug)]
pub enum Learner {
    /// The network's own kernels, on the CPU.
    Native(Box<NativeLearner>),
    /// burn's gradient tape, on any device.
    Tape(Box<TapeLearner>),
}

/// Adam's memory of one parameter, flat.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Decaying mean of the gradient.
    pub first: Vec<f32>,
    /// Decaying mean of its square.
    pub second: Vec<f32>,
    /// Updates so far.
    pub updates: u64,
}

/// The whole state of a learner, by parameter in the network's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The weights.
    pub raw: Vec<Vec<f32>>,
    /// Their moving average.
    pub average: Vec<Vec<f32>>,
    /// Adam's moments; `None` before a parameter's first update.
    pub moments: Vec<Option<Moments>>,
}

/// Mean squared error of the predicted noise over a batch.
#[derive(Debug)]
pub enum Loss {
    /// Still on its device, `[1]`.
    Pending(Tensor<1>),
    /// At hand.
    Known(f32),
}

impl Loss {
    /// The number; waits for the device.
    pub fn value(self) -> f32 {
        match self {
            Self::Pending(tensor) => tensor.into_scalar(),
            Self::Known(value) => value,
        }
    }
}

/// Masks of a micro-batch.
#[derive(Debug)]
pub enum MaskBatch {
    /// Still on their device, `[images, K, height, width]`.
    Device(Tensor<4>),
    /// What was found out about them elsewhere.
    Figures(MaskFigures),
    /// At hand.
    Host {
        /// `[images, K, height, width]`, flat.
        values: Vec<f32>,
        /// Images.
        images: usize,
        /// Regions K.
        regions: usize,
    },
}

impl MaskBatch {
    /// What can be said about them.
    pub fn figures(self) -> MaskFigures {
        match self {
            Self::Device(masks) => {
                let [images, regions, _, _] = masks.dims();
                let values: Vec<f32> = masks.into_data().iter::<f32>().collect();
                MaskFigures::of(&values, images, regions)
            }
            Self::Figures(figures) => figures,
            Self::Host {
                values,
                images,
                regions,
            } => MaskFigures::of(&values, images, regions),
        }
    }
}

/// Some micro-batches of a step.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    /// 0-based step.
    pub step: u64,
    /// Index of the first of them within the batch.
    pub first: usize,
    /// The micro-batches.
    pub parts: &'a [MicroBatch],
}

/// What one step leaves behind.
#[derive(Debug)]
pub struct StepOutcome {
    /// The loss.
    pub loss: Loss,
    /// Masks of the last micro-batch; `None` while they are not learned.
    pub masks: Option<MaskBatch>,
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

/// For each image, whether the decoder sees `h_mid` (1) or not (0).
pub(super) fn kept_middles(chance: &mut ChaCha8Rng, images: usize, dropout: f64) -> Vec<f32> {
    (0..images)
        .map(|_| if chance.random::<f64>() < dropout { 0.0 } else { 1.0 })
        .collect()
}

/// Puts the shaping between logits and softmax into the head's weights, so that a plain softmax
/// of the new head gives the same soft masks. `statistics` holds mean and standard deviation of
/// each region's zero-sum logits, where the recipe normalises them.
pub fn export(network: Network, temperature: f64, statistics: Option<&[(f64, f64)]>) -> Network {
    if temperature == 1.0 && statistics.is_none() {
        return network;
    }
    let mut head: std::collections::HashMap<String, Vec<f32>> = std::collections::HashMap::new();
    visit_values(&network, |name, _, values| {
        if name.starts_with(MASK_HEAD) {
            head.insert(name.to_owned(), values);
        }
    });
    map_values(network, |name, shape| {
        let mut values = head.remove(name)?;
        let regions = shape[0];
        let per_region = values.len() / regions;
        let is_bias = shape.len() == 1;
        if statistics.is_some() {
            zero_sum_over_regions(&mut values, regions);
        }
        for (index, value) in values.iter_mut().enumerate() {
            let (mean, deviation) = statistics.map_or((0.0, 1.0), |all| all[index / per_region]);
            let shifted = f64::from(*value) - if is_bias { mean } else { 0.0 };
            *value = (shifted / (deviation * temperature)) as f32;
        }
        Some(values)
    })
}

/// Takes the mean over regions out of a weight or bias, `[regions, ...]` flat: the logits it makes
/// have sum zero.
fn zero_sum_over_regions(values: &mut [f32], regions: usize) {
    let per_region = values.len() / regions;
    for index in 0..per_region {
        let mean = (0..regions)
            .map(|region| f64::from(values[region * per_region + index]))
            .sum::<f64>()
            / regions as f64;
        for region in 0..regions {
            let value = &mut values[region * per_region + index];
            *value = (f64::from(*value) - mean) as f32;
        }
    }
}

/// A network of the given shape with the given parameter values, on `device`.
pub fn on_device(model: &ModelConfig, device: &Device, values: Vec<Vec<f32>>) -> Network {
    let mut values = values.into_iter();
    map_values(model.init(device), |_, _| values.next())
}

/// Weights of a mask head that leaves the saddle.
pub(super) fn random_head(random: &mut ChaCha8Rng, std: Option<f64>, shape: &[usize]) -> Vec<f32> {
    let fan_in: usize = shape[1..].iter().product();
    let std = std.unwrap_or_else(|| 1.0 / (3.0 * fan_in as f64).sqrt());
    let mut values = Vec::new();
    normal(random, shape.iter().product(), &mut values);
    for value in &mut values {
        *value *= std as f32;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::order::{Stream, random};
    use crate::recipe::{Competition, MaskHead, MaskShaping, NoiseWeighting, Normalisation, Ramp};
    use crate::training::masks::{statistics, zero_sum};
    use burn::tensor::{Int, TensorData};
    use factorseg_model::{DeviceSpec, NoiseSchedule, Preset, Runtime};

    fn config() -> ModelConfig {
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

    fn cpu() -> Device {
        DeviceSpec::Cpu.resolve().unwrap()
    }

    /// A network whose every weight is random: fresh ones predict zero.
    fn scrambled(config: &ModelConfig, zero_mask_head: bool) -> Network {
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

    fn recipe(mask_head: MaskHead) -> Recipe {
        let mut recipe = Recipe::load("two-phase").unwrap();
        recipe.batch_size = 4;
        recipe.phases.truncate(1);
        recipe.phases[0].mask_head = mask_head;
        recipe.phases[0].warmup_steps = 0;
        recipe.phases[0].learning_rate = 1e-3;
        recipe
    }

    fn batch(parts: &[usize]) -> Batch {
        let mut random = random(12, Stream::Sample, 0);
        let mut values = |count| {
            let mut values = Vec::new();
            normal(&mut random, count, &mut values);
            values
        };
        let all: (Vec<f32>, Vec<f32>) = (values(4 * 192), values(4 * 192));
        let mut first = 0;
        let parts = parts
            .iter()
            .map(|size| {
                let range = first * 192..(first + size) * 192;
                let part = MicroBatch {
                    size: *size,
                    noised: all.0[range.clone()].to_vec(),
                    noise: all.1[range].to_vec(),
                    timesteps: (first..first + size).map(|i| 10 + 200 * i as i32).collect(),
                    classes: (first..first + size).map(|i| (i % 3) as i32).collect(),
                };
                first += size;
                part
            })
            .collect();
        Batch { step: 0, parts }
    }

    fn both(recipe: &Recipe, network: &Network) -> [Learner; 2] {
        both_of(&config(), recipe, network)
    }

    fn both_of(config: &ModelConfig, recipe: &Recipe, network: &Network) -> [Learner; 2] {
        [
            Learner::new(config, recipe, 1, network.clone(), &cpu(), 1, Precision::F32).unwrap(),
            Learner::with_tape(config, recipe, 1, network.clone(), &cpu(), Precision::F32),
        ]
    }

    fn native(recipe: &Recipe, network: &Network) -> Learner {
        let [native, _] = both(recipe, network);
        native
    }

    fn first_step(learner: &mut Learner, recipe: &Recipe, parts: &[usize]) -> f32 {
        let outcome = learner.step(&batch(parts), recipe, &recipe.phases[0], 0).unwrap();
        outcome.loss.value()
    }

    /// Gradients by parameter after one step: Adam's first moments start with a tenth of them.
    fn gradients(learner: &Learner) -> Vec<(String, Option<Vec<f32>>)> {
        let names = learner.specs().iter().map(|spec| spec.name.clone());
        let moments = learner.snapshot().moments;
        names
            .zip(
                moments
                    .into_iter()
                    .map(|moments| moments.map(|m| m.first.iter().map(|g| g * 10.0).collect())),
            )
            .collect()
    }

    fn norm(values: &[f32]) -> f64 {
        values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
    }

    /// The norm of the difference against the norm itself; what is nothing beside `whole` is rounding.
    fn assert_same(name: &str, a: &[f32], b: &[f32], relative: f64, whole: f64) {
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let (difference, size) = (norm(&difference), norm(b));
        assert!(
            difference < relative * size + 1e-5 * whole,
            "{name}: {difference:e} of {size:e}, all {whole:e}"
        );
    }

    fn whole(gradients: &[(String, Option<Vec<f32>>)]) -> f64 {
        gradients
            .iter()
            .flat_map(|(_, g)| g)
            .map(|g| norm(g).powi(2))
            .sum::<f64>()
            .sqrt()
    }

    /// Every kind of masks and shaping, several steps in micro-batches with clipping, weight decay, average and a part
    /// that learns faster: the kernels and the tape give the same losses, gradients and weights.
    #[test]
    fn kernels_and_tape_learn_alike() {
        let released = MaskHead::Released {
            std: Some(0.3),
            from_decoder: true,
        };
        let shaped = MaskShaping {
            normalise: Normalisation::Batch,
            temperature: Ramp { from: 0.9, to: 0.6 },
            hard: 0.5,
            gumbel: 0.3,
        };
        for (mask_head, masks, middle_dropout) in [
            (MaskHead::Uniform, MaskShaping::default(), 0.0),
            (MaskHead::RandomPartition { softness: 0.5 }, MaskShaping::default(), 0.5),
            (released, MaskShaping::default(), 0.0),
            (MaskHead::Trained, shaped, 0.3),
        ] {
            let mut recipe = recipe(mask_head);
            let phase = &mut recipe.phases[0];
            phase.masks = masks;
            phase.middle_dropout = middle_dropout;
            assert_learn_alike(&config(), recipe);
        }
    }

    /// The same of a loss that counts by the noise level.
    #[test]
    fn kernels_and_tape_weight_alike() {
        for mask_head in [MaskHead::Uniform, MaskHead::Trained] {
            let mut recipe = recipe(mask_head);
            recipe.phases[0].noise_weighting = NoiseWeighting::MinSnr { gamma: 2.0 };
            assert_learn_alike(&config(), recipe);
        }
    }

    /// One image at a time, so that each has one weight: loss and gradients are the unweighted ones times it.
    #[test]
    fn the_noise_level_scales_loss_and_gradients() {
        let network = scrambled(&config(), false);
        let plain = recipe(MaskHead::Trained);
        let mut weighted = plain.clone();
        weighted.phases[0].noise_weighting = NoiseWeighting::MinSnr { gamma: 2.0 };
        let schedule = NoiseSchedule::new(&config().schedule);
        let mut part = batch(&[1]);
        part.parts[0].timesteps = vec![40];
        let weight = weighted.phases[0].noise_weighting.weight(&schedule, 40);
        assert!(weight > 0.01 && weight < 0.5, "{weight}");
        for (mut a, mut b) in both(&plain, &network).into_iter().zip(both(&weighted, &network)) {
            let loss = |learner: &mut Learner, recipe: &Recipe| {
                let outcome = learner.step(&part, recipe, &recipe.phases[0], 0).unwrap();
                f64::from(outcome.loss.value())
            };
            let (one, other) = (loss(&mut a, &plain), loss(&mut b, &weighted));
            assert!((one * weight - other).abs() < 1e-5 * one, "{one} {other} {weight}");
            let (one, other) = (gradients(&a), gradients(&b));
            let whole = whole(&other);
            for ((name, a), (_, b)) in one.iter().zip(&other) {
                let scaled: Vec<f32> = a.as_ref().unwrap().iter().map(|g| g * weight as f32).collect();
                assert_same(name, &scaled, b.as_ref().unwrap(), 1e-3, whole);
            }
        }
    }

    /// The same of regions that compete.
    #[test]
    fn kernels_and_tape_compete_alike() {
        let mut recipe = recipe(MaskHead::Trained);
        recipe.phases[0].competition = Some(Competition::default());
        for regions in [2, 3] {
            let config = ModelConfig { regions, ..config() };
            assert_learn_alike(&config, recipe.clone());
        }
    }

    fn assert_learn_alike(config: &ModelConfig, mut recipe: Recipe) {
        recipe.gradient_clip = Some(0.05);
        recipe.micro_batch = Some(3);
        recipe.adam.weight_decay = 0.1;
        // Adam divides by the gradient's own size: without this, rounding of a gradient of 0 would be a step.
        recipe.adam.epsilon = 1e-4;
        recipe.phases[0].mask_generator_factor = 3.0;
        let mask_head = recipe.phases[0].mask_head;
        let [mut kernels, mut tape] = both_of(config, &recipe, &scrambled(config, false));
        for learner in [&mut kernels, &mut tape] {
            learner.enter(0, &recipe.phases[0]);
        }
        for step in 0..3 {
            let part = Batch { step, ..batch(&[3, 1]) };
            let [a, b] = [&mut kernels, &mut tape].map(|learner| {
                let outcome = learner.step(&part, &recipe, &recipe.phases[0], step).unwrap();
                let figures = outcome.masks.map(MaskBatch::figures);
                (outcome.loss.value(), figures.map(|figures| figures.entropy))
            });
            assert!((a.0 - b.0).abs() < 1e-4 * b.0, "{mask_head:?}: loss {a:?} {b:?}");
            assert_eq!(a.1.is_some(), b.1.is_some());
            if let (Some(a), Some(b)) = (a.1, b.1) {
                assert!((a - b).abs() < 1e-3, "{mask_head:?}: entropy {a} {b}");
            }
            if step == 0 {
                let (one, all) = (gradients(&kernels), gradients(&tape));
                let whole = whole(&all);
                for ((name, a), (_, b)) in one.iter().zip(&all) {
                    match (a, b) {
                        (Some(a), Some(b)) => assert_same(name, a, b, 1e-4, whole),
                        (a, b) => assert!(a.is_none() && b.is_none(), "{name}"),
                    }
                }
            }
        }
        let (a, b) = (kernels.snapshot(), tape.snapshot());
        for (index, spec) in kernels.specs().iter().enumerate() {
            assert_same(&spec.name, &a.raw[index], &b.raw[index], 1e-4, 1.0);
            assert_same(&spec.name, &a.average[index], &b.average[index], 1e-4, 1.0);
            let updates = |snapshot: &Snapshot| snapshot.moments[index].as_ref().map(|moments| moments.updates);
            assert_eq!(updates(&a), updates(&b), "{}", spec.name);
        }
    }

    /// What burn computes on CUDA in bfloat16, computed by burn on the CPU: norms, softmax and loss in 32 bits, weights kept in
    /// 32 bits.
    #[test]
    fn bfloat16_learns_as_32_bits_but_for_rounding() {
        let refused = Learner::new(
            &config(),
            &recipe(MaskHead::Trained),
            1,
            scrambled(&config(), false),
            &cpu(),
            1,
            Precision::Bf16,
        );
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains("bf16") && message.contains("--precision f32"),
            "{message}"
        );
        for mut recipe in [recipe(MaskHead::Uniform), recipe(MaskHead::Trained), competing()] {
            recipe.adam.epsilon = 1e-4;
            let competes = recipe.phases[0].competition.is_some();
            let config = ModelConfig {
                regions: if competes { 2 } else { 3 },
                ..config()
            };
            let network = scrambled(&config, false);
            let [mut exact, mut rounded] = [Precision::F32, Precision::Bf16]
                .map(|precision| Learner::with_tape(&config, &recipe, 1, network.clone(), &cpu(), precision));
            let before = rounded.snapshot();
            let (a, b) = (
                first_step(&mut exact, &recipe, &[3, 1]),
                first_step(&mut rounded, &recipe, &[3, 1]),
            );
            assert!(a != b && (a - b).abs() < 0.02 * a, "{a} {b}");
            let (one, other) = (gradients(&exact), gradients(&rounded));
            let (mut along, mut norms) = (0.0, [0.0, 0.0]);
            for ((name, a), (_, b)) in one.iter().zip(&other) {
                assert_eq!(a.is_some(), b.is_some(), "{name}");
                for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
                    let (a, b) = (f64::from(*a), f64::from(*b));
                    along += a * b;
                    norms[0] += a * a;
                    norms[1] += b * b;
                }
            }
            let cosine = along / (norms[0] * norms[1]).sqrt();
            // A pixel at the threshold of the foreground may be rounded to its other side.
            let least = if competes { 0.9 } else { 0.99 };
            assert!(cosine > least && cosine < 1.0, "cosine of the gradients: {cosine}");
            // Steps that bfloat16 could not hold: a part in 256 of a weight.
            let after = rounded.snapshot();
            let finer = |before: &f32, after: &f32| before != after && (before - after).abs() < before.abs() / 512.0;
            let weights = before.raw.iter().flatten().zip(after.raw.iter().flatten());
            assert!(weights.filter(|(before, after)| finer(before, after)).count() > 1000);
            let losses: Vec<f32> = (0..15).map(|_| first_step(&mut rounded, &recipe, &[4])).collect();
            assert!(losses[14] < losses[0], "{losses:?}");
        }
    }

    fn competing() -> Recipe {
        let mut recipe = recipe(MaskHead::Trained);
        recipe.phases[0].competition = Some(Competition::default());
        recipe
    }

    /// What one kind saves, the other goes on with.
    #[test]
    fn a_snapshot_comes_back() {
        let recipe = recipe(MaskHead::Trained);
        let [mut kernels, mut tape] = both(&recipe, &scrambled(&config(), false));
        first_step(&mut kernels, &recipe, &[4]);
        let snapshot = kernels.snapshot();
        tape.restore(snapshot.clone());
        assert!(tape.snapshot() == snapshot);
        first_step(&mut kernels, &recipe, &[4]);
        kernels.restore(tape.snapshot());
        assert!(kernels.snapshot() == snapshot);
    }

    /// The loss along a parameter's gradient, against central differences.
    #[test]
    fn gradients_agree_with_finite_differences() {
        let recipe = recipe(MaskHead::Trained);
        let network = scrambled(&config(), false);
        let mut started = native(&recipe, &network);
        let before = started.snapshot();
        first_step(&mut started, &recipe, &[4]);
        for (index, (name, gradient)) in gradients(&started).into_iter().enumerate() {
            let gradient = gradient.unwrap();
            let slope = norm(&gradient);
            if slope < 1e-3 {
                continue;
            }
            let mut along = |distance: f64| {
                let mut moved = before.clone();
                for (value, gradient) in moved.raw[index].iter_mut().zip(&gradient) {
                    *value += (distance / slope) as f32 * gradient;
                }
                started.restore(moved);
                f64::from(first_step(&mut started, &recipe, &[4]))
            };
            let found = (along(0.02) - along(-0.02)) / 0.04;
            assert!(
                (found - slope).abs() < 0.05 * slope + 2e-5,
                "{name}: {found:e} by differences, {slope:e} by the network"
            );
        }
    }

    #[test]
    fn one_branch_for_uniform_masks_is_the_whole_network() {
        let (short, full) = (recipe(MaskHead::Uniform), recipe(MaskHead::Trained));
        let network = scrambled(&config(), true);
        for (mut one, mut all) in both(&short, &network).into_iter().zip(both(&full, &network)) {
            let (a, b) = (first_step(&mut one, &short, &[4]), first_step(&mut all, &full, &[4]));
            assert!((a - b).abs() < 1e-5, "{a} {b}");
            let (one, all) = (gradients(&one), gradients(&all));
            let whole = whole(&all);
            for ((name, a), (_, b)) in one.iter().zip(&all) {
                let b = b.as_ref().unwrap();
                match a {
                    Some(a) => assert_same(name, a, b, 1e-3, whole),
                    // The saddle: nothing but rounding reaches the mask generator.
                    None => assert!(
                        name.starts_with(MASK_GENERATOR) && norm(b) < 1e-5 * whole,
                        "{name} {:e}",
                        norm(b)
                    ),
                }
            }
        }
    }

    #[test]
    fn micro_batches_give_the_gradient_of_the_batch() {
        let recipe = recipe(MaskHead::Trained);
        let network = scrambled(&config(), false);
        for kind in 0..2 {
            let run = |parts: &[usize]| {
                let mut learner = both(&recipe, &network).into_iter().nth(kind).unwrap();
                let loss = first_step(&mut learner, &recipe, parts);
                (loss, gradients(&learner))
            };
            let ((a, one), (b, sum)) = (run(&[4]), run(&[1, 3]));
            assert!((a - b).abs() < 1e-5, "{a} {b}");
            let whole = whole(&one);
            for ((name, a), (_, b)) in one.iter().zip(&sum) {
                assert_same(name, a.as_ref().unwrap(), b.as_ref().unwrap(), 1e-3, whole);
            }
        }
    }

    #[test]
    fn rates_of_zero_freeze_a_part() {
        let mut recipe = recipe(MaskHead::Released {
            std: Some(0.1),
            from_decoder: false,
        });
        recipe.phases[0].denoiser_factor = 0.0;
        for mut learner in both(&recipe, &scrambled(&config(), true)) {
            learner.enter(0, &recipe.phases[0]);
            let before = learner.snapshot();
            first_step(&mut learner, &recipe, &[4]);
            let after = learner.snapshot();
            for (index, spec) in learner.specs().iter().enumerate() {
                let moved = before.raw[index] != after.raw[index];
                assert_eq!(spec.name.starts_with(MASK_GENERATOR), moved, "{}", spec.name);
                assert_eq!(after.moments[index].is_some(), moved, "{}", spec.name);
            }
        }
    }

    #[test]
    fn a_release_draws_the_head_and_may_copy_the_decoder() {
        let recipe = recipe(MaskHead::Released {
            std: Some(0.02),
            from_decoder: true,
        });
        let mut snapshots = Vec::new();
        for mut learner in both(&recipe, &scrambled(&config(), true)) {
            first_step(&mut learner, &recipe, &[4]);
            learner.enter(0, &recipe.phases[0]);
            let snapshot = learner.snapshot();
            let names = learner.specs().iter().map(|spec| spec.name.clone());
            let all: std::collections::HashMap<_, _> = names.zip(snapshot.raw.clone()).collect();
            let head = &all["mask_generator.conv_out.weight"];
            let deviation = (head.iter().map(|v| v * v).sum::<f32>() / head.len() as f32).sqrt();
            assert!((deviation - 0.02).abs() < 0.004, "{deviation}");
            assert!(all["mask_generator.conv_out.bias"].iter().all(|v| *v == 0.0));
            let copied = all
                .keys()
                .filter_map(|name| name.strip_prefix(DECODER))
                .filter(|rest| !rest.starts_with("conv_out"))
                .count();
            assert!(copied > 20);
            for (name, values) in &all {
                if let Some(rest) = name.strip_prefix(DECODER).filter(|rest| !rest.starts_with("conv_out")) {
                    assert_eq!(values, &all[&format!("{MASK_GENERATOR}{rest}")], "{rest}");
                }
            }
            for (index, spec) in learner.specs().iter().enumerate() {
                let new = spec.name.starts_with(MASK_GENERATOR);
                // The average has the new mask generator too, and Adam forgets the old one.
                assert!(!new || snapshot.average[index] == snapshot.raw[index], "{}", spec.name);
                assert_eq!(snapshot.moments[index].is_none(), new, "{}", spec.name);
            }
            snapshots.push(head.clone());
        }
        assert_eq!(snapshots[0], snapshots[1]);
    }

    #[test]
    fn an_exported_head_needs_no_shaping() {
        let network = scrambled(&config(), false);
        let x_t = Tensor::<4>::from_data(
            TensorData::new(batch(&[4]).parts[0].noised.clone(), [4, 3, 8, 8]),
            &cpu(),
        );
        let logits = |network: &Network| {
            let timestep = burn::tensor::Tensor::<Runtime, 1, Int>::full([4], 30, &cpu());
            let network = &network.mask_network;
            network.mask_logits(&network.features(x_t.clone(), network.embed(timestep, None)))
        };
        let (mean, deviation) = statistics(zero_sum(logits(&network)));
        let normalised = (zero_sum(logits(&network)) - mean.clone()) / deviation.clone() / 0.5;
        let values = |tensor: Tensor<4>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
        let statistics: Vec<(f64, f64)> = values(mean).into_iter().zip(values(deviation)).collect();
        let exported = logits(&export(network, 0.5, Some(&statistics)));
        for (a, b) in values(normalised).into_iter().zip(values(exported)) {
            assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{a} {b}");
        }
    }

    /// Another network's passes leave the learner as it was.
    #[test]
    fn passes_of_another_network_are_the_same_by_both() {
        let recipe = recipe(MaskHead::Trained);
        let network = scrambled(&config(), false);
        let noised = [batch(&[4]).parts[0].noised.clone(), batch(&[4]).parts[0].noised.clone()].concat();
        let classes: Vec<i32> = (0..8).map(|image| image % 3).collect();
        let timesteps = [30, 1, 500, 60, 90, 1000, 7];
        let mut masks = Vec::new();
        normal(&mut random(5, Stream::Sample, 0), 7 * 3 * 64, &mut masks);
        let [a, b] = both(&recipe, &config().init(&cpu())).map(|mut learner| {
            let before = learner.snapshot();
            // More images than a batch of the learner, and no multiple of it.
            let (noised, classes) = (&noised[..7 * 192], &classes[..7]);
            let mut passes = learner.mask_logits(&network, noised, &timesteps, classes).unwrap();
            assert_eq!(passes.len(), 7 * 3 * 64);
            for masks in [None, Some(masks.as_slice())] {
                let predicted = learner.predict(&network, noised, &timesteps, classes, masks).unwrap();
                assert_eq!(predicted.len(), noised.len());
                passes.extend(predicted);
            }
            assert!(before == learner.snapshot());
            passes
        });
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} {b}");
        }
    }

    #[test]
    fn training_lowers_the_loss() {
        let recipe = recipe(MaskHead::Released {
            std: None,
            from_decoder: false,
        });
        for mut learner in both(&recipe, &config().init(&cpu())) {
            learner.enter(0, &recipe.phases[0]);
            let losses: Vec<f32> = (0..25).map(|_| first_step(&mut learner, &recipe, &[4])).collect();
            assert!(losses[24] < 0.9 * losses[0], "{losses:?}");
        }
    }
}
