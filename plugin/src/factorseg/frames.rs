//! The stream: events, queries, and the way of a frame from one pad to the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use factorseg_refine::MotionModel;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::Mode;
use super::canvas::sampler;
use super::imp::{CAT, FactorSeg, FlowResult, Format};
use super::latency::Latency;
use super::queue::{CAPACITY, Frame, Kind};
use super::session::Session;
use crate::engine::mask::Mask;
use crate::engine::worker::{Interrupted, Job, MotionJob};
use crate::meta;
use crate::pixels::layout::Layout;
use crate::pixels::sampling::Sampler;
use crate::settings::Plan;
use crate::sync::lock;

/// What belongs to one stream. Only the thread that brings its frames works on it.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) format: Option<Arc<Format>>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    sampler: Option<Sampler>,
    motion_sampler: Option<Sampler>,
    /// Frames since the last one that was segmented.
    since_due: u64,
    /// Whether the next frame to segment does not follow the one before it.
    discontinuous: bool,
    /// Whether a frame was segmented since the last discontinuity.
    has_mask: bool,
    /// How much later than their running time sinks show frames.
    sink_latency: gst::ClockTime,
    /// Upstream's answer, once asked.
    pub(super) live: Option<bool>,
}

/// The mask drawn last, and its age then.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) mask: Option<Arc<Mask>>,
    pub(super) age: Option<gst::ClockTime>,
}

