//! Learning with burn's gradient tape, on any device: what runs on a GPU.

use std::ops::Range;

use burn::module::{AutodiffModule, Module, ModuleMapper, Param};
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{FloatDType, Int, TensorData};
use factorseg_model::parameters::{ParameterSpec, cast_weights, map_values, parameter_specs, visit_values};
use factorseg_model::{Features, ModelConfig, NoiseSchedule, Runtime};
use rand_chacha::ChaCha8Rng;

use super::chance::{kept_middles, random_head};
use super::names::rate_factor;
use super::{
    DECODER, Loss, MASK_GENERATOR, MASK_HEAD, MaskBatch, Moments, Slice, Snapshot, StepOutcome, on_device, values_of,
};
use crate::data::batch::MicroBatch;
use crate::data::order::{Stream, random, random_part};
use crate::recipe::{Competition, MaskHead, Phase, Recipe};
use crate::training::competition::{self, Branches};
use crate::training::ema::Average;
use crate::training::gradients::Gradients;
use crate::training::masks::{gumbel, shape_masks};
use crate::training::optimizer::{self, Adam};
use crate::training::random_masks::random_masks;
use crate::training::timing::{self, Part};
use crate::training::{Device, Network, Tensor};

/// `network` with its weights cast to the type that passes compute in: gradients go through the cast.
fn in_precision(network: Network, dtype: FloatDType) -> Network {
    match dtype {
        FloatDType::F32 => network,
        _ => cast_weights(network, dtype),
    }
}

/// Takes the parameters that do not learn off the tape, which computes no gradient for them then.
struct Freeze<I> {
    /// For each parameter, whether it stays.
    frozen: I,
}

impl<I: Iterator<Item = bool>> ModuleMapper<Runtime> for Freeze<I> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.frozen.next() != Some(true) {
            return param;
        }
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, Tensor::from_inner(tensor.inner()), mapper)
    }
}

/// Images that go through the network at once where nothing is learned.
const CHUNK: usize = 8;

/// The network in training: weights, their average, and Adam's moments.
#[derive(Debug)]
pub struct TapeLearner {
    /// Device with a gradient tape.
    device: Device,
    /// The device itself.
    plain: Device,
    network: Network,
    /// The network in the type that passes compute in; the same weights, on the same tape.
    working: Network,
    dtype: FloatDType,
    /// Of the step that is not applied yet.
    gradients: Option<Gradients>,
    /// `None` before the first update: a learner that only computes gradients does without.
    average: Option<Average>,
    average_rate: f64,
    adam: Adam,
    specs: Vec<ParameterSpec>,
    model: ModelConfig,
    seed: u64,
}

impl TapeLearner {
    /// A learner of `network` (on any device) on `device` (without a gradient tape). With [`FloatDType::BF16`] passes
    /// compute in bfloat16, but for norms, softmax, conditioning and loss; weights, gradients' sums and Adam stay in 32 bits.
    pub fn new(
        model: &ModelConfig,
        recipe: &Recipe,
        seed: u64,
        network: Network,
        device: &Device,
        dtype: FloatDType,
    ) -> Self {
        let specs = parameter_specs(&network);
        let tape = Device::autodiff(device.clone());
        let network = on_device(model, &tape, values_of(&network));
        Self {
            device: tape,
            plain: device.clone(),
            working: network.clone(),
            network,
            dtype,
            gradients: None,
            average: None,
            average_rate: recipe.ema_rate,
            adam: Adam::new(recipe.adam, specs.len()),
            specs,
            model: model.clone(),
            seed,
        }
    }

