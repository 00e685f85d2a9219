//! The way of a frame from one pad to the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use factorseg_model::InputImage;
use factorseg_refine::MotionModel;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use super::continuity::frame_duration;
use super::element::{CAT, FactorSeg, Shown, ShownMask};
use super::queue::{FlowResult, Frame, Kind};
use super::session::Session;
use crate::engine::mask::Mask;
use crate::engine::worker::{Interrupted, Job};
use crate::meta::{self, FrameReport};
use crate::pixels::layout::Layout;
use crate::pixels::mapping::{self, FrameError};
use crate::pixels::sampling::Sampler;
use crate::settings::{Mode, Overlay, Plan, Refine};
use crate::sync::lock;

/// Whether no value of two pictures differs by as many levels of 255, rounded.
fn is_still(before: &InputImage, now: &InputImage, levels: u32) -> bool {
    let limit = (levels as f32 - 0.5) * 2.0 / 255.0;
    let values = before.data.iter().zip(&now.data);
    (before.width, before.height) == (now.width, now.height) && values.into_iter().all(|(a, b)| (a - b).abs() < limit)
}

/// Whether frames wait for their own masks.
pub(super) fn waits(plan: &Plan, live: bool) -> bool {
    match plan.settings.mode {
        Mode::EveryFrame => true,
        Mode::Latest => false,
        Mode::Auto => !live,
    }
}

/// What is to be done for a frame's mask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    /// It gets another frame's.
    Nothing,
    /// Motion judges what the network said of a frame before.
    Motion,
    /// The network sees it.
    Network,
}

impl FactorSeg {
    /// Whether upstream is live, asked until it answers.
    fn is_live(&self) -> bool {
        if let Some(live) = lock(&self.stream).live {
            return live;
        }
        let mut query = gst::query::Latency::new();
        if !self.sinkpad.peer_query(&mut query) {
            // Not known yet: the next frame asks again.
            return false;
        }
        let live = query.result().0;
        gst::debug!(CAT, imp = self, "upstream is {}live", if live { "" } else { "not " });
        lock(&self.stream).live = Some(live);
        live
    }

    pub(super) fn chain(&self, mut buffer: gst::Buffer) -> FlowResult {
        let session = self.session().ok_or(gst::FlowError::Flushing)?;
        if self.has_failed() {
            return Err(gst::FlowError::Error);
        }
        let layout = lock(&self.stream).layout.clone().ok_or(gst::FlowError::NotNegotiated)?;
        self.counters.frames.fetch_add(1, Ordering::Relaxed);
        meta::remove(&mut buffer).map_err(|error| self.meta_error(&error))?;
        if buffer.n_memory() == 0 {
            // A gap: there is nothing to see.
            self.queue.drain()?;
            self.push_gaps(&layout, session.worker.info().regions, &buffer);
            return self.push_video(buffer);
        }
        self.tell_wrong(&session);
        self.look_at_fields(&buffer);
        let plan = session.plan();
        let live = self.is_live();
        let waits = waits(&plan, live);
        if !self.follows(&layout, &buffer) {
            self.queue.drain()?;
            self.begin_scene();
        }
        if waits {
            self.queue.wait_for_room()?;
        } else {
            // Frames of a mode that waited go first.
            self.queue.drain()?;
        }
        let begun = Instant::now();
        let kind = match self.due(&plan, &buffer, waits) {
            Due::Nothing if waits => Kind::Previous,
            Due::Nothing => Kind::Newest,
            due => self.submit(&session, &plan, &layout, &buffer, due == Due::Network, waits)?,
        };
        let frame = Frame {
            running_time: lock(&self.stream).segment.to_running_time(buffer.pts()),
            buffer,
            layout,
            session,
            plan,
            kind,
            live,
            begun,
        };
        if !waits {
            return self.finish(frame);
        }
        let (first, flow) = self.queue.push(frame)?;
        if first {
            self.start_task()?;
        }
        flow
    }

