//! The stream beside its frames: start and flush, events, queries, caps.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::continuity::{Continuity, frame_duration};
use super::element::{CAT, FactorSeg, Shown, Stream};
use super::frames::waits;
use super::latency::Latency;
use super::negotiation::DEINTERLACE;
use super::qos::Qos;
use super::queue::CAPACITY;
use super::session::Session;
use crate::pixels::layout::Layout;
use crate::sync::lock;

impl FactorSeg {
    pub(super) fn start(&self) {
        self.counters.frames.store(0, Ordering::Relaxed);
        self.counters.reused.store(0, Ordering::Relaxed);
        self.counters.engines.reset();
        if let Some(session) = self.session() {
            session.worker.reset_durations();
        }
        *lock(&self.qos) = Qos::default();
        *lock(&self.latency) = Latency::default();
        *lock(&self.stream) = Stream::default();
        self.restart_stream();
        lock(&self.outputs).combiner.reset();
        self.set_flushing(false);
    }

    /// What comes next does not follow what was there.
    fn restart_stream(&self) {
        lock(&self.stream).restart();
        *lock(&self.shown) = Shown::default();
    }

    /// The next frame begins a scene; the masks of the one before it are not drawn any more.
    pub(super) fn begin_scene(&self) {
        self.restart_stream();
        self.each_session(|session| session.worker.forget());
    }

    /// Frames may wait for sessions that were replaced.
    fn each_session(&self, call: impl Fn(&Session)) {
        // No other takes over meanwhile.
        let current = lock(&self.session);
        current.iter().for_each(|session| call(session));
        let retired: Vec<_> = lock(&self.retired).iter().filter_map(Weak::upgrade).collect();
        retired.iter().for_each(|session| call(session));
    }

    pub(super) fn set_flushing(&self, flushing: bool) {
        self.queue.set_flushing(flushing);
        self.each_session(|session| {
            session.worker.set_flushing(flushing);
            session.worker.forget();
        });
    }

    /// Lets the frames under way go before something that must not overtake them. Returns whether it may go on.
    fn drain_before(&self, ends: bool) -> bool {
        match self.queue.drain() {
            Err(gst::FlowError::Flushing) => false,
            // Upstream has no buffer left that could return the error.
            Err(error) if ends && error != gst::FlowError::Eos => {
                self.fail(
                    gst::StreamError::Failed,
                    &format!("Internal data stream error: downstream returned {error:?}"),
                );
                true
            }
            _ => true,
        }
    }