impl Stream {
    /// Forgets what the next frame does not follow.
    fn restart(&mut self) {
        self.has_mask = false;
        self.since_due = 0;
        self.discontinuous = true;
    }
}

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
                let format = lock(&self.stream).format.clone();
                for pad in self.mask_pads() {
                    if let Some(Ok(info)) = format.as_ref().map(|format| self.mask_info(&pad, format)) {
                        self.prepare_mask_pad(&pad, &info);
                    }
                    if ends || format.is_some() {
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
                    let frame = lock(&self.stream).format.as_ref().and_then(|format| format.duration());
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
        let layout = Layout::new(&info);
        let session = lock(&self.session);
        let mut stream = lock(&self.stream);
        let same_size = stream
            .format
            .as_ref()
            .is_some_and(|old| (old.layout.width, old.layout.height) == (width, height));
        stream.format = Some(Arc::new(Format { info, layout }));
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

    /// Whether upstream is live, asked once for each stream.
    fn is_live(&self) -> bool {
        if let Some(live) = lock(&self.stream).live {
            return live;
        }
        let mut query = gst::query::Latency::new();
        let live = self.sinkpad.peer_query(&mut query) && query.result().0;
        gst::debug!(CAT, imp = self, "upstream is {}live", if live { "" } else { "not " });
        lock(&self.stream).live = Some(live);
        live
    }

    pub(super) fn chain(&self, buffer: gst::Buffer) -> FlowResult {
        let session = self.session().ok_or(gst::FlowError::Flushing)?;
        if self.failed.load(Ordering::SeqCst) {
            return Err(gst::FlowError::Error);
        }
        let format = lock(&self.stream).format.clone().ok_or(gst::FlowError::NotNegotiated)?;
        self.counters.frames.fetch_add(1, Ordering::Relaxed);
        if buffer.n_memory() == 0 {
            // A gap: there is nothing to see.
            self.queue.drain()?;
            return self.push_video(buffer);
        }
        let plan = session.plan();
        let live = self.is_live();
        let waits = match plan.mode {
            Mode::EveryFrame => true,
            Mode::Latest => false,
            Mode::Auto => !live,
        };
        if waits {
            self.queue.wait_for_room()?;
        } else {
            // Frames of a mode that waited go first.
            self.queue.drain()?;
        }
        let begun = Instant::now();
        let kind = match self.is_due(&plan, &buffer, waits) {
            true => self.submit(&session, &plan, &format, &buffer, waits)?,
            false if waits => Kind::Previous,
            false => Kind::Newest,
        };
        let frame = Frame {
            running_time: lock(&self.stream).segment.to_running_time(buffer.pts()),
            buffer,
            format,
            session,
            plan,
            kind,
            live,
            begun,
        };
        if !waits {
            return self.finish(frame);
        }
        if self.queue.push(frame)? {
            self.start_task()?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn start_task(&self) -> Result<(), gst::FlowError> {
        let element = self.obj().downgrade();
        let started = self.srcpad.start_task(move || {
            let Some(element) = element.upgrade() else {
                return;
            };
            // A panic becomes an error message.
            FactorSeg::catch_panic_pad_function(
                Some(element.upcast_ref()),
                || element.imp().queue.done(Err(gst::FlowError::Error)),
                FactorSeg::run_task,
            );
        });
        started.map_err(|error| {
            self.fail(gst::CoreError::StateChange, &format!("Cannot start a thread: {error}"));
            gst::FlowError::Error
        })
    }

    /// One turn of the thread that pushes frames which waited for their masks.
    fn run_task(&self) {
        match self.queue.next() {
            Some(frame) => {
                let flow = self.finish(frame);
                self.queue.done(flow);
            }
            None => {
                // Whoever stops the task waits for the end of this turn.
                let _ = self.srcpad.pause_task();
            }
        }
    }

    pub(super) fn activate_src(
        &self,
        pad: &gst::Pad,
        mode: gst::PadMode,
        active: bool,
    ) -> Result<(), gst::LoggableError> {
        if mode != gst::PadMode::Push {
            return Err(gst::loggable_error!(CAT, "only push mode is supported"));
        }
        self.queue.set_active(active);
        match active {
            true => Ok(()),
            false => pad
                .stop_task()
                .map_err(|error| gst::loggable_error!(CAT, "cannot stop the task: {error}")),
        }
    }

    /// Gets a frame's mask, draws it, tells its facts and pushes the frame and its masks.
    fn finish(&self, frame: Frame) -> FlowResult {
        let Frame {
            mut buffer,
            format,
            session,
            plan,
            mut kind,
            live,
            begun,
            running_time,
        } = frame;
        let worker = &session.worker;
        // Waiting for downstream to take the frame before is no latency of this element.
        let mut waited = Duration::ZERO;
        let mut mask = None;
        if let Kind::Own(ticket) = kind {
            match worker.wait_for(ticket, self.deadline(&plan, running_time)) {
                Ok((own, when)) => {
                    mask = Some(own);
                    waited = when.saturating_duration_since(begun);
                }
                Err(Interrupted::Late) => {
                    gst::debug!(CAT, imp = self, "no time to wait for the mask of {:?}", buffer.pts());
                    kind = Kind::Newest;
                    // What would have been needed.
                    waited = worker.last_duration();
                }
                Err(interrupted) => mask = self.interrupted(interrupted)?,
            }
        }
        match kind {
            Kind::Own(_) => {}
            Kind::Previous => mask = lock(&self.shown).mask.clone(),
            Kind::Newest => {
                mask = worker.latest();
                // An engine that was swapped in has not finished its first frame.
                if mask.is_none() && !worker.has_ended_any() {
                    mask = lock(&self.shown).mask.clone();
                }
            }
        }
        let drawing = Instant::now();
        // A mask of another engine may have other regions.
        let mask = mask.filter(|mask| mask.map.regions == plan.foreground.len());
        if self.failed.load(Ordering::SeqCst) {
            return Err(gst::FlowError::Error);
        }
        if mask.is_some() && !matches!(kind, Kind::Own(_)) {
            self.counters.reused.fetch_add(1, Ordering::Relaxed);
        }
        *lock(&self.shown) = Shown {
            age: mask.as_ref().and_then(|mask| meta::age(mask.pts, buffer.pts())),
            mask: mask.clone(),
        };
        let refined = match &mask {
            Some(mask) => self.refine(&plan, &format, mask, &buffer)?,
            None => None,
        };
        self.push_masks(&plan, &format, mask.as_ref(), refined.as_deref(), &buffer)?;
        if let Some(mask) = mask {
            self.decorate(&plan, &format, &mask, refined.as_deref(), buffer.make_mut())?;
        }
        if let Some(refined) = refined {
            lock(&self.canvas).refined = refined;
        }
        let waits = plan.mode != Mode::Latest && (kind != Kind::Newest || !waited.is_zero());
        if live && lock(&self.latency).observe(waits, waited + drawing.elapsed()) {
            gst::debug!(CAT, imp = self, "the latency has changed");
            // Without a bus nobody computes it.
            let element = self.obj();
            let _ = element.post_message(gst::message::Latency::builder().src(&*element).build());
        }
        self.push_video(buffer)
    }

    /// Whether this frame is to be segmented.
    fn is_due(&self, plan: &Plan, buffer: &gst::BufferRef, waits: bool) -> bool {
        let mut stream = lock(&self.stream);
        if buffer.flags().contains(gst::BufferFlags::DISCONT) {
            stream.discontinuous = true;
        }
        let due = stream.since_due.is_multiple_of(plan.interval);
        stream.since_due = if due { 1 } else { stream.since_due + 1 };
        if !due {
            return false;
        }
        // With no mask at all, a late frame gets one all the same.
        let late = waits && plan.qos && stream.has_mask && {
            let running_time = stream.segment.to_running_time(buffer.pts());
            let earliest = *lock(&self.earliest);
            matches!((running_time, earliest), (Some(time), Some(earliest)) if time < earliest)
        };
        if late {
            gst::debug!(CAT, imp = self, "late, not segmented: {:?}", buffer.pts());
        }
        !late
    }

    /// Hands a frame to the worker, where that is possible.
    fn submit(
        &self,
        session: &Session,
        plan: &Plan,
        format: &Format,
        buffer: &gst::BufferRef,
        waits: bool,
    ) -> Result<Kind, gst::FlowError> {
        let without = if waits { Kind::Previous } else { Kind::Newest };
        if session.worker.is_dead() {
            return Ok(without);
        }
        let size = if waits {
            session.worker.wait_input_size().map(Some)
        } else {
            session.worker.input_size()
        };
        let size = match size {
            Ok(size) => size,
            Err(interrupted) => self.interrupted(interrupted)?,
        };
        let Some((width, height)) = size else {
            // The engine is busy with a frame of another size: the next frame is due instead.
            lock(&self.stream).since_due = 0;
            return Ok(without);
        };
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &format.info)
            .map_err(|error| self.unmappable(&error))?;
        let planes = self.planes(&format.layout, frame.plane_stride(), frame.planes_data())?;
        let mut stream = lock(&self.stream);
        let stream = &mut *stream;
        let sample =
            |slot: &mut Option<Sampler>, size| sampler(slot, &format.layout, size).sample(&format.layout, &planes);
        // Where everything is the object, or nothing, there is nothing to judge.
        let told = plan.foreground.contains(&true) && plan.foreground.contains(&false);
        let motion = (plan.motion_model && told).then(|| MotionJob {
            frame: sample(&mut stream.motion_sampler, MotionModel::frame_size((width, height))),
            foreground: plan.foreground.clone(),
        });
        // Means of means, where both sizes average the frame.
        let fine = motion.as_ref().map(|motion| &motion.frame).filter(|fine| {
            let (columns, rows) = (format.info.width() as usize, format.info.height() as usize);
            fine.width <= columns && fine.height <= rows
        });
        let image = match fine {
            Some(fine) => MotionModel::network_input(fine),
            None => sample(&mut stream.sampler, (width, height)),
        };
        let continues = !std::mem::take(&mut stream.discontinuous);
        stream.has_mask = true;
        let job = Job {
            image,
            options: plan.options.clone(),
            motion,
            class: plan.class.clone(),
            sharpness: plan.sharpness,
            smoothing: plan.smoothing,
            continues,
            pts: buffer.pts(),
        };
        if waits {
            return Ok(Kind::Own(session.worker.submit(job)));
        }
        session.worker.submit_newest(job);
        Ok(Kind::Newest)
    }

    /// What a wait that ended without a result means for the frame: no mask, or the end of the stream.
    fn interrupted<T>(&self, interrupted: Interrupted) -> Result<Option<T>, gst::FlowError> {
        match interrupted {
            Interrupted::Flushing => Err(gst::FlowError::Flushing),
            Interrupted::Failed if self.failed.load(Ordering::SeqCst) => Err(gst::FlowError::Error),
            Interrupted::Failed | Interrupted::Late => Ok(None),
        }
    }

    /// When a clocked sink wants a frame that waits for its own mask; none if there is no such sink, or no other mask.
    fn deadline(&self, plan: &Plan, running_time: Option<gst::ClockTime>) -> Option<Instant> {
        /// For drawing, and for the elements between.
        const MARGIN: gst::ClockTime = gst::ClockTime::from_mseconds(5);
        if !plan.qos || lock(&self.earliest).is_none() || lock(&self.shown).mask.is_none() {
            return None;
        }
        let due = running_time? + lock(&self.stream).sink_latency;
        let left = due.saturating_sub(self.obj().current_running_time()? + MARGIN);
        Some(Instant::now() + Duration::from(left))
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
