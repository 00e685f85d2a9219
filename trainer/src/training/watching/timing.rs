//! Where the time of training steps goes, for `factorseg bench train`.
//!
//! Laps of one clock on the thread that trains: it costs a few readings of it for each step, and no signature carries it.
//! On a device that works behind the program's back a lap is the time to hand the work over.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Encoder, masks, decoder, loss.
    Forward,
    /// Gradients.
    Backward,
    /// Waiting until gradients are summed up with those of other ranks: what the backward pass has not hidden.
    Reduction,
    /// Clipping, Adam, the moving average.
    Optimizer,
}

/// Time spent in each part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// See [`Part::Forward`].
    pub forward: Duration,
    /// See [`Part::Backward`].
    pub backward: Duration,
    /// See [`Part::Reduction`].
    pub reduction: Duration,
    /// See [`Part::Optimizer`].
    pub optimizer: Duration,
}

thread_local! {
    static CLOCK: Cell<Option<Instant>> = const { Cell::new(None) };
    static TIMES: Cell<StepTimes> = const {
        Cell::new(StepTimes {
            forward: Duration::ZERO, backward: Duration::ZERO, reduction: Duration::ZERO, optimizer: Duration::ZERO,
        })
    };
}

/// Starts the clock.
pub fn start() {
    CLOCK.set(Some(Instant::now()));
}

/// The time since the start, or since the lap before, was spent in `part`.
pub fn lap(part: Part) {
    let now = Instant::now();
    let Some(since) = CLOCK.replace(Some(now)) else { return };
    let mut times = TIMES.get();
    let sum = match part {
        Part::Forward => &mut times.forward,
        Part::Backward => &mut times.backward,
        Part::Reduction => &mut times.reduction,
        Part::Optimizer => &mut times.optimizer,
    };
    *sum += now - since;
    TIMES.set(times);
}

/// What `work` gives; its time was spent in `part`.
pub fn timed<T>(part: Part, work: impl FnOnce() -> T) -> T {
    start();
    let done = work();
    lap(part);
    done
}

/// The times of this thread since they were last taken.
pub fn take() -> StepTimes {
    TIMES.take()
}

#[cfg(test)]
mod tests;
