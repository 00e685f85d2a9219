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
use super::qos::Qos;
use super::queue::CAPACITY;
use super::session::Session;
use crate::pixels::layout::Layout;
use crate::sync::lock;

impl FactorSeg {
    pub(super) fn start(&self) {
        self.counters.frames.store(0, Ordering::Relaxed);
        self.counters.reused.store(0, Ordering::Relaxed);
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
                return self.set_caps(caps.caps()) && self.srcpad.push_event(event);
            }
            gst::EventView::Segment(segment) => {
                let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() else {
                    self.fail(
                        gst::StreamError::Format,
                        &format!(
                            "A segment in {:?} is not supported, only in time",
                            segment.segment().format()
                        ),
                    );
                    return false;
                };
                let mut stream = lock(&self.stream);
                stream.segment = segment.clone();
                stream.continuity.begin_segment();
                // Mask pads have it with their next buffer, when their caps are known.
            }
            gst::EventView::Gap(_) | gst::EventView::SegmentDone(_) | gst::EventView::Eos(_) => {
                let layout = lock(&self.stream).layout.clone();
                let regions = self.session().map_or(1, |session| session.worker.info().regions);
                for pad in self.mask_pads() {
                    if let Some(Ok(info)) = layout.as_ref().map(|layout| self.mask_info(&pad, layout, regions)) {
                        self.prepare_mask_pad(&pad, &info);
                    }
                    if ends || layout.is_some() {
                        pad.push_event(event.clone());
                    }
                }
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
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    pub(super) fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Qos(qos) => {
                let (_, _, difference, timestamp) = qos.get();
                let told = lock(&self.qos).observe(timestamp, difference);
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
            gst::QueryViewMut::Latency(latency) => {
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
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    pub(super) fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if query.is_serialized() && !self.drain_before(false) {
            return false;
        }
        match query.view_mut() {
            // Frames are drawn on where they lie, so upstream allocates as downstream wishes.
            gst::QueryViewMut::Allocation(_) => {
                let known = self.srcpad.peer_query(query);
                if let gst::QueryViewMut::Allocation(allocation) = query.view_mut() {
                    keep_frames(allocation);
                }
                known
            }
            gst::QueryViewMut::Caps(caps) => {
                let template = pad.pad_template_caps();
                let filter = caps.filter_owned();
                let wanted = match &filter {
                    Some(filter) => filter.intersect_with_mode(&template, gst::CapsIntersectMode::First),
                    None => template,
                };
                let possible = self
                    .srcpad
                    .peer_query_caps(Some(&wanted))
                    .intersect_with_mode(&wanted, gst::CapsIntersectMode::First);
                caps.set_result(&possible);
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
        if info.interlace_mode() != gst_video::VideoInterlaceMode::Progressive {
            self.fail(
                gst::StreamError::Format,
                &format!(
                    "Interlaced video ({}) is not supported; put `deinterlace` before {}",
                    info.interlace_mode().to_str(),
                    self.obj().name()
                ),
            );
            return false;
        }
        let (width, height) = (info.width() as usize, info.height() as usize);
        let session = lock(&self.session);
        let mut stream = lock(&self.stream);
        let same_size = stream
            .layout
            .as_ref()
            .is_some_and(|old| (old.width, old.height) == (width, height));
        stream.layout = Some(Arc::new(Layout::new(&info)));
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
            session.worker.set_frame_size(width, height);
        }
        true
    }
}

/// Asks for as many frames more as the queue keeps from going back to their pool.
fn keep_frames(allocation: &mut gst::query::Allocation) {
    let pools: Vec<_> = allocation.allocation_pools().collect();
    for (index, (pool, size, minimum, maximum)) in pools.into_iter().enumerate() {
        let wanted = minimum + CAPACITY as u32;
        if maximum == 0 || wanted <= maximum {
            allocation.set_nth_allocation_pool(index as u32, pool.as_ref(), size, wanted, maximum);
        }
    }
}
