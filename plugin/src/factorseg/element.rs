//! What the element holds, and the order of its locks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};

use factorseg_model::InputImage;
use gst::subclass::prelude::*;
use gstreamer as gst;

use super::canvas::Canvas;
use super::continuity::Continuity;
use super::latency::Latency;
use super::mask_pad::Outputs;
use super::qos::Qos;
use super::queue::Queue;
use super::session::Session;
use crate::engine::counts::Counts;
use crate::engine::mask::Mask;
use crate::engine::request::EngineFactory;
use crate::pixels::layout::Layout;
use crate::pixels::sampling::Sampler;
use crate::settings::{Plan, Settings};
use crate::sync::lock;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "factorseg",
        gst::DebugColorFlags::empty(),
        Some("Factorized diffusion segmentation"),
    )
});

/// The element.
///
/// No lock is held while it waits, pushes or calls the engine. Who takes a lock while holding another keeps to this order:
/// `settings`, `session`, `stream`, `qos`, `canvas`, `shown`. All others are taken last and alone, those inside of the
/// queue, the worker and the pads too.
pub struct FactorSeg {
    pub(super) sinkpad: gst::Pad,
    pub(super) srcpad: gst::Pad,
    pub(super) settings: Mutex<Settings>,
    /// From READY on.
    pub(super) session: Mutex<Option<Arc<Session>>>,
    /// Those before it, as long as frames wait for them.
    pub(super) retired: Mutex<Vec<Weak<Session>>>,
    pub(super) stream: Mutex<Stream>,
    /// What the sinks say of their frames' time.
    pub(super) qos: Mutex<Qos>,
    pub(super) canvas: Mutex<Canvas>,
    pub(super) shown: Mutex<Shown>,
    pub(super) factory: Mutex<Option<EngineFactory>>,
    pub(super) outputs: Mutex<Outputs>,
    /// Frames that wait for their own masks.
    pub(super) queue: Queue,
    pub(super) counters: Counters,
    /// How often the element was started.
    pub(super) run: AtomicU64,
    /// The run in which an error message is posted, or was.
    pub(super) failing: AtomicU64,
    /// The run in which an error message was posted; its stream ends. Only then: upstream posts one of its own when a flow ends, which
    /// says less. By its number: an application may start the element anew while the message is still on its way.
    pub(super) failed: AtomicU64,
    /// A warning about frames without masks was posted.
    pub(super) warned: AtomicBool,
    /// On the way to PAUSED, or there: another engine is loaded when it is asked for.
    pub(super) active: AtomicBool,
    /// A thread is loading another engine.
    pub(super) loading: AtomicBool,
    /// What the element adds to the latency of a live stream.
    pub(super) latency: Mutex<Latency>,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) frames: AtomicU64,
    pub(super) reused: AtomicU64,
    /// Of all engines, for frames may wait for those that were replaced.
    pub(super) engines: Arc<Counts>,
}

/// What belongs to one stream. Only the thread that brings its frames works on it.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) layout: Option<Arc<Layout>>,
    /// How frames leave: as they came, or with an opacity.
    pub(super) output: Option<Arc<Layout>>,
    /// Whether that was to be seen through.
    pub(super) wants_alpha: bool,
    pub(super) segment: gst::FormattedSegment<gst::ClockTime>,
    pub(super) sampler: Option<Sampler>,
    pub(super) motion_sampler: Option<Sampler>,
    /// Frames since the last one that was due, with that.
    pub(super) since_due: u64,
    /// What the next frame has to follow.
    pub(super) continuity: Continuity,
    /// What was segmented last, and how, where still frames are skipped.
    pub(super) segmented: Option<(Arc<Plan>, InputImage)>,
    /// Whether a frame was segmented in this scene.
    pub(super) has_mask: bool,
    /// How much later than their running time sinks show frames.
    pub(super) sink_latency: gst::ClockTime,
    /// A log message was written about interlaced frames.
    pub(super) told_of_fields: bool,
    /// A warning was posted about frames without opacity.
    pub(super) told_of_alpha: bool,
    /// Upstream's answer, once asked.
    pub(super) live: Option<bool>,
}

/// The mask drawn last, and its age then.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) mask: Option<ShownMask>,
    pub(super) age: Option<gst::ClockTime>,
}

/// A mask and what only its own session can say of it.
#[derive(Clone)]
pub(super) struct ShownMask {
    pub(super) mask: Arc<Mask>,
    pub(super) session: Weak<Session>,
    /// For each of its regions, whether it is foreground.
    pub(super) foreground: Vec<bool>,
}

impl Stream {
    /// Forgets what the next frame does not follow.
    pub(super) fn restart(&mut self) {
        self.has_mask = false;
        self.since_due = 0;
    }
}

impl FactorSeg {
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    /// Reports a change that was asked for and cannot be made: the stream goes on as it was.
    pub(super) fn complain(&self, domain: gst::ResourceError, text: &str) {
        gst::element_imp_warning!(self, domain, ("{text}"));
    }

    /// Posts an error message, unless this run has had its one already.
    pub(super) fn fail(&self, error: impl gst::MessageErrorDomain, text: &str) {
        let run = self.run.load(Ordering::SeqCst);
        if self.failing.swap(run, Ordering::SeqCst) != run {
            gst::element_imp_error!(self, error, ("{text}"));
            self.failed.store(run, Ordering::SeqCst);
        }
    }

    /// Whether this run has ended with an error message.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst) == self.run.load(Ordering::SeqCst)
    }

    /// Posts an error message, for a flow that ends with it.
    pub(super) fn flow_error(&self, error: impl gst::MessageErrorDomain, text: &str) -> gst::FlowError {
        self.fail(error, text);
        gst::FlowError::Error
    }
}
