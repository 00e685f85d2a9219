//! The sound of the input, which stays beside the overlay video.

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;

use crate::element::element;

/// How much sound may wait while the video encoder looks ahead.
const AHEAD: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// Whether `mux` has a sound stream already.
pub fn is_linked(mux: &gst::Element) -> bool {
    mux.static_pad("audio_0").is_some()
}

/// Leads the decoded sound of `pad` as AAC to `mux`, in a pipeline that is starting.
///
/// # Errors
/// If an element is missing or refuses to be linked.
pub fn add(pipeline: &gst::Pipeline, pad: &gst::Pad, mux: &gst::Element) -> Result<()> {
    let convert = element("audioconvert", "gstreamer1.0-plugins-base")?;
    let resample = element("audioresample", "gstreamer1.0-plugins-base")?;
    let encode = element("avenc_aac", "gstreamer1.0-libav")?;
    let queue = element("queue", "gstreamer1.0-plugins-base")?;
    queue.set_property("max-size-time", AHEAD);
    queue.set_property("max-size-bytes", 0u32);
    queue.set_property("max-size-buffers", 0u32);
    let chain = [&convert, &resample, &encode, &queue];
    pipeline.add_many(chain)?;
    gst::Element::link_many(chain)?;
    queue.link_pads(None, mux, Some("audio_%u"))?;
    for element in chain {
        element.sync_state_with_parent()?;
    }
    pad.link(&convert.static_pad("sink").context("audioconvert has no sink pad")?)?;
    Ok(())
}
