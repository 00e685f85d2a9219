//! The pipeline `input ! videoconvert ! factorseg ! videoconvert ! x264enc ! mp4mux ! filesink`, and the input's sound.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::element::{element, set_property};
use crate::input::{DECODER, Input};
use crate::shown::{Shown, end_when_interrupted};

/// How long the application waits between looks at whether it was interrupted.
const POLL: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// How long a file may take to be finished after an interruption.
const FINISH: Duration = Duration::from_secs(10);

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Frames written.
    pub frames: u64,
    /// Seconds from the start to the last frame, model load included.
    pub seconds: f64,
    /// Device that the network ran on.
    pub device: String,
    /// Whether the run was interrupted before its end; the file holds what was done by then.
    pub interrupted: bool,
    /// What the input has and nothing installed decodes, in GStreamer's words: the sound, say.
    pub missing: Option<String>,
}

/// Where a run writes.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// The overlay video, MP4.
    pub video: &'a Path,
    /// One frame of it, PNG.
    pub poster: &'a Path,
    /// Which frame that is, counted from 0; the last one of a shorter video.
    pub poster_frame: u64,
}

/// Segments `input` and writes the result.
///
/// `properties` are set on the element `factorseg`, in the notation of `gst-launch-1.0`. `interrupted` ends the run
/// early, with a complete file. `progress` is told a few times a second how many frames are done, of how many where
/// that is known.
///
/// # Errors
/// If nothing can be written there, an element is missing, a property does not exist or refuses its value, or the
/// pipeline fails.
pub fn run(
    input: &Input,
    output: Output<'_>,
    properties: &[(String, String)],
    interrupted: &Arc<AtomicBool>,
    mut progress: impl FnMut(u64, Option<u64>),
) -> Result<Report> {
    check_output(input, output)?;
    let pipeline = gst::Pipeline::new();
    let convert = element("videoconvert", "gstreamer1.0-plugins-base")?;
    let segment = element("factorseg", "gst-plugin-factorseg")?;
    // A file has time: every frame gets its own masks unless the user wants otherwise.
    segment.set_property_from_str("mode", "every-frame");
    for (name, value) in properties {
        set_property(&segment, name, value)?;
    }
    let to_encoder = element("videoconvert", "gstreamer1.0-plugins-base")?;
    // x264 in 4:2:0 takes even sizes only.
    let crop = element("videocrop", "gstreamer1.0-plugins-good")?;
    let encode = element("x264enc", "gstreamer1.0-plugins-ugly")?;
    encode.set_property_from_str("speed-preset", "veryfast");
    encode.set_property_from_str("pass", "quant");
    encode.set_property("quantizer", 20u32);
    let format = gst::ElementFactory::make("capsfilter")
        .property(
            "caps",
            gst_video::VideoCapsBuilder::new()
                .format(gst_video::VideoFormat::I420)
                .build(),
        )
        .build()?;
    let mux = element("mp4mux", "gstreamer1.0-plugins-good")?;
    mux.set_property("faststart", true);
    let sink = element("filesink", "gstreamer1.0-plugins-base")?;
    sink.set_property("location", output.video);
    let chain = [&convert, &segment, &to_encoder, &crop, &format, &encode, &mux, &sink];
    pipeline.add_many(chain)?;
    gst::Element::link_many(chain)?;
    crop_to_even_size(&crop)?;
    let shown = Shown::watch(&segment, output.poster_frame)?;
    input.add_to(&pipeline, &convert, &mux)?;
    end_when_interrupted(interrupted, &shown, &convert, &mux)?;

    let start = Instant::now();
    let played = play(&pipeline, input, interrupted, || {
        progress(shown.frames(), frames_in_all(&segment));
    });
    let seconds = start.elapsed().as_secs_f64();
    let stats = segment.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null)?;
    let interrupted = interrupted.load(Ordering::Relaxed);
    ensure!(!interrupted || shown.frames() > 0, "interrupted before the first frame");
    let missing = played?;

    let sample = shown.poster().take().context("the input holds no video frame")?;
    write_png(&sample, output.poster)?;
    Ok(Report {
        frames: shown.frames(),
        seconds,
        device: stats.get("device").unwrap_or_else(|_| "unknown".to_owned()),
        interrupted,
        missing,
    })
}

/// Nothing is lost to a file that cannot be written, or that is the input.
fn check_output(input: &Input, output: Output<'_>) -> Result<()> {
    for path in [output.video, output.poster] {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        ensure!(
            folder.is_dir(),
            "cannot write {}: there is no folder {}; make it first",
            path.display(),
            folder.display()
        );
        if let (Input::Video(video), Ok(written)) = (input, path.canonicalize()) {
            ensure!(
                video.canonicalize().ok().as_ref() != Some(&written),
                "{} would be written over the input; give another --output",
                path.display()
            );
        }
    }
    Ok(())
}

