//! The threads that one pass may use.

use crate::KernelError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads a plan uses, and whose they are.
#[derive(Clone, Debug, Default)]
pub enum Threads {
    /// The calling thread alone, with nothing to start or wait for.
    #[default]
    Single,
    /// All threads of a pool, which plans may share.
    Pool(Arc<rayon::ThreadPool>),
}

impl Threads {
    /// `count` threads: the caller's for 1, else those of a new pool. 0 means one per core.
    ///
    /// # Errors
    /// [`KernelError::Threads`] when the system refuses to start them.
    pub fn new(count: usize) -> Result<Self, KernelError> {
        let count = if count == 0 {
            std::thread::available_parallelism().map_or(1, usize::from)
        } else {
            count
        };
        if count == 1 {
            return Ok(Self::Single);
        }
        rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|index| format!("factorseg-{index}"))
            .build()
            .map(|pool| Self::Pool(Arc::new(pool)))
            .map_err(|error| KernelError::Threads(error.to_string()))
    }

    /// The number of threads.
    pub fn count(&self) -> usize {
        match self {
            Self::Single => 1,
            Self::Pool(pool) => pool.current_num_threads(),
        }
    }

    /// Runs `work` on a thread of the pool, so that the pool's threads are awake for its parallel parts.
    pub(crate) fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Single => work(),
            Self::Pool(pool) => pool.install(work),
        }
    }
}

/// Runs tasks `0..tasks` on as many threads as there are workspaces, in any order; allocates nothing. Must be called
/// inside [`Threads::install`].
pub(crate) fn for_each<W: Send>(workspaces: &mut [W], tasks: usize, task: impl Fn(&mut W, usize) + Sync) {
    let next = AtomicUsize::new(0);
    let useful = workspaces.len().min(tasks);
    fan_out(&mut workspaces[..useful], &|workspace: &mut W| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= tasks {
                break;
            }
            task(workspace, index);
        }
    });
}

fn fan_out<W: Send>(workspaces: &mut [W], work: &(impl Fn(&mut W) + Sync)) {
    match workspaces {
        [] => {}
        [only] => work(only),
        many => {
            let (left, right) = many.split_at_mut(many.len() / 2);
            rayon::join(|| fan_out(left, work), || fan_out(right, work));
        }
    }
}

#[cfg(test)]
mod tests;
