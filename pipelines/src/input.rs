//! Where frames and sound come from.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::element::element;
use crate::sound;

/// The demonstration clip, an MP4 file with sound; `media/README.md` says whose it is.
const CLIP: &[u8] = include_bytes!("../media/bigbuckbunny.mp4");

/// Name of the decoder in the pipeline.
pub const DECODER: &str = "decoder";

/// What the application reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A video file that GStreamer can decode.
    Video(PathBuf),
    /// The pictures of a folder, in the order of their names, as frames (a DAVIS sequence, say).
    Folder(PathBuf, gst::Fraction),
    /// The built-in clip.
    Clip,
}

impl Input {
    /// A file, a folder of pictures at `frame_rate`, or the built-in clip where there is no path.
    ///
    /// # Errors
    /// If nothing can be found at the path.
    pub fn from_path(path: Option<&Path>, frame_rate: gst::Fraction) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Input::Clip);
        };
        let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(match metadata.is_dir() {
            true => Input::Folder(path.to_owned(), frame_rate),
            false => Input::Video(path.to_owned()),
        })
    }

    /// Adds the elements that decode the input to `pipeline`, and links them as soon as the format is known: the first
    /// video stream to `video`, the first sound, if there is some, to `mux`.
    ///
    /// # Errors
    /// If an element is not installed, or the folder holds no pictures.
    pub fn add_to(&self, pipeline: &gst::Pipeline, video: &gst::Element, mux: &gst::Element) -> Result<()> {
        let source = match self {
            Input::Video(path) => {
                let source = element("filesrc", "gstreamer1.0-plugins-base")?;
                source.set_property("location", path);
                source
            }
            Input::Folder(folder, frame_rate) => frames(pictures(folder)?, *frame_rate)?.upcast(),
            Input::Clip => file_in_memory(CLIP).upcast(),
        };
        let decoder = element("decodebin", "gstreamer1.0-plugins-base")?;
        decoder.set_property("name", DECODER);
        pipeline.add_many([&source, &decoder])?;
        source.link(&decoder)?;
        link_streams(&decoder, pipeline, video, mux)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Video(path) | Input::Folder(path, _) => write!(f, "{}", path.display()),
            Input::Clip => write!(f, "the built-in clip"),
        }
    }
}

/// Links the streams of `decoder` when it has found them; an input without video is an error on the bus.
fn link_streams(
    decoder: &gst::Element,
    pipeline: &gst::Pipeline,
    video: &gst::Element,
    mux: &gst::Element,
) -> Result<()> {
    let video = video.static_pad("sink").context("there is no pad for the video")?;
    let unlinked = video.downgrade();
    decoder.connect_no_more_pads(move |decoder| {
        if unlinked.upgrade().is_some_and(|video| !video.is_linked()) {
            gst::element_error!(decoder, gst::StreamError::WrongType, ("it holds no video."));
        }
    });
    let (pipeline, video, mux) = (pipeline.downgrade(), video.downgrade(), mux.downgrade());
    decoder.connect_pad_added(move |decoder, pad| {
        let (Some(pipeline), Some(video), Some(mux)) = (pipeline.upgrade(), video.upgrade(), mux.upgrade()) else {
            return;
        };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let kind = caps.structure(0).map_or("", |structure| structure.name().as_str());
        let linked = if kind.starts_with("video/") && !video.is_linked() {
            pad.link(&video).map(|_| ()).context("cannot link the video stream")
        } else if kind.starts_with("audio/") && !sound::is_linked(&mux) {
            sound::add(&pipeline, pad, &mux).context("cannot keep the sound")
        } else {
            Ok(())
        };
        if let Err(error) = linked {
            gst::element_error!(decoder, gst::CoreError::Negotiation, ("{error:#}."));
        }
    });
    Ok(())
}

/// A source that reads the pictures one after the other.
///
/// # Errors
/// If the first has no known ending.
fn frames(pictures: Vec<PathBuf>, frame_rate: gst::Fraction) -> Result<gst_app::AppSrc> {
    let time = move |frames: usize| {
        gst::ClockTime::SECOND.mul_div_floor(frames as u64 * frame_rate.denom() as u64, frame_rate.numer() as u64)
    };
    let first = pictures.first().context("there are no pictures")?;
    let caps = gst::Caps::builder(media_type(first)?)
        .field("framerate", frame_rate)
        .build();
    let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
    source.set_duration(time(pictures.len()));
    let mut index = 0;
    let need_data = move |source: &gst_app::AppSrc, _| {
        let read = |path: &PathBuf| {
            fs::read(path)
                .map_err(|error| gst::warning!(gst::CAT_DEFAULT, "{}: {error}", path.display()))
                .ok()
        };
        let Some(data) = pictures.get(index).and_then(read) else {
            // Refused only when the pipeline is already stopping, as is a buffer.
            let _ = source.end_of_stream();
            return;
        };
        let mut buffer = gst::Buffer::from_mut_slice(data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(time(index));
            buffer.set_duration(time(1));
        }
        index += 1;
        let _ = source.push_buffer(buffer);
    };
    source.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(need_data).build());
    Ok(source)
}

/// A source that is read at any place, like a file.
fn file_in_memory(file: &'static [u8]) -> gst_app::AppSrc {
    let source = gst_app::AppSrc::builder()
        .format(gst::Format::Bytes)
        .stream_type(gst_app::AppStreamType::RandomAccess)
        .size(file.len() as i64)
        .build();
    let next = Arc::new(AtomicUsize::new(0));
    let place = next.clone();
    let need_data = move |source: &gst_app::AppSrc, length: u32| {
        let start = next.load(Ordering::Relaxed).min(file.len());
        let end = file.len().min(start + length as usize);
        next.store(end, Ordering::Relaxed);
        let _ = match start < end {
            true => source.push_buffer(gst::Buffer::from_slice(&file[start..end])),
            false => source.end_of_stream(),
        };
    };
    let seek_data = move |_: &gst_app::AppSrc, offset: u64| {
        place.store(offset as usize, Ordering::Relaxed);
        true
    };
    source.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .need_data(need_data)
            .seek_data(seek_data)
            .build(),
    );
    source
}

fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut pictures: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| media_type(path).is_ok())
        .collect();
    ensure!(
        !pictures.is_empty(),
        "{} holds no pictures (.jpg, .jpeg, .png)",
        folder.display()
    );
    pictures.sort();
    Ok(pictures)
}

fn media_type(path: &Path) -> Result<&'static str> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    match extension.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => Ok("image/jpeg"),
        "png" => Ok("image/png"),
        _ => bail!("{} is no picture (.jpg, .jpeg, .png)", path.display()),
    }
}
