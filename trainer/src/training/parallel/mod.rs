//! Data parallel training: the micro-batches of a step are shared out among devices of this machine and workers on others,
//! and their gradients are summed.
//!
//! One learner, the lead, holds weights, average and optimizer. A replica has none of its own: it gets the weights with
//! every job and sends a gradient back. So all devices have the same weights by construction, a checkpoint is the lead's
//! alone, and a run may go on with other devices than it began with. What crosses a wire in a step is as much as a
//! reduction over the same star would move: weights one way, gradients the other.
//!
//! A micro-batch is the unit: its random numbers and its statistics do not depend on where it is computed, so the number of
//! devices changes nothing but the order in which gradients are summed.

mod devices;
mod message;
mod remote;
mod replica;
mod wire;
mod worker;

pub use devices::{DeviceList, DeviceListError};
pub use replica::{Job, Replica, ReplicaError, Share};
pub use worker::{WorkerOptions, listen};

use std::sync::Arc;

use anyhow::{Context, Result};
use factorseg_model::{DeviceSpec, ModelConfig, Precision};

use super::learner::{Learner, MaskBatch, Slice, StepOutcome};
use super::paper::initial_weights;
use crate::data::batch::Batch;
use crate::recipe::Recipe;
use devices::Member;

/// The lead and its replicas.
#[derive(Debug)]
pub struct DataParallel {
    replicas: Vec<Replica>,
    /// Whether the lead computes gradients itself.
    leads: bool,
}

/// What all replicas of a run have in common.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// The network.
    pub model: &'a ModelConfig,
    /// The schedule.
    pub recipe: &'a Recipe,
    /// Seed of the run.
    pub seed: u64,
    /// What passes compute in.
    pub precision: Precision,
}

impl DataParallel {
    /// Starts a replica on each device of the list but the lead's. Replicas on the CPU have `threads` threads (0: one per
    /// core).
    ///
    /// # Errors
    /// If a device cannot be had, or a worker cannot be reached or refuses.
    pub fn start(devices: &DeviceList, common: Common<'_>, threads: usize) -> Result<Self> {
        let replicas = devices.replicas().map(|member| match member {
            Member::Local(spec) => on_this_machine(*spec, common, threads),
            Member::Remote(address) => Ok(remote::connect(address, common)?),
        });
        Ok(Self {
            replicas: replicas.collect::<Result<_>>()?,
            leads: devices.leads(),
        })
    }

    /// Trains on one batch, which is step `phase_step` of phase `phase`. If it fails, `learner` is at the step before.
    ///
    /// # Errors
    /// [`ReplicaError`] if a replica fails; else if the batch does not fit the network.
    pub fn step(
        &mut self,
        learner: &mut Learner,
        batch: Batch,
        recipe: &Recipe,
        phase: usize,
        phase_step: u64,
    ) -> Result<StepOutcome> {
        if self.replicas.is_empty() {
            return learner.step(&batch, recipe, &recipe.phases[phase], phase_step);
        }
        let Batch { step, mut parts } = batch;
        let members = self.replicas.len() + usize::from(self.leads);
        let mut counts = shares(parts.len(), members);
        let own_count = if self.leads { counts.next().unwrap_or(0) } else { 0 };
        let mut others = parts.split_off(own_count);
        let parameters = Arc::new(learner.parameters());
        let mut first = own_count;
        let mut busy = Vec::new();
        for (replica, count) in self.replicas.iter_mut().zip(counts).filter(|(_, count)| *count > 0) {
            let rest = others.split_off(count);
            replica.start(Job {
                step,
                phase,
                phase_step,
                first,
                parts: std::mem::replace(&mut others, rest),
                parameters: parameters.clone(),
            })?;
            first += count;
            busy.push(replica);
        }
        let slice = Slice {
            step,
            first: 0,
            parts: &parts,
        };
        let own = learner.accumulate(&slice, recipe, &recipe.phases[phase], phase_step)?;
        let (mut loss, mut masks) = (f64::from(own.loss), own.masks);
        for replica in busy {
            let share = replica.finish()?;
            learner.add_gradients(&share.gradients);
            loss += share.loss;
            masks = share.masks.map(MaskBatch::Figures).or(masks);
        }
        learner.apply(step, recipe, &recipe.phases[phase], phase_step);
        Ok(StepOutcome {
            loss: loss as f32,
            masks,
        })
    }
}

/// `parts` shared out among `members`, the first of which may have one more than the last.
fn shares(parts: usize, members: usize) -> impl Iterator<Item = usize> {
    (0..members).map(move |member| parts / members + usize::from(member < parts % members))
}

fn on_this_machine(spec: DeviceSpec, common: Common<'_>, threads: usize) -> Result<Replica> {
    let mut learner = replica_learner(spec, common, threads)?;
    let recipe = common.recipe.clone();
    Replica::spawn(spec.to_string(), move |job| {
        job.run(&mut learner, &recipe).map_err(|error| format!("{error:#}"))
    })
    .with_context(|| format!("cannot start a thread for {spec}"))
}

