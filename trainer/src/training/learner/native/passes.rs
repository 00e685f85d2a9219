//! Forward and backward of a micro-batch.

use factorseg_kernels::{KernelError, Masks, TrainingNetwork};
use rand_chacha::ChaCha8Rng;

use super::NativeLearner;
use crate::data::batch::MicroBatch;
use crate::recipe::{Competition, MaskHead, Phase};
use crate::training::competition::{self, Branches};
use crate::training::learner::MaskBatch;
use crate::training::learner::chance::kept_middles;
use crate::training::masks::gumbel;
use crate::training::random_masks::random_masks;
use crate::training::self_training::cross_entropy;
use crate::training::shaping::{self, Shaping, Softmax, Volume};
use crate::training::timing::{self, Part};

impl NativeLearner {
    /// Forward and backward of one micro-batch; returns its loss times `weight`, whose gradient is added.
    pub(super) fn pass(
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

    /// As [`Self::pass`], with a teacher's masks to learn: only the mask generator's branch of the network is passed.
    pub(super) fn imitate(
        &mut self,
        part: &MicroBatch,
        weight: f64,
        last_masks: &mut Option<MaskBatch>,
    ) -> Result<f64, KernelError> {
        timing::start();
        let network = &mut self.network;
        let timesteps: Vec<f32> = part.timesteps.iter().map(|timestep| *timestep as f32).collect();
        let classes = (!part.classes.is_empty()).then_some(part.classes.as_slice());
        network.encode(&part.noised, &timesteps, classes)?;
        let mut masks = Volume {
            values: network.mask_logits().to_vec(),
            images: part.size,
            regions: self.regions,
        };
        let (loss, mut slopes) = cross_entropy(&masks.values, &part.targets, self.regions, part.size);
        slopes.iter_mut().for_each(|slope| *slope *= weight as f32);
        timing::lap(Part::Forward);
        network.backward_masks(&slopes)?;
        network.backward_encode();
        timing::lap(Part::Backward);
        Softmax::default().forward(&mut masks);
        *last_masks = Some(MaskBatch::Host {
            values: masks.values,
            images: part.size,
            regions: self.regions,
        });
        Ok(loss * weight)
    }

    /// As [`Self::pass`], with regions that compete.
    pub(super) fn compete(
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
        let regions = network.within(kept, |network| {
            encode(network, &part.noised, &part.timesteps, &part.classes)?;
            let shares = competition::shares(competition, self.regions, chance);
            let logits = network.mask_logits();
            Ok(competition::regions(
                part,
                logits,
                competition,
                &shares,
                temperature,
                &self.schedule,
            ))
        })?;
        // The masks' gradient comes from the branches: the masks' pass waits for them.
        let branches = Branches::new(part, &regions, competition, &self.schedule, chance);
        encode(network, &branches.noised, &branches.timesteps, &branches.classes)?;
        let mut found = branches.compare(network.decode(Masks::Uniform, None)?, &regions, competition);
        let scale = |slopes: &mut [f32]| slopes.iter_mut().for_each(|slope| *slope *= weight as f32);
        scale(&mut found.slopes);
        timing::lap(Part::Forward);
        network.backward_decode(&found.slopes)?;
        network.backward_encode();
        timing::lap(Part::Backward);
        scale(&mut found.mask_slopes);
        let logit_slopes = regions.logit_slopes(found.mask_slopes);
        network.within(kept, |network| {
            network.backward_masks(&logit_slopes)?;
            network.backward_encode();
            Ok(())
        })?;
        timing::lap(Part::Backward);
        *last_masks = Some(MaskBatch::Host {
            values: regions.masks().to_vec(),
            images: part.size,
            regions: self.regions,
        });
        Ok(found.loss * weight)
    }
}
