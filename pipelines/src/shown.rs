//! What has left the element, and where a stream ends early.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

/// What has left an element `factorseg` so far.
#[derive(Debug)]
pub struct Shown {
    /// The element.
    pub segment: gst::Element,
    frames: AtomicU64,
    /// Running time of the last frame, in nanoseconds.
    last: AtomicU64,
    is_over: AtomicBool,
    /// Which frame is kept.
    poster_frame: AtomicU64,
    poster: Mutex<Option<gst::Sample>>,
}

impl Shown {
    /// Watches the frames that leave `segment`.
    ///
    /// # Errors
    /// If it has no such pad.
    pub fn watch(segment: gst::Element) -> Result<Arc<Self>> {
        let pad = segment.static_pad("src").context("factorseg has no src pad")?;
        let shown = Arc::new(Self {
            segment,
            frames: AtomicU64::new(0),
            last: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            poster_frame: AtomicU64::new(0),
            poster: Mutex::new(None),
        });
        let watching = Arc::downgrade(&shown);
        let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(what, move |pad, info| {
            let Some(shown) = watching.upgrade() else {
                return gst::PadProbeReturn::Ok;
            };
            if is_end(info) {
                shown.is_over.store(true, Ordering::Relaxed);
            }
            if let Some(buffer) = info.buffer() {
                let index = shown.frames.fetch_add(1, Ordering::Relaxed);
                shown.last.store(running_time(pad, buffer), Ordering::Relaxed);
                if index < shown.poster_frame.load(Ordering::Relaxed)
                    && let Some(caps) = pad.current_caps()
                {
                    *shown.poster() = Some(gst::Sample::builder().buffer(buffer).caps(&caps).build());
                }
            }
            gst::PadProbeReturn::Ok
        });
        Ok(shown)
    }

    /// Number of frames so far.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Running time of the last frame, in nanoseconds.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Number of frames of the input by its duration and frame rate, where both are known.
    pub fn frames_in_all(&self) -> Option<u64> {
        let pad = self.segment.static_pad("sink")?;
        let caps = pad.current_caps()?;
        let rate = gst_video::VideoInfo::from_caps(&caps).ok()?.fps();
        let duration = pad.peer_query_duration::<gst::ClockTime>()?;
        // Sound may last part of a frame longer; a duration may be rounded down by part of a millisecond.
        let nanoseconds = duration.saturating_add(gst::ClockTime::MSECOND);
        let frames = nanoseconds.mul_div_floor(rate.numer() as u64, rate.denom() as u64 * *gst::ClockTime::SECOND)?;
        Some(*frames).filter(|&frames| frames > 0)
    }

    /// Keeps the frame of this index, counted from 0, or the last one before it.
    pub fn keep(&self, index: u64) {
        self.poster_frame.store(index + 1, Ordering::Relaxed);
    }

    /// The frame that is kept, as a PNG file.
    ///
    /// # Errors
    /// If none has come, or it cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        let sample = self.poster().take().context("the input holds no video frame")?;
        let png = gst::Caps::new_empty_simple("image/png");
        let encoded = gst_video::convert_sample(&sample, &png, Some(gst::ClockTime::from_seconds(30)))
            .context("cannot encode the poster")?;
        let buffer = encoded.buffer().context("the poster is empty")?;
        Ok(buffer
            .map_readable()
            .context("cannot read the poster")?
            .as_slice()
            .to_vec())
    }

    fn poster(&self) -> MutexGuard<'_, Option<gst::Sample>> {
        self.poster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what passes a pad is the end of its stream.
pub fn is_end(info: &gst::PadProbeInfo<'_>) -> bool {
    info.event().is_some_and(|event| event.type_() == gst::EventType::Eos)
}

/// When a buffer on `pad` is shown, in nanoseconds since the pipeline began; 0 where nothing says so.
pub fn running_time(pad: &gst::Pad, buffer: &gst::Buffer) -> u64 {
    let segment = pad.sticky_event::<gst::event::Segment>(0);
    let time = segment.and_then(|event| {
        event
            .segment()
            .downcast_ref::<gst::ClockTime>()?
            .to_running_time(buffer.pts()?)
    });
    time.map_or(0, gst::ClockTime::nseconds)
}

/// Ends what leaves a compositor by `pad` where the last of the streams ends: it goes on for as long as any of its inputs, or
/// shows their last frames without an end.
pub fn end_with(pad: &gst::Pad, streams: Vec<Arc<Shown>>) {
    let is_over = |shown: &Shown| shown.is_over.load(Ordering::Relaxed);
    end_before(pad, move |pad, buffer| {
        let time = running_time(pad, buffer);
        streams.iter().all(|shown| is_over(shown) && time > shown.last())
    });
}

/// Ends the stream into `pad`, or out of it, before the first buffer for which `ended` holds.
pub fn end_before(pad: &gst::Pad, ended: impl Fn(&gst::Pad, &gst::Buffer) -> bool + Send + Sync + 'static) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if !info.buffer().is_some_and(|buffer| ended(pad, buffer)) {
            return gst::PadProbeReturn::Ok;
        }
        let end = gst::event::Eos::new();
        match pad.direction() {
            gst::PadDirection::Sink => pad.send_event(end),
            _ => pad.push_event(end),
        };
        info.flow_res = Err(gst::FlowError::Eos);
        gst::PadProbeReturn::Handled
    });
}