/// A learner that only ever computes gradients: its own weights are replaced with every job.
fn replica_learner(spec: DeviceSpec, common: Common<'_>, threads: usize) -> Result<Learner> {
    let device = spec.resolve()?;
    let Common {
        model,
        recipe,
        seed,
        precision,
    } = common;
    let weights = initial_weights(model, seed);
    Learner::new(model, recipe, seed, &weights, device, threads, precision)
}

/// Number of weights of a network.
fn weights(model: &ModelConfig) -> usize {
    model.parameters().last().map_or(0, |last| last.range().end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::{MicroBatch, normal};
    use crate::data::order::{Stream, random};
    use crate::training::testing::{config, scrambled};
    use factorseg_model::Device;
    use factorseg_model::Preset;

    /// Three devices: the weights that one learner reaches alone.
    #[test]
    fn replicas_and_lead_learn_as_one_learner_does() {
        let model = ModelConfig { classes: 0, ..config() };
        let mut recipe = Recipe::load("two-phase").unwrap();
        recipe.batch_size = 4;
        recipe.micro_batch = Some(1);
        recipe.adam.epsilon = 1e-4;
        recipe.phases.remove(0);
        (recipe.phases[0].warmup_steps, recipe.phases[0].learning_rate) = (0, 1e-3);
        // A fresh network predicts 0, whatever its masks.
        let weights = scrambled(&model, false);
        let learner = || Learner::new(&model, &recipe, 1, &weights, Device::Cpu, 1, Precision::F32).unwrap();
        {
            let replica = || {
                let (mut learner, recipe) = (learner(), recipe.clone());
                Replica::spawn("cpu".into(), move |job| {
                    job.run(&mut learner, &recipe).map_err(|e| e.to_string())
                })
                .unwrap()
            };
            let mut parallel = DataParallel {
                replicas: vec![replica(), replica()],
                leads: true,
            };
            let (mut lead, mut alone) = (learner(), learner());
            for learner in [&mut lead, &mut alone] {
                learner.enter(0, &recipe.phases[0]);
            }
            for step in 0..3 {
                let outcome = parallel.step(&mut lead, batch(step), &recipe, 0, step).unwrap();
                let expected = alone.step(&batch(step), &recipe, &recipe.phases[0], step).unwrap();
                let (a, b) = (outcome.loss, expected.loss);
                assert!((a - b).abs() < 1e-5 * b, "{a} {b}");
                let figures = [outcome.masks, expected.masks].map(|masks| masks.unwrap().figures());
                let difference = (figures[0].entropy - figures[1].entropy).abs();
                assert!(difference < 1e-4, "step {step}: {figures:?}");
            }
            let (a, b) = (lead.parameters(), alone.parameters());
            let largest = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-5 && network_moved(&b, &learner()), "{largest}");
        }
    }

    fn network_moved(now: &[f32], start: &Learner) -> bool {
        let moved = now
            .iter()
            .zip(start.parameters())
            .filter(|(now, start)| (*now - start).abs() > 1e-4);
        moved.count() > now.len() / 10
    }

    fn batch(step: u64) -> Batch {
        let part = |index: u64| {
            let mut random = random(12, Stream::Sample, 4 * step + index);
            let mut values = || {
                let mut values = Vec::new();
                normal(&mut random, 192, &mut values);
                values
            };
            MicroBatch {
                size: 1,
                noised: values(),
                noise: values(),
                timesteps: vec![20 + 10 * index as i32],
                classes: Vec::new(),
                targets: Vec::new(),
            }
        };
        Batch {
            step,
            parts: (0..4).map(part).collect(),
        }
    }

    /// A failure of a replica leaves the lead where it was.
    #[test]
    fn a_failed_step_changes_nothing() {
        let model = ModelConfig {
            image_size: 8,
            ..ModelConfig::preset(Preset::Tiny)
        };
        let mut recipe = Recipe::load("two-phase").unwrap();
        (recipe.batch_size, recipe.micro_batch) = (4, Some(1));
        let weights = initial_weights(&model, 1);
        let mut lead = Learner::new(&model, &recipe, 1, &weights, Device::Cpu, 1, Precision::F32).unwrap();
        let before = lead.snapshot();
        let failing: [fn(Job) -> Result<Share, String>; 2] = [|_| Err("no power".into()), |_| panic!("a test's panic")];
        for (work, reason) in failing.into_iter().zip(["no power", "its thread has ended"]) {
            let mut parallel = DataParallel {
                replicas: vec![Replica::spawn("cuda:7".into(), work).unwrap()],
                leads: true,
            };
            let error = parallel.step(&mut lead, batch(0), &recipe, 0, 0).unwrap_err();
            assert!(error.is::<ReplicaError>());
            assert_eq!(error.to_string(), format!("cuda:7: {reason}"));
            assert!(lead.snapshot() == before);
        }
    }

    #[test]
    fn parts_are_shared_out_evenly_and_completely() {
        for (parts, members, expected) in [(8, 2, vec![4, 4]), (7, 3, vec![3, 2, 2]), (1, 3, vec![1, 0, 0])] {
            assert_eq!(shares(parts, members).collect::<Vec<_>>(), expected);
        }
    }
}
