//! Frames that wait for their own masks, between the thread that brings them and the one that pushes them on.
//!
//! Two are under way at most: while one is pushed, the next is in the engine.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

use gstreamer as gst;

use super::session::Session;
use crate::pixels::layout::Layout;
use crate::settings::Plan;
use crate::sync::lock;

pub(super) type FlowResult = Result<gst::FlowSuccess, gst::FlowError>;

/// One frame on its way through the element, and what was in force when it came.
pub(super) struct Frame {
    pub(super) buffer: gst::Buffer,
    pub(super) layout: Arc<Layout>,
    pub(super) session: Arc<Session>,
    pub(super) plan: Arc<Plan>,
    pub(super) kind: Kind,
    pub(super) live: bool,
    pub(super) running_time: Option<gst::ClockTime>,
    /// When the element began with it.
    pub(super) begun: Instant,
}

/// Where a frame's mask comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// From the frame itself: the worker's ticket.
    Own(u64),
    /// From the frame before it.
    Previous,
    /// Whatever is the newest.
    Newest,
}

/// Frames that the element holds at most.
pub(super) const CAPACITY: usize = 2;

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    frames: VecDeque<Frame>,
    /// One was taken and is not done.
    busy: bool,
    /// Who is busy with it.
    worker: Option<ThreadId>,
    /// Nothing goes in or out.
    flushing: bool,
    /// The task that empties the queue is to end.
    stopped: bool,
    /// The task that empties the queue was started.
    started: bool,
    /// What downstream said last.
    flow: FlowResult,
}

impl Default for State {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
            busy: false,
            worker: None,
            flushing: true,
            stopped: true,
            started: false,
            flow: Ok(gst::FlowSuccess::Ok),
        }
    }
}

impl State {
    fn flow(&self) -> FlowResult {
        match self.flushing {
            true => Err(gst::FlowError::Flushing),
            false => self.flow,
        }
    }

    /// Whether another frame may come. Downstream may be linked again at any time, so frames go on to it, as everywhere.
    fn takes(&self) -> FlowResult {
        match self.flow() {
            Err(gst::FlowError::NotLinked) => Ok(gst::FlowSuccess::Ok),
            flow => flow,
        }
    }

    fn under_way(&self) -> usize {
        self.frames.len() + usize::from(self.busy)
    }
}

impl Queue {
    /// Waits until another frame may come.
    pub(super) fn wait_for_room(&self) -> FlowResult {
        self.wait_until(|state| state.under_way() < CAPACITY)
    }

    /// Waits until no frame is under way.
    pub(super) fn drain(&self) -> FlowResult {
        self.wait_until(|state| state.under_way() == 0)
    }

    fn wait_until(&self, ready: impl Fn(&State) -> bool) -> FlowResult {
        let mut state = lock(&self.state);
        while !state.flushing && !ready(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.takes()
    }

    /// Takes a frame in. Returns whether the task must be started, and what downstream said of the frame before.
    pub(super) fn push(&self, frame: Frame) -> Result<(bool, FlowResult), gst::FlowError> {
        let mut state = lock(&self.state);
        state.takes()?;
        state.frames.push_back(frame);
        self.changed.notify_all();
        Ok((!std::mem::replace(&mut state.started, true), state.flow))
    }

    /// Waits for the next frame; none when the task is to end.
    pub(super) fn next(&self) -> Option<Frame> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return None;
            }
            // While it is flushing there are none.
            if let Some(frame) = state.frames.pop_front() {
                state.busy = true;
                state.worker = Some(thread::current().id());
                return Some(frame);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says how the frame that was taken ended. After an error the others are dropped.
    pub(super) fn done(&self, flow: FlowResult) {
        let mut state = lock(&self.state);
        state.busy = false;
        state.flow = flow;
        if state.takes().is_err() {
            state.frames.clear();
        }
        self.changed.notify_all();
    }

    /// Drops what is in it and lets nobody wait, or begins anew.
    pub(super) fn set_flushing(&self, flushing: bool) {
        let mut state = lock(&self.state);
        state.flushing = flushing;
        state.frames.clear();
        if !flushing {
            state.flow = Ok(gst::FlowSuccess::Ok);
        }
        self.changed.notify_all();
    }

    /// Waits until the frame that was taken is done, unless it is the caller who is at it.
    pub(super) fn wait_until_idle(&self) {
        let mut state = lock(&self.state);
        while state.busy && state.worker != Some(thread::current().id()) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The pad becomes active, with no task yet, or inactive: then the task must end.
    pub(super) fn set_active(&self, active: bool) {
        self.set_flushing(!active);
        let mut state = lock(&self.state);
        state.stopped = !active;
        state.started = false;
        self.changed.notify_all();
    }
}
