//! The stream beside its frames: start and flush, events, queries, caps.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::element::{CAT, FactorSeg, Shown, Stream};
use super::latency::Latency;
use super::queue::CAPACITY;
use crate::pixels::layout::Layout;
use crate::sync::lock;

impl FactorSeg {
    pub(super) fn start(&self) {
        self.counters.frames.store(0, Ordering::Relaxed);
        self.counters.reused.store(0, Ordering::Relaxed);
        *lock(&self.earliest) = None;
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
                stream.discontinuous = true;
                // Mask pads have it with their next buffer, when their caps are known.
            }
            gst::EventView::Gap(_) | gst::EventView::Eos(_) => {
                let layout = lock(&self.stream).layout.clone();
                for pad in self.mask_pads() {
                    if let Some(Ok(info)) = layout.as_ref().map(|layout| self.mask_info(&pad, layout)) {
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
                *lock(&self.earliest) = None;
                lock(&self.stream).segment.reset();
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
                *lock(&self.earliest) = timestamp.and_then(|timestamp| earliest(timestamp, difference));
            }
            gst::EventView::Latency(latency) => lock(&self.stream).sink_latency = latency.latency(),
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
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
                        .and_then(|layout| duration(&layout.info));
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