    fn start_task(&self) -> Result<(), gst::FlowError> {
        let element = self.obj().downgrade();
        let started = self.srcpad.start_task(move || {
            let Some(element) = element.upgrade() else {
                return;
            };
            let element = element.imp();
            let turned = element.guarded("the task", false, |element| {
                element.run_task();
                true
            });
            if !turned {
                element.queue.done(Err(gst::FlowError::Error));
                let _ = element.srcpad.pause_task();
            }
        });
        started
            .map_err(|error| self.flow_error(gst::CoreError::StateChange, &format!("Cannot start a thread: {error}")))
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
            buffer,
            layout,
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
        let own = |mask: Arc<Mask>| ShownMask {
            mask,
            session: Arc::downgrade(&session),
            foreground: plan.foreground.clone(),
        };
        if let Kind::Own(ticket) = kind {
            lock(&self.qos).wait();
            match worker.wait_for(ticket, self.deadline(&plan, running_time)) {
                Ok((found, when)) => {
                    mask = Some(own(found));
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
                mask = worker.latest().map(own);
                // An engine that was swapped in has not finished its first frame.
                if mask.is_none() && !worker.has_ended_any() {
                    mask = lock(&self.shown).mask.clone();
                }
            }
        }
        self.settle_caps(&plan);
        let (mut buffer, layout) = self.outgoing(buffer, layout).map_err(|error| self.broken(&error))?;
        let drawing = Instant::now();
        let plan = match &mask {
            // The regions of another session are others, and may be more or fewer.
            Some(shown) if !std::ptr::eq(shown.session.as_ptr(), &*session) => Arc::new(Plan {
                foreground: shown.foreground.clone(),
                ..(*plan).clone()
            }),
            _ => plan,
        };
        if self.has_failed() {
            return Err(gst::FlowError::Error);
        }
        if mask.is_some() && !matches!(kind, Kind::Own(_)) {
            self.counters.reused.fetch_add(1, Ordering::Relaxed);
        }
        let shown = Shown {
            age: mask.as_ref().and_then(|shown| meta::age(shown.mask.pts, buffer.pts())),
            mask: mask.clone().map(|shown| ShownMask {
                foreground: plan.foreground.clone(),
                ..shown
            }),
        };
        let before = std::mem::replace(&mut *lock(&self.shown), shown);
        let mask = mask.map(|shown| shown.mask);
        if let Some(mask) = &mask
            && before.mask.is_none_or(|before| !Arc::ptr_eq(&before.mask, mask))
            && plan.settings.post_messages
        {
            self.post_mask(&plan, mask, &buffer);
        }
        let refined = match &mask {
            Some(mask) if self.sees_refined(&plan) => {
                let refined = lock(&self.canvas).refine(&plan, &layout, mask, &buffer);
                Some(refined.map_err(|error| self.broken(&error))?)
            }
            _ => None,
        };
        self.push_masks(&plan, &layout, mask.as_ref(), refined.as_deref(), &buffer)?;
        if let Some(mask) = mask {
            self.decorate(&plan, &layout, &mask, refined.as_deref(), buffer.make_mut())?;
        }
        if let Some(refined) = refined {
            lock(&self.canvas).refined = refined;
        }
        let waits = plan.settings.mode != Mode::Latest && (kind != Kind::Newest || !waited.is_zero());
        if live && lock(&self.latency).observe(waits, waited + drawing.elapsed()) {
            gst::debug!(CAT, imp = self, "the latency has changed");
            // Without a bus nobody computes it.
            let element = self.obj();
            let _ = element.post_message(gst::message::Latency::builder().src(&*element).build());
        }
        self.push_video(buffer)
    }

    /// Settles anew how frames leave, where downstream may have changed. Only who pushes frames does that: those that waited
    /// meanwhile go to who is linked now.
    fn settle_caps(&self, plan: &Plan) {
        let alpha = plan.settings.wants_alpha();
        let changed = lock(&self.stream).wants_alpha != alpha;
        if (self.srcpad.check_reconfigure() || changed)
            && let Some(caps) = self.sinkpad.current_caps()
            && !self.negotiate(&caps, alpha)
        {
            // Whether downstream takes them, the next frame tells.
            self.srcpad.mark_reconfigure();
        }
    }

    /// Whether the foreground is to be refined, and somebody sees it.
    fn sees_refined(&self, plan: &Plan) -> bool {
        let drawn = matches!(
            plan.settings.overlay,
            Overlay::Tint | Overlay::Foreground | Overlay::BlurBackground
        );
        let sent = || self.mask_pads().iter().any(|pad| pad.imp().format().is_foreground());
        plan.settings.refine != Refine::None && (drawn || sent())
    }

    /// Draws a mask on a frame and tells its facts.
    fn decorate(
        &self,
        plan: &Plan,
        layout: &Layout,
        mask: &Mask,
        refined: Option<&[u8]>,
        buffer: &mut gst::BufferRef,
    ) -> Result<(), gst::FlowError> {
        if plan.settings.overlay != Overlay::None {
            let drawn = lock(&self.canvas).draw(plan, layout, mask, refined, buffer);
            drawn.map_err(|error| self.broken(&error))?;
        }
        let report = FrameReport::new(mask, &plan.foreground, buffer.pts());
        #[cfg(feature = "v1_26")]
        crate::analytics::attach(mask, &report, (layout.width, layout.height), buffer)
            .map_err(|error| self.meta_error(&error))?;
        report.attach(buffer).map_err(|error| self.meta_error(&error))
    }

    fn broken(&self, error: &FrameError) -> gst::FlowError {
        self.flow_error(gst::StreamError::Format, &error.to_string())
    }

    /// Whether a frame is of the same scene as the one before it, by its time.
    fn follows(&self, layout: &Layout, buffer: &gst::BufferRef) -> bool {
        let mut stream = lock(&self.stream);
        let stream = &mut *stream;
        let lasts = buffer.duration().or_else(|| frame_duration(&layout.info));
        stream.continuity.follows(&stream.segment, buffer.pts(), lasts)
    }

    /// What is to be done for this frame's mask.
    fn due(&self, plan: &Plan, buffer: &gst::BufferRef, waits: bool) -> Due {
        let mut stream = lock(&self.stream);
        let seen = stream.since_due == 0 || stream.since_due >= u64::from(plan.settings.interval);
        stream.since_due = if seen { 1 } else { stream.since_due + 1 };
        if !seen && !plan.follows_motion() {
            return Due::Nothing;
        }
        // With no mask at all, a late frame gets one all the same.
        let late = waits && plan.settings.qos && stream.has_mask && {
            let running_time = stream.segment.to_running_time(buffer.pts());
            let earliest = lock(&self.qos).earliest();
            matches!((running_time, earliest), (Some(time), Some(earliest)) if time < earliest)
        };
        if late {
            gst::debug!(CAT, imp = self, "late, not segmented: {:?}", buffer.pts());
            if seen {
                // The network sees the next frame instead, so that one that is late does not cost a whole interval.
                stream.since_due = 0;
            }
            return Due::Nothing;
        }
        if seen { Due::Network } else { Due::Motion }
    }

    /// Hands a frame to the worker, where that is possible; `seen` by the network, or judged by motion alone.
    fn submit(
        &self,
        session: &Session,
        plan: &Arc<Plan>,
        layout: &Layout,
        buffer: &gst::BufferRef,
        seen: bool,
        waits: bool,
    ) -> Result<Kind, gst::FlowError> {
        let without = if waits { Kind::Previous } else { Kind::Newest };
        if session.worker.is_dead() {
            return Ok(without);
        }
        let size = match session.worker.input_size(waits) {
            Ok(size) => size,
            Err(interrupted) => self.interrupted(interrupted)?,
        };
        let Some((width, height)) = size else {
            // The engine is busy with a frame of another size: the next frame is due instead.
            lock(&self.stream).since_due = 0;
            return Ok(without);
        };
        let frame = mapping::readable(layout, buffer).map_err(|error| self.broken(&error))?;
        let planes = mapping::planes(layout, &frame).map_err(|error| self.broken(&error))?;
        let mut stream = lock(&self.stream);
        let stream = &mut *stream;
        let sample = |slot: &mut Option<Sampler>, size| Sampler::sized(slot, layout, size).sample(layout, &planes);
        let motion = plan
            .follows_motion()
            .then(|| sample(&mut stream.motion_sampler, MotionModel::frame_size((width, height))));
        // Means of means, where both sizes average the frame.
        let fine = motion.as_ref();
        let fine = fine.filter(|fine| fine.width <= layout.width && fine.height <= layout.height);
        let image = match fine {
            Some(fine) => MotionModel::network_input(fine),
            None => sample(&mut stream.sampler, (width, height)),
        };
        let limit = plan.settings.skip_still;
        if limit > 0 {
            let has_mask = stream.has_mask && lock(&self.shown).mask.is_some();
            let alike =
                |(of, before): &(Arc<Plan>, InputImage)| Arc::ptr_eq(of, plan) && is_still(before, &image, limit);
            if has_mask && stream.segmented.as_ref().is_some_and(alike) {
                return Ok(without);
            }
            stream.segmented = Some((plan.clone(), image.clone()));
        }
        stream.has_mask = true;
        let job = Job {
            image,
            seen,
            options: plan.options.clone(),
            foreground: plan.foreground.clone(),
            motion,
            class: plan.class.clone(),
            threshold: plan.settings.threshold as f32,
            min_area: plan.settings.min_area as f32,
            sharpness: plan.settings.sharpness as f32,
            smoothing: plan.settings.smoothing as f32,
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
            Interrupted::Failed if self.has_failed() => Err(gst::FlowError::Error),
            Interrupted::Failed | Interrupted::Late => Ok(None),
        }
    }

    /// When a clocked sink wants a frame that waits for its own mask; none if there is no such sink, or no other mask.
    fn deadline(&self, plan: &Plan, running_time: Option<gst::ClockTime>) -> Option<Instant> {
        /// For drawing, and for the elements between.
        const MARGIN: gst::ClockTime = gst::ClockTime::from_mseconds(5);
        if !plan.settings.qos || lock(&self.qos).earliest().is_none() || lock(&self.shown).mask.is_none() {
            return None;
        }
        let due = running_time? + lock(&self.stream).sink_latency;
        let left = due.saturating_sub(self.obj().current_running_time()? + MARGIN);
        Some(Instant::now() + Duration::from(left))
    }
}
