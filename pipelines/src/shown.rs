//! What has left the element, and where an interruption ends the streams.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;

/// What has left the element so far.
#[derive(Debug, Default)]
pub struct Shown {
    frames: AtomicU64,
    /// Presentation timestamp of the last frame, in nanoseconds.
    last: AtomicU64,
    poster: Mutex<Option<gst::Sample>>,
}

impl Shown {
    /// Watches the frames that leave `segment`, and keeps the one with the index `poster` (or the last before it).
    ///
    /// # Errors
    /// If it has no such pad.
    pub fn watch(segment: &gst::Element, poster: u64) -> Result<Arc<Self>> {
        let pad = segment.static_pad("src").context("factorseg has no src pad")?;
        let shown = Arc::new(Self::default());
        let watching = shown.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let index = watching.frames.fetch_add(1, Ordering::Relaxed);
            if let (Some(buffer), Some(caps)) = (info.buffer(), pad.current_caps()) {
                let pts = buffer.pts().map_or(0, gst::ClockTime::nseconds);
                watching.last.store(pts, Ordering::Relaxed);
                if index <= poster {
                    *watching.poster() = Some(gst::Sample::builder().buffer(buffer).caps(&caps).build());
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

    /// The frame that is kept, once it has come.
    pub fn poster(&self) -> MutexGuard<'_, Option<gst::Sample>> {
        self.poster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets an interruption end the video with the next frame, and the sound where the video ends: what the decoder holds
/// already would take its time.
///
/// # Errors
/// If `video` has no sink pad.
pub fn end_when_interrupted(
    interrupted: &Arc<AtomicBool>,
    shown: &Arc<Shown>,
    video: &gst::Element,
    mux: &gst::Element,
) -> Result<()> {
    let pad = video.static_pad("sink").context("there is no pad for the video")?;
    let is_interrupted = interrupted.clone();
    end_before(&pad, move |_| is_interrupted.load(Ordering::Relaxed));

    let (interrupted, shown) = (interrupted.clone(), shown.clone());
    mux.connect_pad_added(move |_, pad| {
        if pad.name().starts_with("audio") {
            let (interrupted, shown) = (interrupted.clone(), shown.clone());
            end_before(pad, move |sound| {
                let pts = sound.pts().map_or(0, gst::ClockTime::nseconds);
                interrupted.load(Ordering::Relaxed) && pts > shown.last.load(Ordering::Relaxed)
            });
        }
    });
    Ok(())
}

/// Ends the stream into `pad` before the first buffer for which `ended` holds.
fn end_before(pad: &gst::Pad, ended: impl Fn(&gst::Buffer) -> bool + Send + Sync + 'static) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if !info.buffer().is_some_and(&ended) {
            return gst::PadProbeReturn::Ok;
        }
        pad.send_event(gst::event::Eos::new());
        info.flow_res = Err(gst::FlowError::Eos);
        gst::PadProbeReturn::Handled
    });
}
