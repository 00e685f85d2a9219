//! The ranks of an MPI job.

use std::cell::Cell;
use std::thread;

use ::mpi::collective::SystemOperation;
use ::mpi::environment::{Universe, library_version};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, CommunicatorCollectives, Root};
use ::mpi::{Threading, initialize_with_threading};
use anyhow::{Context, Result, ensure};

use super::{Ranks, World};
use crate::data::share::Share;

/// Values that are summed, and bytes that are sent, at once: what waits beside them is as large, and MPI counts in 32 bits.
const BUCKET: usize = 1 << 20;

/// An MPI job, which ends in order when this is dropped.
struct Job {
    world: SimpleCommunicator,
    // Dropped last.
    _universe: Universe,
}

/// Joins the job that this process is of.
pub fn join() -> Result<Ranks> {
    // MPI is called on the main thread, or while that does not on the one that sums gradients.
    let (universe, threading) = initialize_with_threading(Threading::Serialized).context("MPI is in use already")?;
    ensure!(
        threading >= Threading::Serialized,
        "this MPI takes no program with threads"
    );
    let world = universe.world();
    let share = |of: &SimpleCommunicator| Share {
        index: of.rank() as usize,
        count: of.size() as usize,
    };
    let (all, local) = (share(&world), share(&world.split_shared(world.rank())));
    Ok(Ranks {
        share: all,
        local,
        world: Some(Box::new(Job {
            world,
            _universe: universe,
        })),
        by_devices: Cell::new(false),
    })
}

// SAFETY: the communicator is a handle that all threads may use, and `World` lets one call at a time: what `Threading::Serialized`
// asks for.
unsafe impl Sync for Job {}

impl World for Job {
    fn sum(&self, values: &mut [f32]) {
        let mut own = vec![0.0; BUCKET.min(values.len())];
        for bucket in values.chunks_mut(BUCKET) {
            let own = &mut own[..bucket.len()];
            own.copy_from_slice(bucket);
            self.world.all_reduce_into(own, bucket, SystemOperation::sum());
        }
    }

    fn sum_exactly(&self, values: &mut [f64]) {
        let own = values.to_vec();
        self.world.all_reduce_into(&own, values, SystemOperation::sum());
    }

    fn broadcast(&self, bytes: &mut [u8]) {
        let lead = self.world.process_at_rank(0);
        bytes.chunks_mut(BUCKET).for_each(|bucket| lead.broadcast_into(bucket));
    }

    fn abort(&self) -> ! {
        self.world.abort(1)
    }

    fn name(&self) -> String {
        let library = library_version().unwrap_or_default();
        library.split([',', '\n']).next().unwrap_or_default().trim().to_owned()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // The end of MPI waits for all ranks, and they for this one.
        if thread::panicking() {
            self.abort();
        }
    }
}
