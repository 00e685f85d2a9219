//! The sum of all ranks' gradients: on the devices where they can, else through host memory. Both begin with the decoder's, then
//! the mask generator's, while the last micro-batch's backward pass goes on.

use std::ops::Range;
use std::sync::mpsc;
use std::{panic, thread};

use anyhow::{Result, anyhow};
use factorseg_kernels::{KernelError, TrainingPass};
use factorseg_model::Device;

use super::{Ranks, World};
use crate::training::learner::{Learner, StepOutcome, WholePart};
use crate::training::watching::timing::{Part, timed};

/// Parts of the network by name, and where their gradients are.
type Parts = [(&'static str, Range<usize>)];

impl Ranks {
    /// Joins the devices of all ranks, on which `learner` computes here, if each has one of its own that can sum gradients up with
    /// the others'. Rank 0 says who sums. All wait for each other.
    ///
    /// # Errors
    /// If rank 0 can join no others after all.
    pub fn connect(&self, device: Device, learner: &mut Learner) -> Result<()> {
        let Some(world) = self.world.as_deref() else {
            return Ok(());
        };
        let how = match self.join_devices(world, device, learner)? {
            None => "NCCL, on the GPUs".to_owned(),
            Some(_) if device == Device::Cpu => format!("{}, through host memory", world.name()),
            Some(reason) => format!("{}, through host memory: {reason}", world.name()),
        };
        if self.lead() {
            let (all, local) = (self.share.count, self.local.count);
            eprintln!("{all} ranks, {local} on this machine; gradients are summed by {how}");
        }
        Ok(())
    }

    /// What keeps the devices from it; `None` once they are joined.
    fn join_devices(&self, world: &dyn World, device: Device, learner: &mut Learner) -> Result<Option<String>> {
        let identity = device.identity();
        let mut identities = vec![0.0; self.share.count];
        // As many bits as a sum with zeros leaves as they are.
        identities[self.share.index] = identity.as_ref().map_or(0.0, |bits| ((bits >> 11) + 1) as f64);
        world.sum_exactly(&mut identities);
        if let Err(reason) = identity {
            return Ok(Some(reason));
        }
        if let Some(rank) = identities.iter().position(|identity| *identity == 0.0) {
            return Ok(Some(format!("rank {rank} has no GPU with NCCL")));
        }
        identities.sort_by(f64::total_cmp);
        if identities.windows(2).any(|two| two[0] == two[1]) {
            return Ok(Some("ranks share a GPU".to_owned()));
        }
        let id = self.from_lead(|| device.group_id()).map_err(|reason| anyhow!(reason))?;
        let joined = learner.join(id, self.share);
        let failed = self.any(joined.is_err());
        self.by_devices.set(!failed);
        Ok(match joined {
            Err(error) => Some(error.to_string()),
            Ok(()) => failed.then(|| "not all GPUs could be joined".to_owned()),
        })
    }
}

/// Accumulates, and begins the sum of each part as soon as its gradient is whole. All ranks begin the same in the same order,
/// also those that have no micro-batch.
fn part_by_part(
    learner: &mut Learner,
    parts: &Parts,
    accumulate: impl FnOnce(&mut Learner, &mut WholePart<'_>) -> Result<StepOutcome>,
    mut begin: impl FnMut(&mut dyn TrainingPass, Range<usize>) -> Result<(), KernelError>,
) -> Result<StepOutcome> {
    let mut next = 0;
    let outcome = accumulate(learner, &mut |network, whole| {
        if let Some((_, place)) = parts.get(next).filter(|(name, _)| *name == whole) {
            begin(network, place.clone())?;
            next += 1;
        }
        Ok(())
    })?;
    for (_, place) in &parts[next..] {
        begin(learner.network.as_mut(), place.clone())?;
    }
    Ok(outcome)
}

/// The first half of a step, with the gradient summed over all ranks by their devices.
pub(super) fn by_devices(
    learner: &mut Learner,
    parts: &Parts,
    accumulate: impl FnOnce(&mut Learner, &mut WholePart<'_>) -> Result<StepOutcome>,
) -> Result<StepOutcome> {
    let outcome = part_by_part(learner, parts, accumulate, |network, place| network.begin_sum(place))?;
    timed(Part::Reduction, || learner.network.end_sums())?;
    Ok(outcome)
}

/// The same by `world`: a thread sums copies up.
pub(super) fn through_host(
    world: &dyn World,
    learner: &mut Learner,
    parts: &Parts,
    accumulate: impl FnOnce(&mut Learner, &mut WholePart<'_>) -> Result<StepOutcome>,
) -> Result<StepOutcome> {
    let (give, given) = mpsc::channel::<Vec<f32>>();
    thread::scope(|scope| {
        let summing = scope.spawn(move || {
            let summed = given.iter().map(|mut values| {
                world.sum(&mut values);
                values
            });
            summed.collect::<Vec<_>>()
        });
        // A thread that no longer takes any has panicked, which joining it tells.
        let outcome = part_by_part(learner, parts, accumulate, |network, place| {
            let _ = give.send(network.gradients(place)?);
            Ok(())
        })?;
        drop(give);
        let sums = timed(Part::Reduction, || summing.join());
        let sums = sums.unwrap_or_else(|panic| panic::resume_unwind(panic));
        for ((_, place), values) in parts.iter().zip(&sums) {
            learner.network.set_gradients(place.start, values)?;
        }
        Ok(outcome)
    })
}
