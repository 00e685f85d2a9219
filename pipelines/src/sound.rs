//! The sound of the input, which stays beside the picture.

use std::sync::Arc;

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;

use crate::parse::bin;
use crate::shown::end_before;

/// Says of a piece of sound whether it comes after an interruption.
pub type Ended = Arc<dyn Fn(&gst::Pad, &gst::Buffer) -> bool + Send + Sync>;

/// As much sound as may wait while the video encoder looks ahead: ten seconds.
const SOUND: &str = "audioconvert ! audioresample ! avenc_aac ! aacparse \
    ! queue max-size-time=10000000000 max-size-bytes=0 max-size-buffers=0";

/// Leads the decoded sound of `pad` as AAC to `mux`, in a pipeline that is starting.
///
/// # Errors
/// If an element is missing or refuses to be linked.
pub fn add(pipeline: &gst::Pipeline, pad: &gst::Pad, mux: &gst::Element, ended: Ended) -> Result<()> {
    let sound = bin(SOUND)?;
    pipeline.add(&sound)?;
    // By its name: hlssink2 would give another pad for video first.
    let templates = mux.pad_template_list();
    let audio = templates
        .iter()
        .map(|template| template.name_template())
        .find(|name| name.starts_with("audio"));
    sound.link_pads(Some("src"), mux, Some(audio.context("it takes no sound")?))?;
    end_before(
        &sound.static_pad("src").context("sound has no end")?,
        move |pad, buffer| ended(pad, buffer),
    );
    sound.sync_state_with_parent()?;
    pad.link(&sound.static_pad("sink").context("sound has no beginning")?)?;
    Ok(())
}