    /// Names and shapes of the parameters.
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// What happens once, before the first step of phase `index`.
    pub fn enter(&mut self, index: usize, phase: &Phase) {
        if phase.reset_optimizer {
            self.adam.reset();
        }
        let MaskHead::Released { std, from_decoder } = phase.mask_head else {
            return;
        };
        let mut decoder = std::collections::HashMap::new();
        if from_decoder {
            visit_values(&self.network, |name, _, values| {
                if let Some(rest) = name.strip_prefix(DECODER) {
                    decoder.insert(format!("{MASK_GENERATOR}{rest}"), values);
                }
            });
        }
        let mut random = random(self.seed, Stream::MaskHead, index as u64);
        self.network = map_values(self.network.clone(), |name, shape| match name.strip_prefix(MASK_HEAD) {
            Some("weight") => Some(random_head(&mut random, std, shape)),
            Some(_) => Some(vec![0.0; shape.iter().product()]),
            None => decoder.remove(name),
        });
        // Neither the average nor Adam should remember the head that is gone.
        let replaced: Vec<bool> = self
            .specs
            .iter()
            .map(|spec| spec.name.starts_with(MASK_GENERATOR))
            .collect();
        if let Some(average) = &mut self.average {
            average.copy(&self.network, &replaced);
        }
        for (moments, replaced) in self.adam.moments.iter_mut().zip(replaced) {
            if replaced {
                *moments = None;
            }
        }
    }

    /// The gradient of some micro-batches, in the place of any gradient from before.
    pub fn accumulate(&mut self, slice: &Slice<'_>, recipe: &Recipe, phase: &Phase, phase_step: u64) -> StepOutcome {
        let temperature = phase.masks.temperature.at(phase_step, phase.steps);
        let total = recipe.batch_size as f64;
        let mut sums: Option<(Gradients, Tensor<1>)> = None;
        let mut masks = None;
        for (index, part) in slice.parts.iter().enumerate() {
            timing::start();
            let mut chance = random_part(self.seed, Stream::Masks, slice.step, slice.first + index);
            self.working = in_precision(self.learned(recipe, phase), self.dtype);
            let (loss, part_masks) = match &phase.competition {
                _ if recipe.self_training.is_some() => self.imitation_loss(part),
                Some(competition) => self.competition_loss(part, competition, temperature, &mut chance),
                None => self.loss(part, phase, temperature, &mut chance),
            };
            let loss = loss * (part.size as f64 / total);
            timing::lap(Part::Forward);
            let gradients = Gradients::of(&loss, &self.network);
            timing::lap(Part::Backward);
            let loss = loss.inner();
            masks = part_masks.map(Tensor::inner);
            sums = Some(match sums {
                None => (gradients, loss),
                Some((mut sum, losses)) => {
                    sum.add(gradients);
                    (sum, losses + loss)
                }
            });
        }
        let (gradients, loss) = sums.unzip();
        self.gradients = gradients;
        StepOutcome {
            loss: loss.map_or(Loss::Known(0.0), Loss::Pending),
            masks: masks.map(MaskBatch::Device),
        }
    }

    /// The network with the tape at those parameters alone that learn in `phase`.
    fn learned(&self, recipe: &Recipe, phase: &Phase) -> Network {
        let frozen = self
            .specs
            .iter()
            .map(|spec| rate_factor(recipe, phase, &spec.name) == 0.0);
        self.network.clone().map(&mut Freeze { frozen })
    }

    /// Moves weights and average by the gradient, which ends step `step` of all and `phase_step` of `phase`.
    pub fn apply(&mut self, step: u64, recipe: &Recipe, phase: &Phase, phase_step: u64) {
        let Some(mut gradients) = self.gradients.take() else {
            return;
        };
        timing::start();
        if let Some(limit) = recipe.gradient_clip {
            gradients.clip(limit);
        }
        let rate = phase.learning_rate_at(phase_step);
        let rates = self
            .specs
            .iter()
            .map(|spec| rate * rate_factor(recipe, phase, &spec.name));
        let rates: Vec<f64> = rates.collect();
        // Weights that have not moved are their own average.
        let average = self
            .average
            .get_or_insert_with(|| Average::new(self.average_rate, self.network.valid()));
        self.network = self.adam.step(self.network.clone(), gradients, &rates);
        average.update(&self.network, step);
        // Or the weights of before would stay in memory.
        self.working = self.network.clone();
        timing::lap(Part::Optimizer);
    }

