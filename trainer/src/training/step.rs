//! One optimizer step: predict the noise, compare, move the weights (Algorithm 1).

use burn::tensor::{Int, TensorData};
use factorseg_model::parameters::{map_values, parameter_specs, visit_values};
use factorseg_model::{ModelConfig, Runtime};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::ema::Average;
use super::gradients::Gradients;
use super::masks::{gumbel, shape_masks};
use super::optimizer::Adam;
use super::random_masks::random_masks;
use super::{Device, Network, Tensor};
use crate::data::batch::{Batch, MicroBatch, normal};
use crate::data::order::{Stream, random};
use crate::recipe::{MaskHead, Phase, Recipe};

/// Name prefix of the mask generator's parameters.
const MASK_GENERATOR: &str = "mask_generator.";
/// Name prefix of the decoder's parameters.
const DECODER: &str = "decoder.";
/// Name prefix of the mask generator's last convolution.
const MASK_HEAD: &str = "mask_generator.conv_out.";

/// The network in training: weights, their average, and Adam's moments.
#[derive(Debug)]
pub struct Learner {
    /// Device with a gradient tape.
    pub device: Device,
    /// The weights.
    pub network: Network,
    /// Their moving average.
    pub average: Average,
    /// The optimizer.
    pub adam: Adam,
    /// Parameter names in the network's order.
    pub names: Vec<String>,
    regions: usize,
    seed: u64,
}

/// What one step leaves behind.
#[derive(Debug)]
pub struct StepOutcome {
    /// Mean squared error of the predicted noise over the batch, still on the device, `[1]`.
    pub loss: Tensor<1>,
    /// Masks of the last micro-batch, `[size, K, height, width]`; `None` while they are not learned.
    pub masks: Option<Tensor<4>>,
}

impl Learner {
    /// A learner of `network` (on any device) on `device` (without a gradient tape).
    pub fn new(model: &ModelConfig, recipe: &Recipe, seed: u64, network: Network, device: &Device) -> Self {
        let names: Vec<String> = parameter_specs(&network).into_iter().map(|spec| spec.name).collect();
        let tape = Device::autodiff(device.clone());
        let mut values = Vec::with_capacity(names.len());
        visit_values(&network, |_, _, value| values.push(value));
        let average = on_device(model, device, values.clone());
        let network = on_device(model, &tape, values);
        Self {
            device: tape,
            network,
            average: Average::new(recipe.ema_rate, average),
            adam: Adam::new(recipe.adam, names.len()),
            names,
            regions: model.regions,
            seed,
        }
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
        let replaced: Vec<bool> = self.names.iter().map(|name| name.starts_with(MASK_GENERATOR)).collect();
        self.average.copy(&self.network, &replaced);
        for (moments, replaced) in self.adam.moments.iter_mut().zip(replaced) {
            if replaced {
                *moments = None;
            }
        }
    }

