//! Reads frames, masks and facts together in an application that has the plugin inside: no plugin path is needed.
//!
//! ```text
//! cargo run --release -p factorseg-pipelines --example objects -- holiday.mp4
//! ```
//!
//! One line a frame: when it is shown, its size, the share of the object by the facts and by the mask, and how bright the frame
//! is inside and outside of it. `objects.py` and `objects.c` print the same.

use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_app::AppSink;
use gstreamer_video::{VideoFrameExt, VideoFrameRef, VideoInfo};

/// Frames by one branch, masks by the other, each with a queue: the element sends both of a frame before the next.
const PIPELINE: &str = "uridecodebin name=file ! videoconvert ! video/x-raw,format=GRAY8 ! factorseg name=segment overlay=none \
    mask_0::format=foreground-hard segment.src ! queue ! appsink name=frames sync=false \
    segment.mask_0 ! queue ! appsink name=masks sync=false";

/// Rows of a picture in GRAY8, without what lies behind each.
fn pixels(sample: &gst::Sample) -> Result<(usize, Vec<u8>)> {
    let info = VideoInfo::from_caps(sample.caps().context("a sample without caps")?)?;
    let frame = VideoFrameRef::from_buffer_ref_readable(sample.buffer().context("a sample without a buffer")?, &info)?;
    let (width, stride) = (info.width() as usize, frame.plane_stride()[0] as usize);
    let rows = frame.plane_data(0)?.chunks(stride);
    Ok((width, rows.flat_map(|row| &row[..width]).copied().collect()))
}

fn describe(index: usize, frame: &gst::Sample, mask: &gst::Sample) -> Result<String> {
    let buffer = frame.buffer().context("a sample without a buffer")?;
    ensure!(
        Some(buffer.pts()) == mask.buffer().map(|mask| mask.pts()),
        "frame and mask {index} are of different times"
    );
    let report = FrameReport::from_buffer(buffer).context("a frame without facts")?;
    let share: f64 = report
        .regions
        .iter()
        .filter(|region| region.foreground)
        .map(|region| region.area)
        .sum();
    let ((width, frame), (_, mask)) = (pixels(frame)?, pixels(mask)?);
    let mean = |inside: bool| {
        let chosen: Vec<f64> = frame
            .iter()
            .zip(&mask)
            .filter(|(_, mask)| (**mask == 255) == inside)
            .map(|(luma, _)| f64::from(*luma))
            .collect();
        (chosen.len(), chosen.iter().sum::<f64>() / chosen.len().max(1) as f64)
    };
    let ((pixels, inside), (_, outside)) = (mean(true), mean(false));
    Ok(format!(
        "{index}: {:.3} s, {width}x{}, object {:.3} of the picture, {pixels} pixels, luma {inside:.1} inside, {outside:.1} outside",
        buffer.pts().map_or(0.0, gst::ClockTime::seconds_f64),
        frame.len() / width,
        share,
    ))
}

/// The next sample, `None` at the end of the stream. Where the pipeline fails no more come, so the bus is looked at, too.
fn next(sink: &AppSink, bus: &gst::Bus) -> Result<Option<gst::Sample>> {
    while !sink.is_eos() {
        if let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) {
            return Ok(Some(sample));
        }
        let message = bus.pop_filtered(&[gst::MessageType::Error]);
        if let Some(gst::MessageView::Error(error)) = message.as_ref().map(|message| message.view()) {
            bail!("{}", error.error());
        }
    }
    Ok(None)
}

fn main() -> Result<()> {
    gst::init()?;
    gstfactorseg::plugin_register_static()?;
    let path = std::env::args().nth(1).context("usage: objects VIDEO")?;
    let pipeline = gst::parse::launch(PIPELINE)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow::anyhow!("no pipeline"))?;
    let uri = gst::glib::filename_to_uri(std::fs::canonicalize(path)?, None)?;
    pipeline.by_name("file").context("no file")?.set_property("uri", uri);
    let sink = |name| pipeline.by_name(name).and_downcast::<AppSink>().context("no appsink");
    let (frames, masks) = (sink("frames")?, sink("masks")?);

    pipeline.set_state(gst::State::Playing)?;
    let bus = pipeline.bus().context("no bus")?;
    let mut index = 0;
    let ended = loop {
        match (next(&frames, &bus), next(&masks, &bus)) {
            (Ok(Some(frame)), Ok(Some(mask))) => println!("{}", describe(index, &frame, &mask)?),
            (Err(error), _) | (_, Err(error)) => break Err(error),
            _ => break Ok(()),
        }
        index += 1;
    };
    pipeline.set_state(gst::State::Null)?;
    ended
}