    /// The weights, flat, in the network's order.
    pub fn parameters(&self) -> Vec<f32> {
        let mut all = Vec::new();
        visit_values(&self.network, |_, _, values| all.extend(values));
        all
    }

    /// Takes over weights in the order of [`Self::parameters`].
    pub fn set_parameters(&mut self, values: &[f32]) {
        let mut rest = values;
        let split = self.specs.iter().map(|spec| {
            let (own, others) = rest.split_at(spec.shape.iter().product());
            rest = others;
            own.to_vec()
        });
        self.network = on_device(&self.model, &self.device, split.collect());
    }

    /// The gradient so far, in the order of [`Self::parameters`]; 0 where a parameter takes no part.
    pub fn gradients(&self) -> Vec<f32> {
        let mut all = Vec::new();
        for (index, spec) in self.specs.iter().enumerate() {
            match self.gradients.as_ref().and_then(|gradients| gradients.get(index)) {
                Some(gradient) => all.extend(gradient.to_data().iter::<f32>()),
                None => all.resize(all.len() + spec.shape.iter().product::<usize>(), 0.0),
            }
        }
        all
    }

    /// Adds a gradient in the order of [`Self::parameters`] to that of the parameters that take part.
    pub fn add_gradients(&mut self, values: &[f32]) {
        let Some(gradients) = &mut self.gradients else { return };
        let mut rest = values;
        for (index, spec) in self.specs.iter().enumerate() {
            let (own, others) = rest.split_at(spec.shape.iter().product());
            rest = others;
            let data = TensorData::new(own.to_vec(), [own.len()]);
            gradients.add_to(index, Tensor::from_data(data, &self.plain));
        }
    }

    /// Mean squared error of the noise (Eq. 8) and the masks it was predicted with.
    fn loss(
        &self,
        part: &MicroBatch,
        phase: &Phase,
        temperature: f64,
        chance: &mut ChaCha8Rng,
    ) -> (Tensor<1>, Option<Tensor<4>>) {
        let side = (part.noise.len() / (3 * part.size)).isqrt();
        let network = &self.working;
        let mut features = self.features(&part.noised, &part.timesteps, &part.classes);
        let masks = match phase.mask_head {
            MaskHead::Uniform => None,
            MaskHead::RandomPartition { softness } => {
                let masks = random_masks(chance, part.size, self.model.regions, side, softness);
                Some(self.tensor(masks, [part.size, self.model.regions, side, side]))
            }
            MaskHead::Released { .. } | MaskHead::Trained => {
                let logits = self.mask_logits_of(&features);
                let shape = logits.dims();
                let noise =
                    (phase.masks.gumbel > 0.0).then(|| self.tensor(gumbel(chance, shape.iter().product()), shape));
                Some(shape_masks(logits, &phase.masks, temperature, noise))
            }
        };
        if phase.middle_dropout > 0.0 {
            let kept = kept_middles(chance, part.size, phase.middle_dropout);
            features.middle = features.middle * self.tensor(kept, [part.size, 1, 1, 1]).cast(self.dtype);
        }
        let predicted = match &masks {
            Some(masks) => network
                .decode(&features, masks.clone().cast(self.dtype))
                .cast(FloatDType::F32),
            // K equal branches, each on 1/K of the features, weighted by 1/K: one of them is the sum.
            None => self.decode_uniform(&features, part.size, side),
        };
        let noise = self.tensor(part.noise.clone(), [part.size, 3, side, side]);
        let mut squares = (predicted - noise).square();
        let schedule = NoiseSchedule::new(&self.model.schedule);
        if let Some(weights) = phase.noise_weighting.weights(&schedule, &part.timesteps) {
            squares = squares * self.tensor(weights, [part.size, 1, 1, 1]);
        }
        let loss = squares.mean();
        (loss, masks.filter(|_| phase.mask_head.is_learned()))
    }

