//! A thread that computes gradients for the lead: on a device of this machine, or by asking a worker.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

use anyhow::Result;
use thiserror::Error;

use crate::data::batch::MicroBatch;
use crate::recipe::Recipe;
use crate::training::learner::{Learner, MaskBatch, Slice};
use crate::training::watching::monitor::MaskFigures;

/// Some micro-batches of a step, and the weights to compute their gradient at.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// 0-based step of the run.
    pub step: u64,
    /// Index of its phase.
    pub phase: usize,
    /// 0-based step of the phase.
    pub phase_step: u64,
    /// Index of the first micro-batch within the batch.
    pub first: usize,
    /// The micro-batches.
    pub parts: Vec<MicroBatch>,
    /// All weights, flat, in the network's order.
    pub parameters: Arc<Vec<f32>>,
}

/// What a job gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Its part of the batch's loss.
    pub loss: f64,
    /// Its part of the gradient, in the order of the weights.
    pub gradients: Vec<f32>,
    /// Figures of the masks of its last micro-batch; `None` while they are not learned.
    pub masks: Option<MaskFigures>,
}

impl Job {
    /// Computes the gradient.
    ///
    /// # Errors
    /// If the micro-batches do not fit the network.
    pub fn run(&self, learner: &mut Learner, recipe: &Recipe) -> Result<Share> {
        learner.set_parameters(&self.parameters);
        let slice = Slice {
            step: self.step,
            first: self.first,
            parts: &self.parts,
        };
        let outcome = learner.accumulate(&slice, recipe, &recipe.phases[self.phase], self.phase_step)?;
        Ok(Share {
            loss: f64::from(outcome.loss),
            gradients: learner.gradients(),
            masks: outcome.masks.map(MaskBatch::figures),
        })
    }
}

/// A replica that failed; the lead is at the step before.
#[derive(Debug, Error)]
#[error("{name}: {reason}")]
pub struct ReplicaError {
    /// Device, or address of the worker.
    pub name: String,
    /// What happened.
    pub reason: String,
}

/// A thread that works on one job at a time. It ends when this is dropped, after its job; nothing waits for that.
#[derive(Debug)]
pub struct Replica {
    name: String,
    jobs: SyncSender<Job>,
    shares: Receiver<Result<Share, String>>,
}

impl Replica {
    /// Starts a thread that answers jobs with `work`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(
        name: String,
        mut work: impl FnMut(Job) -> Result<Share, String> + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, incoming) = sync_channel::<Job>(1);
        let (outgoing, shares) = sync_channel(1);
        Builder::new().name(format!("replica {name}")).spawn(move || {
            for job in incoming {
                if outgoing.send(work(job)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { name, jobs, shares })
    }

    /// Hands a job over and returns at once.
    ///
    /// # Errors
    /// If the thread has ended.
    pub fn start(&mut self, job: Job) -> Result<(), ReplicaError> {
        let sent = self.jobs.send(job);
        sent.map_err(|_| self.failed("its thread has ended".to_owned()))
    }

    /// Waits for what the job gives.
    ///
    /// # Errors
    /// If the job failed.
    pub fn finish(&mut self) -> Result<Share, ReplicaError> {
        match self.shares.recv() {
            Ok(share) => share.map_err(|reason| self.failed(reason)),
            Err(_) => Err(self.failed("its thread has ended".to_owned())),
        }
    }

    fn failed(&self, reason: String) -> ReplicaError {
        ReplicaError {
            name: self.name.clone(),
            reason,
        }
    }
}
