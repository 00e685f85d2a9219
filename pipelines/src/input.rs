//! Where frames come from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::clip;

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

    /// Adds the elements that deliver raw video to `bin` and links them to `sink`, now or as soon as the format of
    /// the file is known.
    ///
    /// # Errors
    /// If an element is not installed, or the folder holds no pictures.
    pub fn add_to(&self, bin: &gst::Pipeline, sink: &gst::Element) -> Result<()> {
        match self {
            Input::Video(path) => {
                let source = element("filesrc", "gstreamer1.0-plugins-base")?;
                source.set_property("location", path);
                decode(bin, &source, sink)
            }
            Input::Folder(folder, frame_rate) => {
                let pictures = pictures(folder)?;
                let caps = gst::Caps::builder(media_type(&pictures[0])?)
                    .field("framerate", *frame_rate)
                    .build();
                let frame = move |index: usize| -> Option<Vec<u8>> {
                    let path = pictures.get(index)?;
                    fs::read(path)
                        .map_err(|error| gst::warning!(gst::CAT_DEFAULT, "{}: {error}", path.display()))
                        .ok()
                };
                let source = frames(caps, *frame_rate, frame);
                decode(bin, source.upcast_ref(), sink)
            }
            Input::Clip => {
                let photograph = clip::photograph().context("cannot decode the built-in picture")?;
                let frame_rate = gst::Fraction::new(clip::FRAME_RATE as i32, 1);
                let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, clip::SIZE.0, clip::SIZE.1)
                    .fps(frame_rate)
                    .build()?;
                let source = frames(info.to_caps()?, frame_rate, move |index| {
                    let index = u32::try_from(index).ok().filter(|&i| i < clip::FRAMES)?;
                    Some(clip::frame(&photograph, index).into_raw())
                });
                bin.add(&source)?;
                source.link(sink)?;
                Ok(())
            }
        }
    }
}

/// Makes an element, or says which package has it.
///
/// # Errors
/// If the element is not installed.
pub fn element(name: &str, package: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(name)
        .build()
        .with_context(|| format!("the GStreamer element `{name}` is missing; install the package {package}"))
}

/// `source ! decodebin ! sink`, taking the first video stream.
fn decode(bin: &gst::Pipeline, source: &gst::Element, sink: &gst::Element) -> Result<()> {
    let decoder = element("decodebin", "gstreamer1.0-plugins-base")?;
    bin.add_many([source, &decoder])?;
    source.link(&decoder)?;
    let sink = sink.downgrade();
    decoder.connect_pad_added(move |decoder, pad| {
        let Some(sink_pad) = sink.upgrade().and_then(|sink| sink.static_pad("sink")) else {
            return;
        };
        let is_video = pad
            .current_caps()
            .or_else(|| Some(pad.query_caps(None)))
            .and_then(|caps| caps.structure(0).map(|s| s.name().starts_with("video/")))
            .unwrap_or(false);
        if !is_video || sink_pad.is_linked() {
            return;
        }
        if let Err(error) = pad.link(&sink_pad) {
            gst::element_error!(
                decoder,
                gst::CoreError::Negotiation,
                ["cannot link the video stream: {error}"]
            );
        }
    });
    Ok(())
}

/// A source that pulls frame after frame from a function until it returns `None`.
fn frames(
    caps: gst::Caps,
    frame_rate: gst::Fraction,
    mut frame: impl FnMut(usize) -> Option<Vec<u8>> + Send + 'static,
) -> gst_app::AppSrc {
    let duration = move |frames: usize| {
        gst::ClockTime::SECOND.mul_div_floor(frames as u64 * frame_rate.denom() as u64, frame_rate.numer() as u64)
    };
    let mut index = 0;
    let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
    source.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .need_data(move |source, _| {
                let Some(data) = frame(index) else {
                    // Refused only when the pipeline is already stopping.
                    let _ = source.end_of_stream();
                    return;
                };
                let mut buffer = gst::Buffer::from_mut_slice(data);
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_pts(duration(index));
                    buffer.set_duration(duration(1));
                }
                index += 1;
                let _ = source.push_buffer(buffer);
            })
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