    /// As [`Self::loss`], with regions that compete. What is not the network's is computed on the CPU; the tape gets
    /// the gradients by predictions and logits as the weights of a linear function of them.
    fn competition_loss(
        &self,
        part: &MicroBatch,
        competition: &Competition,
        temperature: f64,
        chance: &mut ChaCha8Rng,
    ) -> (Tensor<1>, Option<Tensor<4>>) {
        let pixels = part.noise.len() / (3 * part.size);
        let side = pixels.isqrt();
        let host = |tensor: &Tensor<4>| tensor.to_data().iter::<f32>().collect::<Vec<_>>();
        let features = self.features(&part.noised, &part.timesteps, &part.classes);
        let logits = self.mask_logits_of(&features);
        let shares = competition::shares(competition, self.model.regions, chance);
        let schedule = NoiseSchedule::new(&self.model.schedule);
        let regions = competition::regions(part, &host(&logits), competition, &shares, temperature, &schedule);
        let branches = Branches::new(part, &regions, competition, &schedule, chance);
        let features = self.features(&branches.noised, &branches.timesteps, &branches.classes);
        let predicted = self.decode_uniform(&features, branches.timesteps.len(), side);
        let found = branches.compare(&host(&predicted), &regions, competition);
        let slopes = self.tensor(found.slopes, predicted.dims());
        let logit_slopes = regions.logit_slopes(found.mask_slopes);
        let logit_slopes = self.tensor(logit_slopes, logits.dims());
        let linear = (predicted * slopes).sum() + (logits * logit_slopes).sum();
        let loss = linear.clone() - linear.detach() + found.loss;
        let masks = self.tensor(regions.masks().to_vec(), [part.size, regions.count(), side, side]);
        (loss, Some(masks))
    }

    /// As [`Self::loss`], with a teacher's masks to learn: the cross entropy with them.
    fn imitation_loss(&self, part: &MicroBatch) -> (Tensor<1>, Option<Tensor<4>>) {
        let features = self.features(&part.noised, &part.timesteps, &part.classes);
        let logits = self.mask_logits_of(&features);
        let targets = self.tensor(part.targets.clone(), logits.dims());
        let [images, _, height, width] = logits.dims();
        let total = (images * height * width) as f64;
        let loss = -(log_softmax(logits.clone(), 1) * targets).sum() / total;
        (loss, Some(softmax(logits, 1)))
    }

    /// h_mid and h_enc of pictures `[timesteps, 3, side, side]`.
    fn features(&self, pictures: &[f32], timesteps: &[i32], classes: &[i32]) -> Features<Runtime> {
        let images = timesteps.len();
        let side = (pictures.len() / (3 * images)).isqrt();
        let class = (!classes.is_empty()).then(|| {
            burn::tensor::Tensor::<Runtime, 1, Int>::from_data(
                TensorData::new(classes.to_vec(), [images]),
                &self.device,
            )
        });
        let timesteps: Vec<f32> = timesteps.iter().map(|timestep| *timestep as f32).collect();
        let timesteps = Tensor::<1>::from_data(TensorData::new(timesteps, [images]), &self.device);
        let network = &self.working.mask_network;
        network.features(
            self.tensor(pictures.to_vec(), [images, 3, side, side]).cast(self.dtype),
            network.embed_float(timesteps, class).cast(self.dtype),
        )
    }

    /// The mask generator's output, in 32 bits.
    fn mask_logits_of(&self, features: &Features<Runtime>) -> Tensor<4> {
        self.working.mask_network.mask_logits(features).cast(FloatDType::F32)
    }

    /// The noise that the decoder predicts under uniform masks, in 32 bits.
    fn decode_uniform(&self, features: &Features<Runtime>, images: usize, side: usize) -> Tensor<4> {
        let regions = self.model.regions as f64;
        let uniform = Tensor::<4>::full([images, 1, side, side], 1.0 / regions, &self.device).cast(self.dtype);
        self.working.decode(features, uniform).cast(FloatDType::F32) * regions
    }

