//! Where frames and sound come from.

use std::fmt;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use tokio::net::unix::pipe;

use crate::arguments::InputOptions;
use crate::parse::{bin, named, quoted};
use crate::runner::Job;
use crate::shown::is_end;
use crate::sound;

/// The demonstration clip, an MP4 file with sound; `media/README.md` says whose it is.
const CLIP: &[u8] = include_bytes!("../media/bigbuckbunny.mp4");

/// The beginning of a description: takes the decoded frames, and turns those of a telephone upright.
pub const HEAD: &str = "videoconvert name=in ! videoflip video-direction=auto";

/// [`HEAD`] by another name, where there are several.
pub fn head(name: &str) -> String {
    HEAD.replace("name=in", &format!("name={name}"))
}

/// What the names of decoders begin with; the name of the element that they lead to and the place follow.
pub const DECODER: &str = "input ";

/// What the names of their sources begin with, where those are not their own; the same follows.
pub const SOURCE: &str = "source ";

/// What a pipeline reads.
#[derive(Debug)]
pub struct Input {
    /// As the user named it.
    place: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A file or stream that GStreamer can decode.
    Uri(String),
    /// The built-in clip, in a file without a name, or a pipe.
    Open(OwnedFd),
    /// Pictures as frames.
    Pictures(Vec<PathBuf>, gst::Fraction),
    /// A camera, or what stands in for one, as a description.
    Camera(String),
}

impl Input {
    /// The input at `place`: the help of `--in` says what that may be.
    ///
    /// # Errors
    /// If nothing can be found there.
    pub fn from_place(place: &str, options: &InputOptions) -> Result<Self> {
        let test = format!(
            "videotestsrc is-live=true pattern=ball ! capsfilter caps={}",
            raw(options)
        );
        let source = match place {
            "clip" => Source::Open(clip()?.into()),
            "test" => Source::Camera(test),
            "test-mjpg" => Source::Camera(format!("{test} ! jpegenc")),
            pipe if fs::metadata(pipe).is_ok_and(|file| file.file_type().is_fifo()) => Source::Open(open_pipe(pipe)?),
            camera if camera.starts_with("/dev/") => Source::Camera(format!(
                "v4l2src device={} ! capsfilter caps={}",
                quoted(camera),
                quoted(&format!(
                    "{};{}",
                    raw(options),
                    raw(options).replace("video/x-raw", "image/jpeg")
                ))
            )),
            url if url.contains("://") => Source::Uri(url.to_owned()),
            path => {
                let found = fs::canonicalize(path).with_context(|| format!("cannot read {path}"))?;
                match found.is_dir() {
                    true => Source::Pictures(
                        pictures(&found)?,
                        gst::Fraction::new(options.frame_rate.unwrap_or(24).max(1), 1),
                    ),
                    false => Source::Uri(gst::glib::filename_to_uri(found, None)?.to_string()),
                }
            }
        };
        Ok(Self {
            place: place.to_owned(),
            source,
        })
    }

    /// Whether frames come as time goes by, without an end.
    pub fn is_live(&self) -> bool {
        match &self.source {
            Source::Camera(_) => true,
            Source::Uri(uri) => uri.starts_with("rtsp"),
            Source::Open(_) | Source::Pictures(..) => false,
        }
    }

    /// The file that is read, if it is one.
    pub fn file(&self) -> Option<PathBuf> {
        fs::canonicalize(&self.place).ok()
    }

    /// Names of the files that the frames come from, where each has its own.
    pub fn pictures(&self) -> &[PathBuf] {
        match &self.source {
            Source::Pictures(pictures, _) => pictures,
            _ => &[],
        }
    }

    /// Adds the elements that decode the input to the job's pipeline, and links them as soon as the format is known: the first
    /// video stream to the element `video`; the first sound, if there is some, to the element `sound`, if that is named.
    ///
    /// # Errors
    /// If an element is not installed.
    pub fn add_to(&self, job: &Job, video: &str, sound: Option<&str>) -> Result<()> {
        let (factory, uri) = match &self.source {
            Source::Uri(uri) => ("uridecodebin", Some(uri.clone())),
            Source::Open(file) => ("uridecodebin", Some(format!("fd://{}", file.as_raw_fd()))),
            Source::Pictures(..) | Source::Camera(_) => ("decodebin", None),
        };
        let decoder = gst::ElementFactory::make(factory)
            .name(format!("{DECODER}{video} {}", self.place))
            .property_if_some("uri", uri)
            .build()?;
        job.pipeline.add(&decoder)?;
        let source: Option<gst::Element> = match &self.source {
            Source::Pictures(pictures, frame_rate) => Some(frames(pictures.clone(), *frame_rate)?.upcast()),
            Source::Camera(description) => Some(bin(description)?.upcast()),
            Source::Uri(_) | Source::Open(_) => None,
        };
        if let Some(source) = source {
            source.set_property("name", format!("{SOURCE}{video} {}", self.place));
            job.pipeline.add(&source)?;
            source.link(&decoder)?;
        }
        if let Source::Pictures(pictures, frame_rate) = &self.source {
            expect_each(pictures.clone(), *frame_rate, &decoder);
        }
        let sound = sound.map(|sound| named(&job.pipeline, sound)).transpose()?;
        link_streams(&decoder, job, &named(&job.pipeline, video)?, sound)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)
    }
}