/// Number of frames of the input by its duration and frame rate, where both are known.
fn frames_in_all(segment: &gst::Element) -> Option<u64> {
    let pad = segment.static_pad("sink")?;
    let caps = pad.current_caps()?;
    let rate = gst_video::VideoInfo::from_caps(&caps).ok()?.fps();
    let duration = pad.peer_query_duration::<gst::ClockTime>()?;
    // Sound may last part of a frame longer; a duration may be rounded down by part of a millisecond.
    let nanoseconds = duration.saturating_add(gst::ClockTime::MSECOND);
    let frames = nanoseconds.mul_div_floor(rate.numer() as u64, rate.denom() as u64 * *gst::ClockTime::SECOND)?;
    Some(*frames).filter(|&frames| frames > 0)
}

/// Sets the crop when the frame size is known.
fn crop_to_even_size(crop: &gst::Element) -> Result<()> {
    let pad = crop.static_pad("sink").context("videocrop has no sink pad")?;
    let crop = crop.downgrade();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let (Some(crop), Some(gst::EventView::Caps(caps))) = (crop.upgrade(), info.event().map(|event| event.view()))
            && let Ok(video) = gst_video::VideoInfo::from_caps(caps.caps())
        {
            crop.set_property("right", (video.width() % 2) as i32);
            crop.set_property("bottom", (video.height() % 2) as i32);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Plays to the end, with a look at the progress now and then; returns what was left out for want of a decoder.
fn play(
    pipeline: &gst::Pipeline,
    input: &Input,
    interrupted: &AtomicBool,
    mut progress: impl FnMut(),
) -> Result<Option<String>> {
    let bus = pipeline.bus().context("the pipeline has no bus")?;
    // Why it failed is on the bus.
    let started = pipeline.set_state(gst::State::Playing);
    let mut deadline = None;
    let mut missing = None;
    loop {
        if deadline.is_none() && interrupted.load(Ordering::Relaxed) {
            deadline = Some(Instant::now() + FINISH);
        }
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            bail!(
                "interrupted, and the file could not be finished in {} s",
                FINISH.as_secs()
            );
        }
        let kinds = [
            gst::MessageType::Eos,
            gst::MessageType::Error,
            gst::MessageType::Element,
        ];
        let message = bus.timed_pop_filtered(POLL, &kinds);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => return Err(failure(pipeline, input, error, missing)),
            Some(gst::MessageView::Eos(_)) => return Ok(missing),
            Some(gst::MessageView::Element(element)) => missing = missing_plugin(element).or(missing),
            _ => {
                started.context("the pipeline does not start")?;
            }
        }
        progress();
    }
}

/// What cannot be decoded here, in GStreamer's words.
fn missing_plugin(message: &gst::message::Element) -> Option<String> {
    let structure = message
        .structure()
        .filter(|structure| structure.name() == "missing-plugin")?;
    structure.get("name").ok()
}

/// What failed, by the name that the user knows, and the way out.
fn failure(
    pipeline: &gst::Pipeline,
    input: &Input,
    error: &gst::message::Error,
    missing: Option<String>,
) -> anyhow::Error {
    let source = error.src();
    let decoder = pipeline.by_name(DECODER);
    let is_input = source.is_some_and(|source| {
        decoder.is_some_and(|decoder| source == decoder.upcast_ref::<gst::Object>() || source.has_as_ancestor(&decoder))
    });
    match (is_input, missing) {
        (true, Some(missing)) => anyhow!(
            "cannot decode {input}: no {missing} is installed; install gstreamer1.0-libav and the plugins good, bad and ugly"
        ),
        (true, None) => anyhow!(
            "cannot read {input}: {} Give a video that GStreamer decodes, or a folder of pictures (.jpg, .png)",
            error.error()
        ),
        (false, _) => {
            let source = source.map(|source| source.name().to_string());
            anyhow!("{}: {}", source.unwrap_or_default(), error.error())
        }
    }
}

fn write_png(sample: &gst::Sample, path: &Path) -> Result<()> {
    let png = gst_video::convert_sample(
        sample,
        &gst::Caps::new_empty_simple("image/png"),
        Some(gst::ClockTime::from_seconds(30)),
    )
    .context("cannot encode the poster")?;
    let buffer = png.buffer().context("the poster is empty")?;
    let bytes = buffer.map_readable().context("cannot read the poster")?;
    std::fs::write(path, bytes.as_slice()).with_context(|| format!("cannot write {}", path.display()))
}
