//! What was done with frames, by all engines that a stream has had.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the last reset.
#[derive(Debug, Default)]
pub struct Counts {
    /// Inferences that ended with a mask.
    pub inferred: Count,
    /// Frames that a newer one replaced before they were segmented, or that were flushed.
    pub dropped: Count,
    /// Refinements that could not judge a frame: it has the mask without them.
    pub unjudged: Count,
}

/// A number that threads add to.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Counts {
    /// Counts from now on.
    pub fn reset(&self) {
        self.inferred.reset();
        self.dropped.reset();
        self.unjudged.reset();
    }
}