/// The caps of raw frames that are wanted of a camera.
fn raw(options: &InputOptions) -> String {
    let size = options.size.map_or(String::new(), |(width, height)| {
        format!(",width={width},height={height}")
    });
    let rate = options
        .frame_rate
        .map_or(String::new(), |rate| format!(",framerate={rate}/1"));
    format!("video/x-raw{size}{rate}")
}

/// The built-in clip as a file that is gone when it is closed.
fn clip() -> Result<File> {
    let mut file = tempfile::tempfile().context("cannot make a temporary file")?;
    file.write_all(CLIP).context("cannot write the built-in clip")?;
    file.rewind()?;
    Ok(file)
}

/// A pipe, opened so that nobody waits for who writes into it: `filesrc` would, and could not be stopped.
fn open_pipe(place: &str) -> Result<OwnedFd> {
    let opened = pipe::OpenOptions::new().open_receiver(place);
    let opened = opened.and_then(pipe::Receiver::into_nonblocking_fd);
    opened.with_context(|| format!("cannot read {place}"))
}

/// Links the streams of `decoder` when it has found them; an input without video is an error on the bus.
fn link_streams(decoder: &gst::Element, job: &Job, video: &gst::Element, mux: Option<gst::Element>) -> Result<()> {
    let video = video.static_pad("sink").context("there is no pad for the video")?;
    job.end_when_interrupted(&video);
    let unlinked = video.downgrade();
    decoder.connect_no_more_pads(move |decoder| {
        if unlinked.upgrade().is_some_and(|video| !video.is_linked()) {
            gst::element_error!(decoder, gst::StreamError::WrongType, ("it holds no video."));
        }
    });
    let (pipeline, video) = (job.pipeline.downgrade(), video.downgrade());
    let (ended, mux) = (job.sound_ended()?, Mutex::new(mux.map(|mux| mux.downgrade())));
    decoder.connect_pad_added(move |decoder, pad| {
        let (Some(pipeline), Some(video)) = (pipeline.upgrade(), video.upgrade()) else {
            return;
        };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let kind = caps.structure(0).map_or("", |structure| structure.name().as_str());
        let linked = if kind.starts_with("video/") && !video.is_linked() {
            pad.link(&video).map(|_| ()).context("cannot link the video stream")
        } else if kind.starts_with("audio/") {
            // Taken, so that one sound is kept.
            let mux = mux
                .lock()
                .ok()
                .and_then(|mut mux| mux.take())
                .and_then(|mux| mux.upgrade());
            mux.map_or(Ok(()), |mux| {
                sound::add(&pipeline, pad, &mux, ended.clone()).context("cannot keep the sound")
            })
        } else {
            Ok(())
        };
        if let Err(error) = linked {
            gst::element_error!(decoder, gst::CoreError::Negotiation, ("{error:#}."));
        }
    });
    Ok(())
}

/// When a frame of this number is shown.
fn time(frames: usize, rate: gst::Fraction) -> Option<gst::ClockTime> {
    gst::ClockTime::SECOND.mul_div_floor(frames as u64 * rate.denom() as u64, rate.numer() as u64)
}

/// Makes a picture that no frame comes of an error of `decoder`: parsers pass over what they do not know, and all frames after it
/// would be taken for those of others.
fn expect_each(pictures: Vec<PathBuf>, rate: gst::Fraction, decoder: &gst::Element) {
    decoder.connect_pad_added(move |decoder, pad| {
        let (pictures, decoder, next) = (pictures.clone(), decoder.downgrade(), AtomicUsize::new(0));
        let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(what, move |_, info| {
            let is_end = is_end(info);
            let index = next.load(Ordering::Relaxed);
            let is_next = match info.buffer() {
                Some(frame) => frame.pts() < time(index + 1, rate),
                None => !is_end || index == pictures.len(),
            };
            if is_next {
                next.fetch_add(info.buffer().is_some() as usize, Ordering::Relaxed);
            } else if let (Some(decoder), Some(picture)) = (decoder.upgrade(), pictures.get(index)) {
                let file = picture.display();
                gst::element_error!(
                    decoder,
                    gst::StreamError::Decode,
                    ("{file} is no picture, or a broken one")
                );
                if !is_end {
                    info.flow_res = Err(gst::FlowError::Eos);
                    return gst::PadProbeReturn::Handled;
                }
            }
            gst::PadProbeReturn::Ok
        });
    });
}

/// A source that reads the pictures one after the other.
///
/// # Errors
/// If the first has no known ending.
fn frames(pictures: Vec<PathBuf>, frame_rate: gst::Fraction) -> Result<gst_app::AppSrc> {
    let first = pictures.first().context("there are no pictures")?;
    let caps = gst::Caps::builder(media_type(first)?)
        .field("framerate", frame_rate)
        .build();
    let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
    source.set_duration(time(pictures.len(), frame_rate));
    let mut index = 0;
    let need_data = move |source: &gst_app::AppSrc, _| {
        let Some(path) = pictures.get(index) else {
            // Refused only when the pipeline is already stopping, as is a buffer.
            let _ = source.end_of_stream();
            return;
        };
        match fs::read(path) {
            Ok(data) => {
                let mut buffer = gst::Buffer::from_mut_slice(data);
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_pts(time(index, frame_rate));
                    buffer.set_duration(time(1, frame_rate));
                }
                index += 1;
                let _ = source.push_buffer(buffer);
            }
            Err(error) => {
                gst::element_error!(source, gst::ResourceError::Read, ("{}: {error}", path.display()));
                // Those before it are shown.
                let _ = source.end_of_stream();
            }
        }
    };
    source.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(need_data).build());
    Ok(source)
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
