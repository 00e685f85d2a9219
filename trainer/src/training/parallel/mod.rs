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
mod tests;