    pub(super) fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        let ends = event.type_() == gst::EventType::Eos;
        let overtakes = event.is_serialized() && event.type_() != gst::EventType::FlushStop;
        if overtakes && !self.drain_before(ends) {
            return false;
        }
        match event.view() {
            gst::EventView::Caps(caps) => {
                // The default handler would not forward it.
                return self.set_caps(caps.caps()) && self.negotiate(caps.caps(), self.wants_alpha());
            }
            gst::EventView::Segment(segment) => {
                let mut stream = lock(&self.stream);
                // Frames in bytes, say of an appsrc, pass all the same; what they have of time are their timestamps.
                let in_time = segment.segment().downcast_ref::<gst::ClockTime>();
                stream.segment = in_time.cloned().unwrap_or_default();
                stream.continuity.begin_segment();
                // Mask pads have it with their next buffer, when their caps are known.
            }
            gst::EventView::StreamStart(start) => {
                for pad in self.mask_pads() {
                    pad.push_event(self.mask_stream_start(&pad, start));
                }
                self.begin_scene();
                lock(&self.stream).live = None;
            }
            gst::EventView::FlushStart(_) => {
                self.set_flushing(true);
                for pad in self.mask_pads() {
                    pad.push_event(event.clone());
                }
                let forwarded = gst::Pad::event_default(pad, Some(&*self.obj()), event);
                // Now that downstream lets go of it, the frame that is being pushed ends.
                self.queue.wait_until_idle();
                return forwarded;
            }
            gst::EventView::FlushStop(_) => {
                *lock(&self.qos) = Qos::default();
                let mut stream = lock(&self.stream);
                stream.segment.reset();
                stream.continuity = Continuity::default();
                drop(stream);
                self.restart_stream();
                lock(&self.outputs).combiner.reset();
                self.set_flushing(false);
                for pad in self.mask_pads() {
                    pad.push_event(event.clone());
                }
            }
            _ => self.push_event_to_masks(&event),
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    pub(super) fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Qos(qos) => {
                let (_, _, difference, timestamp) = qos.get();
                let told = lock(&self.qos).observe(&pad.name(), timestamp, difference);
                if !told && self.catches_up() {
                    return true;
                }
            }
            gst::EventView::Latency(latency) => lock(&self.stream).sink_latency = latency.latency(),
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Whether frames that are late have the mask before instead of their own.
    fn catches_up(&self) -> bool {
        let live = lock(&self.stream).live.unwrap_or_default();
        self.session().is_some_and(|session| {
            let plan = session.plan();
            plan.settings.qos && waits(&plan, live)
        })
    }

    pub(super) fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => self.answer_latency(latency),
            gst::QueryViewMut::Caps(caps) => {
                let possible = self.src_caps(caps.filter());
                caps.set_result(&possible);
                true
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    /// Upstream's latency, and what the element adds to it. It is the same for video and masks.
    pub(super) fn answer_latency(&self, latency: &mut gst::query::Latency) -> bool {
        let mut upstream = gst::query::Latency::new();
        let known = self.sinkpad.peer_query(&mut upstream);
        if known {
            let (live, minimum, maximum) = upstream.result();
            let own = if live {
                lock(&self.latency).reported
            } else {
                gst::ClockTime::ZERO
            };
            // What can be stored are the frames of the queue.
            let frame = lock(&self.stream)
                .layout
                .as_ref()
                .and_then(|layout| frame_duration(&layout.info));
            let stored = match own {
                gst::ClockTime::ZERO => gst::ClockTime::ZERO,
                _ => frame.unwrap_or_default() * CAPACITY as u64,
            };
            latency.set(live, minimum + own, maximum.map(|maximum| maximum + stored));
        }
        known
    }

    pub(super) fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if query.is_serialized() && !self.drain_before(false) {
            return false;
        }
        match query.view_mut() {
            gst::QueryViewMut::Allocation(_) => self.answer_allocation(query),
            gst::QueryViewMut::Caps(caps) => {
                let possible = self.sink_caps(caps.filter());
                caps.set_result(&possible);
                true
            }
            gst::QueryViewMut::AcceptCaps(accept) => {
                let accepted = Self::accepts(accept.caps());
                accept.set_result(accepted);
                true
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn set_caps(&self, caps: &gst::CapsRef) -> bool {
        let info = match gst_video::VideoInfo::from_caps(caps) {
            Ok(info) => info,
            Err(error) => {
                gst::error!(CAT, imp = self, "cannot use {caps:?}: {error}");
                return false;
            }
        };
        if !matches!(
            info.interlace_mode(),
            gst_video::VideoInterlaceMode::Progressive | gst_video::VideoInterlaceMode::Mixed
        ) {
            self.fail(
                gst::StreamError::Format,
                &format!(
                    "Interlaced video ({}) is not supported by {}; put {DEINTERLACE}",
                    info.interlace_mode().to_str(),
                    self.obj().name(),
                ),
            );
            return false;
        }
        let layout = Arc::new(Layout::new(&info));
        let (width, height) = (layout.width, layout.height);
        let session = lock(&self.session);
        let mut stream = lock(&self.stream);
        let same_size = stream
            .layout
            .as_ref()
            .is_some_and(|old| (old.width, old.height, old.square_size()) == (width, height, layout.square_size()));
        stream.layout = Some(layout.clone());
        stream.sampler = None;
        stream.motion_sampler = None;
        lock(&self.canvas).forget_format();
        if !same_size {
            stream.restart();
            *lock(&self.shown) = Shown::default();
        }
        if let Some(session) = session.as_ref() {
            if !same_size {
                session.worker.forget();
            }
            // The network was trained with square pixels.
            let (width, height) = layout.square_size();
            session.worker.set_frame_size(width, height);
        }
        true
    }
}