    fn tensor(&self, values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// Mask logits of noised images, `[images, K, height, width]`, by another network on the same device without a
    /// gradient tape.
    pub fn mask_logits(&self, network: &Network, noised: &[f32], timesteps: &[i32], classes: &[i32]) -> Vec<f32> {
        self.in_chunks(network, noised, timesteps, classes, |features, _| {
            network.mask_network.mask_logits(features)
        })
    }

    /// The noise that another network on the same device predicts without a gradient tape, `[images, 3, height, width]`,
    /// under `masks` (`[images, K, height, width]`; uniform ones if left out).
    pub fn predict(
        &self,
        network: &Network,
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
        masks: Option<&[f32]>,
    ) -> Vec<f32> {
        let (regions, side) = (self.model.regions, self.model.image_size);
        self.in_chunks(network, noised, timesteps, classes, |features, images| match masks {
            Some(masks) => {
                let image = regions * side * side;
                let values = masks[images.start * image..images.end * image].to_vec();
                let shape = [images.len(), regions, side, side];
                network.decode(features, Tensor::from_data(TensorData::new(values, shape), &self.plain))
            }
            None => {
                let uniform = Tensor::full([images.len(), 1, side, side], 1.0 / regions as f64, &self.plain);
                network.decode(features, uniform) * regions as f64
            }
        })
    }

    /// The features of all images by `network`, a few at once, and what `pass` makes of the images whose indices it is
    /// given, joined.
    fn in_chunks(
        &self,
        network: &Network,
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
        pass: impl Fn(&Features<Runtime>, Range<usize>) -> Tensor<4>,
    ) -> Vec<f32> {
        let side = self.model.image_size;
        let image = 3 * side * side;
        let network = &network.mask_network;
        let mut joined = Vec::new();
        for (index, part) in timesteps.chunks(CHUNK).enumerate() {
            let images = index * CHUNK..index * CHUNK + part.len();
            let pictures = noised[images.start * image..images.end * image].to_vec();
            let x_t = Tensor::<4>::from_data(TensorData::new(pictures, [part.len(), 3, side, side]), &self.plain);
            let integers = |values: &[i32]| {
                let data = TensorData::new(values.to_vec(), [part.len()]);
                burn::tensor::Tensor::<Runtime, 1, Int>::from_data(data, &self.plain)
            };
            let class = (!classes.is_empty()).then(|| integers(&classes[images.clone()]));
            let features = network.features(x_t, network.embed(integers(part), class));
            joined.extend(pass(&features, images).into_data().iter::<f32>());
        }
        joined
    }

    /// Everything that a checkpoint holds.
    pub fn snapshot(&self) -> Snapshot {
        let flat = |tensor: &Tensor<1>| tensor.to_data().iter::<f32>().collect();
        Snapshot {
            raw: values_of(&self.network),
            average: self.average(),
            moments: self
                .adam
                .moments
                .iter()
                .map(|moments| {
                    moments.as_ref().map(|moments| Moments {
                        first: flat(&moments.first),
                        second: flat(&moments.second),
                        updates: moments.updates,
                    })
                })
                .collect(),
        }
    }

    /// Goes back to a snapshot of a learner of the same network.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.network = on_device(&self.model, &self.device, snapshot.raw);
        let average = on_device(&self.model, &self.plain, snapshot.average);
        self.average = Some(Average::new(self.average_rate, average));
        let flat = |values: Vec<f32>| {
            let count = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [count]), &self.plain)
        };
        self.adam.moments = snapshot
            .moments
            .into_iter()
            .map(|moments| {
                moments.map(|moments| optimizer::Moments {
                    first: flat(moments.first),
                    second: flat(moments.second),
                    updates: moments.updates,
                })
            })
            .collect();
    }

    /// The averaged weights, by parameter.
    pub fn average(&self) -> Vec<Vec<f32>> {
        values_of(self.average.as_ref().map_or(&self.network, |average| &average.network))
    }
}