    /// Trains on one batch, which is step `step` of all and `phase_step` of `phase`.
    pub fn step(&mut self, batch: &Batch, recipe: &Recipe, phase: &Phase, phase_step: u64) -> StepOutcome {
        let temperature = phase.masks.temperature.at(phase_step, phase.steps);
        let total = recipe.batch_size as f64;
        let mut sums: Option<(Gradients, Tensor<1>)> = None;
        let mut masks = None;
        let mut chance = random(self.seed, Stream::Masks, batch.step);
        for part in &batch.parts {
            let (loss, part_masks) = self.loss(part, phase, temperature, &mut chance);
            let loss = loss * (part.size as f64 / total);
            let gradients = Gradients::of(&loss, &self.network);
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
        let Some((mut gradients, loss)) = sums else {
            return StepOutcome {
                loss: Tensor::zeros([1], &self.device).inner(),
                masks,
            };
        };
        if let Some(limit) = recipe.gradient_clip {
            gradients.clip(limit);
        }
        let rate = phase.learning_rate_at(phase_step);
        let rates: Vec<f64> = self
            .names
            .iter()
            .map(|name| {
                let masks = name.starts_with(MASK_GENERATOR);
                rate * if masks {
                    phase.mask_generator_factor
                } else {
                    phase.denoiser_factor
                }
            })
            .collect();
        self.network = self.adam.step(self.network.clone(), gradients, &rates);
        self.average.update(&self.network, batch.step);
        StepOutcome { loss, masks }
    }

    /// Mean squared error of the noise (Eq. 8) and the masks it was predicted with.
    fn loss(
        &self,
        part: &MicroBatch,
        phase: &Phase,
        temperature: f64,
        chance: &mut ChaCha8Rng,
    ) -> (Tensor<1>, Option<Tensor<4>>) {
        let side = ((part.noise.len() / (3 * part.size)) as f64).sqrt() as usize;
        let shape = [part.size, 3, side, side];
        let images = |values: &[f32]| self.tensor(values.to_vec(), shape);
        let integers = |values: &[i32]| {
            burn::tensor::Tensor::<Runtime, 1, Int>::from_data(
                TensorData::new(values.to_vec(), [values.len()]),
                &self.device,
            )
        };
        let class = (!part.classes.is_empty()).then(|| integers(&part.classes));
        let network = &self.network.mask_network;
        let timesteps: Vec<f32> = part.timesteps.iter().map(|timestep| *timestep as f32).collect();
        let timesteps = Tensor::<1>::from_data(TensorData::new(timesteps, [part.size]), &self.device);
        let mut features = network.features(images(&part.noised), network.embed_float(timesteps, class));
        let masks = match phase.mask_head {
            MaskHead::Uniform => None,
            MaskHead::RandomPartition { softness } => {
                let masks = random_masks(chance, part.size, self.regions, side, softness);
                Some(self.tensor(masks, [part.size, self.regions, side, side]))
            }
            MaskHead::Released { .. } | MaskHead::Trained => {
                let logits = network.mask_logits(&features);
                let shape = logits.dims();
                let noise =
                    (phase.masks.gumbel > 0.0).then(|| self.tensor(gumbel(chance, shape.iter().product()), shape));
                Some(shape_masks(logits, &phase.masks, temperature, noise))
            }
        };
        if phase.middle_dropout > 0.0 {
            let kept = (0..part.size)
                .map(|_| {
                    if chance.random::<f64>() < phase.middle_dropout {
                        0.0
                    } else {
                        1.0
                    }
                })
                .collect();
            features.middle = features.middle * self.tensor(kept, [part.size, 1, 1, 1]);
        }
        let predicted = match &masks {
            Some(masks) => self.network.decode(&features, masks.clone()),
            // K equal branches, each on 1/K of the features, weighted by 1/K: one of them is the sum.
            None => {
                let uniform = Tensor::full([part.size, 1, side, side], 1.0 / self.regions as f64, &self.device);
                self.network.decode(&features, uniform) * self.regions as f64
            }
        };
        let loss = (predicted - images(&part.noise)).square().mean();
        (loss, masks.filter(|_| phase.mask_head.is_learned()))
    }

    fn tensor(&self, values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
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

fn random_head(random: &mut ChaCha8Rng, std: Option<f64>, shape: &[usize]) -> Vec<f32> {
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
    use crate::training::masks::{statistics, zero_sum};
    use crate::training::optimizer::Moments;
    use factorseg_model::{DeviceSpec, Preset};

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

    fn learner(recipe: &Recipe, network: Network) -> Learner {
        Learner::new(&config(), recipe, 1, network, &cpu())
    }

    fn weights(network: &Network) -> Vec<(String, Vec<f32>)> {
        let mut all = Vec::new();
        visit_values(network, |name, _, values| all.push((name.to_owned(), values)));
        all
    }

    fn loss(outcome: StepOutcome) -> f32 {
        outcome.loss.into_scalar()
    }

    /// Adam's first moments after one step (a tenth of the gradient), by parameter.
    fn gradients(learner: &Learner) -> Vec<(String, Option<Vec<f32>>)> {
        let values = |moments: &Moments| moments.first.to_data().iter::<f32>().collect();
        learner
            .names
            .iter()
            .cloned()
            .zip(learner.adam.moments.iter().map(|m| m.as_ref().map(values)))
            .collect()
    }

    fn norm(values: &[f32]) -> f64 {
        values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
    }

    /// The norm of the difference against the norm itself; what is nothing beside `whole` is rounding.
    fn assert_same_gradient(name: &str, a: &[f32], b: &[f32], whole: f64) {
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let (difference, size) = (norm(&difference), norm(b));
        assert!(
            difference < 1e-3 * size + 1e-5 * whole,
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

    /// The loss along a parameter's gradient, against central differences.
    #[test]
    fn gradients_agree_with_finite_differences() {
        let recipe = recipe(MaskHead::Trained);
        let network = scrambled(&config(), false);
        let mut started = learner(&recipe, network.clone());
        started.step(&batch(&[4]), &recipe, &recipe.phases[0], 0);
        for (name, gradient) in gradients(&started) {
            // Adam starts with a tenth of the gradient.
            let gradient: Vec<f32> = gradient.unwrap().iter().map(|g| g * 10.0).collect();
            let slope = norm(&gradient);
            if slope < 1e-3 {
                continue;
            }
            let along = |distance: f64| {
                let moved = map_values(network.clone(), |other, _| {
                    (other == name).then(|| {
                        let mut moved = Vec::new();
                        visit_values(&network, |other, _, values| {
                            if other == name {
                                moved = values;
                            }
                        });
                        moved
                            .iter()
                            .zip(&gradient)
                            .map(|(w, g)| w + (distance / slope) as f32 * g)
                            .collect()
                    })
                });
                let learner = learner(&recipe, moved);
                let (loss, _) = learner.loss(
                    &batch(&[4]).parts[0],
                    &recipe.phases[0],
                    1.0,
                    &mut random(0, Stream::Masks, 0),
                );
                f64::from(loss.into_scalar())
            };
            let found = (along(0.02) - along(-0.02)) / 0.04;
            assert!(
                (found - slope).abs() < 0.05 * slope + 2e-5,
                "{name}: {found:e} by differences, {slope:e} by the tape"
            );
        }
    }

    #[test]
    fn one_branch_for_uniform_masks_is_the_whole_network() {
        let (short, full) = (recipe(MaskHead::Uniform), recipe(MaskHead::Trained));
        let network = scrambled(&config(), true);
        let (mut one, mut all) = (learner(&short, network.clone()), learner(&full, network));
        let a = loss(one.step(&batch(&[4]), &short, &short.phases[0], 0));
        let b = loss(all.step(&batch(&[4]), &full, &full.phases[0], 0));
        assert!((a - b).abs() < 1e-5, "{a} {b}");
        let (one, all) = (gradients(&one), gradients(&all));
        let whole = whole(&all);
        for ((name, a), (_, b)) in one.iter().zip(&all) {
            let b = b.as_ref().unwrap();
            match a {
                Some(a) => assert_same_gradient(name, a, b, whole),
                // The saddle: nothing but rounding reaches the mask generator.
                None => assert!(
                    name.starts_with(MASK_GENERATOR) && norm(b) < 1e-5 * whole,
                    "{name} {:e}",
                    norm(b)
                ),
            }
        }
    }

    #[test]
    fn micro_batches_give_the_gradient_of_the_batch() {
        let recipe = recipe(MaskHead::Trained);
        let network = scrambled(&config(), false);
        let run = |parts: &[usize]| {
            let mut learner = learner(&recipe, network.clone());
            let loss = loss(learner.step(&batch(parts), &recipe, &recipe.phases[0], 0));
            (loss, gradients(&learner))
        };
        let ((a, one), (b, sum)) = (run(&[4]), run(&[1, 3]));
        assert!((a - b).abs() < 1e-5, "{a} {b}");
        let whole = whole(&one);
        for ((name, a), (_, b)) in one.iter().zip(&sum) {
            assert_same_gradient(name, a.as_ref().unwrap(), b.as_ref().unwrap(), whole);
        }
    }

    #[test]
    fn rates_of_zero_freeze_a_part() {
        let mut recipe = recipe(MaskHead::Released {
            std: Some(0.1),
            from_decoder: false,
        });
        recipe.phases[0].denoiser_factor = 0.0;
        let mut learner = learner(&recipe, scrambled(&config(), true));
        learner.enter(0, &recipe.phases[0]);
        let before = weights(&learner.network);
        learner.step(&batch(&[4]), &recipe, &recipe.phases[0], 0);
        for ((name, old), (_, new)) in before.iter().zip(weights(&learner.network)) {
            assert_eq!(name.starts_with(MASK_GENERATOR), *old != new, "{name}");
        }
    }

    #[test]
    fn a_release_draws_the_head_and_may_copy_the_decoder() {
        let recipe = recipe(MaskHead::Released {
            std: Some(0.02),
            from_decoder: true,
        });
        let mut learner = learner(&recipe, scrambled(&config(), true));
        learner.enter(0, &recipe.phases[0]);
        let all: std::collections::HashMap<_, _> = weights(&learner.network).into_iter().collect();
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
        // The average has the new mask generator too.
        let average: std::collections::HashMap<_, _> = weights(&learner.average.network).into_iter().collect();
        assert_eq!(&average["mask_generator.conv_out.weight"], head);
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

    #[test]
    fn training_lowers_the_loss() {
        let recipe = recipe(MaskHead::Released {
            std: None,
            from_decoder: false,
        });
        let mut learner = learner(&recipe, config().init(&cpu()));
        learner.enter(0, &recipe.phases[0]);
        let losses: Vec<f32> = (0..25)
            .map(|_| loss(learner.step(&batch(&[4]), &recipe, &recipe.phases[0], 0)))
            .collect();
        assert!(losses[24] < 0.9 * losses[0], "{losses:?}");
    }
}
