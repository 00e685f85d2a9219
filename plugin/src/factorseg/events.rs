//! The stream beside its frames: start and flush, events, queries, caps.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::element::{CAT, FactorSeg, Shown, Stream};
use super::latency::Latency;
use super::negotiation::DEINTERLACE;
use super::queue::CAPACITY;
use crate::pixels::layout::Layout;
use crate::sync::lock;

impl FactorSeg {
    pub(super) fn start(&self) {
        self.counters.frames.store(0, Ordering::Relaxed);
        self.counters.reused.store(0, Ordering::Relaxed);
        self.counters.inferred_before.store(0, Ordering::Relaxed);
        self.counters.dropped_before.store(0, Ordering::Relaxed);
        if let Some(session) = self.session() {
            session.worker.reset_stats();
        }
        lock(&self.earliest).clear();
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

    pub(super) fn set_flushing(&self, flushing: bool) {
        self.queue.set_flushing(flushing);
        if let Some(session) = self.session() {
            session.worker.set_flushing(flushing);
            session.worker.forget();
        }
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
                return self.set_caps(caps.caps()) && self.negotiate(caps.caps());
            }
            gst::EventView::Segment(segment) => {
                let mut stream = lock(&self.stream);
                // Frames in bytes, say of an appsrc, pass all the same; what they have of time are their timestamps.
                let in_time = segment.segment().downcast_ref::<gst::ClockTime>();
                stream.segment = in_time.cloned().unwrap_or_default();
                stream.discontinuous = true;
                // Mask pads have it with their next buffer, when their caps are known.
            }
            gst::EventView::StreamStart(start) => {
                for pad in self.mask_pads() {
                    pad.push_event(self.mask_stream_start(&pad, start));
                }
                self.restart_stream();
                if let Some(session) = self.session() {
                    session.worker.forget();
                }
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
                lock(&self.earliest).clear();
                lock(&self.stream).segment.reset();
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
                let mut wanted = lock(&self.earliest);
                match timestamp.and_then(|timestamp| earliest(timestamp, difference)) {
                    Some(time) => wanted.insert(pad.name(), time),
                    None => wanted.remove(&pad.name()),
                };
            }
            gst::EventView::Latency(latency) => lock(&self.stream).sink_latency = latency.latency(),
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
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
                .and_then(|layout| duration(&layout.info));
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

/// How long one frame lasts, if they come at a fixed rate.
fn duration(info: &gst_video::VideoInfo) -> Option<gst::ClockTime> {
    let rate = info.fps();
    let (frames, seconds) = (u64::try_from(rate.numer()).ok()?, u64::try_from(rate.denom()).ok()?);
    gst::ClockTime::SECOND
        .mul_div_floor(seconds, frames.max(1))
        .filter(|_| frames > 0)
}

/// The running time before which frames come too late, by the rule of GstBaseTransform.
fn earliest(timestamp: gst::ClockTime, difference: i64) -> Option<gst::ClockTime> {
    // A sink that is late will be late again: twice what is missing is caught up.
    let ahead = if difference > 0 {
        difference.saturating_mul(2)
    } else {
        difference
    };
    let time = i128::from(timestamp.nseconds()) + i128::from(ahead);
    u64::try_from(time).ok().map(gst::ClockTime::from_nseconds)
}
