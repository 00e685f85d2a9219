//! Data parallel training: one process for each device, started by MPI's launcher (`mpirun`, `srun`).
//!
//! Every process, a *rank*, holds weights, average and Adam's moments. It makes its own micro-batches of each step, computes
//! their gradient, sums it up with the others', and applies the sum. Weights travel once, from rank 0 when the run starts or
//! goes on; rank 0 alone writes. A rank that fails ends the job; the newest checkpoint is whole.
//!
//! A micro-batch is the unit: its random numbers and its statistics do not depend on who computes it, so the number of
//! ranks changes nothing but the order in which gradients are summed.

#[cfg(feature = "mpi")]
mod mpi;
mod sums;

use std::cell::Cell;
use std::fmt;

use anyhow::Result;
use factorseg_model::{Device, DeviceError, DeviceSpec};

use super::learner::{Learner, StepOutcome, WholePart};
use crate::data::batch::Batch;
use crate::data::share::Share;
use crate::recipe::Recipe;

/// What the ranks of a job do together: all call the same, in the same order, one call at a time.
pub trait World: Sync {
    /// Replaces values by their sums over all ranks, the same bits on each.
    fn sum(&self, values: &mut [f32]);
    /// The same in double precision, for a few numbers.
    fn sum_exactly(&self, values: &mut [f64]);
    /// Replaces bytes, which are as many on each rank, by those of rank 0.
    fn broadcast(&self, bytes: &mut [u8]);
    /// Ends the processes of all ranks.
    fn abort(&self) -> !;
    /// What it is, with its version.
    fn name(&self) -> String;
}

/// The place of this process among those that train together.
pub struct Ranks {
    /// Its rank, and how many there are.
    pub share: Share,
    /// The same among those on this machine.
    local: Share,
    /// `None` for one process.
    world: Option<Box<dyn World>>,
    /// Whether devices sum gradients up among themselves.
    by_devices: Cell<bool>,
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name(), self.share.count)
    }
}

impl Ranks {
    /// This process, alone.
    pub fn alone() -> Self {
        Self {
            share: Share::WHOLE,
            local: Share::WHOLE,
            world: None,
            by_devices: Cell::new(false),
        }
    }

    /// Joins the others that a launcher has started; alone without a launcher.
    ///
    /// # Errors
    /// If there are others and they cannot be joined.
    pub fn join() -> Result<Self> {
        let share = Share::of_launcher();
        if share.count == 1 {
            return Ok(Self::alone());
        }
        #[cfg(feature = "mpi")]
        return mpi::join();
        #[cfg(not(feature = "mpi"))]
        anyhow::bail!(
            "this is one of {} processes that train together, but this build has no MPI: build it with `cargo build --release \
             -p factorseg-trainer --features mpi`",
            share.count
        )
    }

    /// Whether this is the rank that writes and speaks.
    pub fn lead(&self) -> bool {
        self.share.index == 0
    }

    /// What messages call this process.
    pub fn name(&self) -> String {
        format!("rank {}", self.share.index)
    }

    /// The device of this rank: of several GPUs on a machine, ranks take one each, from the named one on. Where there are fewer
    /// (or a launcher shows every rank its own alone) it is the named one.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn device(&self, spec: DeviceSpec) -> Result<Device, DeviceError> {
        let first = match spec {
            DeviceSpec::Cpu => return Ok(Device::Cpu),
            DeviceSpec::Auto => 0,
            DeviceSpec::Cuda(first) => first,
        };
        let own = DeviceSpec::Cuda(first + self.local.index).resolve();
        own.or_else(|_| spec.resolve())
    }

    /// Threads of the CPU device for `asked` ones; 0 is an equal part of this machine's cores, and no more than the launcher
    /// has bound this rank to.
    pub fn threads(&self, asked: usize) -> usize {
        if asked > 0 || self.local.count == 1 {
            return asked;
        }
        let bound = std::thread::available_parallelism().map_or(1, usize::from);
        // SAFETY: it reads a number of the system.
        let cores = usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1);
        bound.min(cores.div_ceil(self.local.count))
    }

    /// Trains on this rank's part of a batch, which is step `phase_step` of phase `phase`. The loss is that of the whole
    /// batch, the masks are of this rank's last micro-batch.
    ///
    /// # Errors
    /// If the batch does not fit the network, or the device fails.
    pub fn step(
        &self,
        learner: &mut Learner,
        batch: &Batch,
        recipe: &Recipe,
        phase: usize,
        phase_step: u64,
    ) -> Result<StepOutcome> {
        let phase = &recipe.phases[phase];
        let outcome = match self.world.as_deref() {
            Some(world) => {
                let parts = learner.parts(recipe, phase);
                let accumulate = |learner: &mut Learner, whole: &mut WholePart<'_>| {
                    learner.accumulate(batch, recipe, phase, phase_step, whole)
                };
                let mut outcome = match self.by_devices.get() {
                    true => sums::by_devices(learner, &parts, accumulate)?,
                    false => sums::through_host(world, learner, &parts, accumulate)?,
                };
                let mut loss = [f64::from(outcome.loss)];
                world.sum_exactly(&mut loss);
                outcome.loss = loss[0] as f32;
                outcome
            }
            None => learner.accumulate(batch, recipe, phase, phase_step, &mut |_, _| Ok(()))?,
        };
        learner.apply(batch.step, recipe, phase, phase_step)?;
        Ok(outcome)
    }

    /// Whether any rank says so.
    pub fn any(&self, here: bool) -> bool {
        let mut count = [f64::from(u8::from(here))];
        if let Some(world) = &self.world {
            world.sum_exactly(&mut count);
        }
        count[0] > 0.0
    }

    /// The ranks whose `hash` is another than that of rank 0. All wait for each other.
    ///
    /// # Errors
    /// Those of `hash`.
    pub fn unlike<E>(&self, hash: impl FnOnce() -> Result<u64, E>) -> Result<Vec<usize>, E> {
        let Some(world) = &self.world else {
            return Ok(Vec::new());
        };
        let own = hash()?.to_le_bytes();
        let mut first = own;
        world.broadcast(&mut first);
        let mut differ = vec![0.0; self.share.count];
        differ[self.share.index] = f64::from(u8::from(own != first));
        world.sum_exactly(&mut differ);
        Ok((0..differ.len()).filter(|rank| differ[*rank] > 0.0).collect())
    }

    /// What `bytes` gives on rank 0, on all.
    ///
    /// # Errors
    /// Those of `bytes`.
    pub fn from_lead<E>(&self, bytes: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
        let mut all = if self.lead() { bytes()? } else { Vec::new() };
        if let Some(world) = &self.world {
            let mut length = (all.len() as u64).to_le_bytes();
            world.broadcast(&mut length);
            all.resize(u64::from_le_bytes(length) as usize, 0);
            world.broadcast(&mut all);
        }
        Ok(all)
    }

    /// Lets rank 0 work while the others wait.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn first_lead<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let done = if self.lead() { Some(work()?) } else { None };
        self.any(false);
        Ok(done)
    }

    /// Ends the job of all ranks as failed; does nothing for one process.
    pub fn abort(&self) {
        if let Some(world) = &self.world {
            world.abort();
        }
    }
}

#[cfg(test)]
mod tests;
