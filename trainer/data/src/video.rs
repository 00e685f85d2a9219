//! Frames of a video as training pictures: spread over its shots, without duplicates.
//!
//! The video is decoded once, from front to back, by GStreamer. A few frames a second are looked at. A frame that is one
//! colour, or nearly the same as one that is kept already, is left out. Where the picture changes all at once a new shot
//! begins. When more frames are kept than asked for, the longest shot gives up the one that is most like its neighbour:
//! every shot keeps a frame as long as there are no more shots than frames, and memory stays bounded.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use gstreamer_video::{VideoFrameExt, VideoFrameRef, VideoInfo};
use image::RgbImage;

use crate::decode::{Pixels, prepare};
use crate::input::{FrameOptions, PackOptions, Witness};

/// A pipeline that delivers nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Sound may go on after the last picture for this long, and for a tenth of the whole; decoders end without a word where a file
/// breaks off.
const SLACK: Duration = Duration::from_secs(1);
/// Mean difference of two small pictures, of 255, at which a new shot begins.
const NEW_SHOT: u32 = 30;
/// Mean difference below which two frames with nearly the same hash are the same picture.
const SAME_PICTURE: u32 = 10;
/// Range of brightness, of 255, below which a frame is one colour (a fade to black, a title's background).
const ONE_COLOUR: u8 = 10;
/// Side of the small picture that frames are compared by.
const SMALL: usize = 16;

/// A frame that was taken.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its time in the video.
    pub time: Duration,
    /// Number of its shot, from 0.
    pub shot: usize,
    /// Its pixels.
    pub pixels: Pixels,
    small: Small,
}

/// What came of one video.
#[derive(Debug, Default)]
pub struct Frames {
    /// The frames, in the order of time.
    pub frames: Vec<Frame>,
    /// Frames that were looked at.
    pub seen: usize,
    /// Shots among them.
    pub shots: usize,
    /// Why the video broke off, if it did.
    pub error: Option<String>,
}

/// What frames are compared by.
#[derive(Debug, Clone)]
struct Small {
    colours: Box<[u8]>,
    /// One bit for each pair of neighbours in 8 rows of 9 grey values: whether it gets brighter.
    hash: u64,
    range: u8,
}

impl Small {
    fn of(pixels: &Pixels) -> Self {
        let colours = shrink(pixels, SMALL, SMALL);
        let grey = |values: &[u8]| {
            ((u32::from(values[0]) * 299 + u32::from(values[1]) * 587 + u32::from(values[2]) * 114) / 1000) as u8
        };
        let nine: Vec<u8> = shrink(pixels, 9, 8).chunks_exact(3).map(grey).collect();
        let mut hash = 0;
        for row in nine.chunks_exact(9) {
            for pair in row.windows(2) {
                hash = hash << 1 | u64::from(pair[0] < pair[1]);
            }
        }
        let greys = || colours.chunks_exact(3).map(grey);
        let range = greys().max().unwrap_or(0) - greys().min().unwrap_or(0);
        Self {
            range,
            colours: colours.into(),
            hash,
        }
    }

    /// Mean difference of the small pictures, 0 to 255.
    fn difference(&self, other: &Self) -> u32 {
        let sum: u32 = self
            .colours
            .iter()
            .zip(&other.colours)
            .map(|(a, b)| u32::from(a.abs_diff(*b)))
            .sum();
        sum / self.colours.len() as u32
    }

    fn is_same_picture(&self, other: &Self, bits: u32) -> bool {
        (self.hash ^ other.hash).count_ones() <= bits && self.difference(other) < SAME_PICTURE
    }
}

/// Means over a grid of `width` x `height` cells, RGB.
fn shrink(pixels: &Pixels, width: usize, height: usize) -> Vec<u8> {
    let mut means = Vec::with_capacity(width * height * 3);
    let bounds = |cell: usize, cells: usize, length: usize| {
        let first = cell * length / cells;
        first..((cell + 1) * length / cells).clamp(first + 1, length.max(first + 1))
    };
    for row in 0..height {
        for column in 0..width {
            let (rows, columns) = (bounds(row, height, pixels.height), bounds(column, width, pixels.width));
            let count = (rows.len() * columns.len()) as u32;
            let mut sums = [0u32; 3];
            for y in rows {
                for x in columns.clone() {
                    let at = (y * pixels.width + x) * 3;
                    for channel in 0..3 {
                        sums[channel] += u32::from(pixels.data[at + channel]);
                    }
                }
            }
            means.extend(sums.map(|sum| (sum / count) as u8));
        }
    }
    means
}

/// Chooses frames as they come.
#[derive(Default)]
struct Chooser {
    options: FrameOptions,
    kept: Vec<Frame>,
    previous: Option<Small>,
    shot: usize,
    seen: usize,
}

impl Chooser {
    fn new(options: FrameOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    fn add(&mut self, time: Duration, pixels: Pixels) {
        let small = Small::of(&pixels);
        self.seen += 1;
        let previous = self.previous.replace(small.clone());
        if previous.is_some_and(|previous| previous.difference(&small) > NEW_SHOT) {
            self.shot += 1;
        }
        let known = |frame: &Frame| frame.small.is_same_picture(&small, self.options.duplicate_bits);
        if small.range < ONE_COLOUR || self.kept.iter().any(known) {
            return;
        }
        self.kept.push(Frame {
            time,
            shot: self.shot,
            pixels,
            small,
        });
        if self.kept.len() > self.options.per_video.max(1) {
            self.give_one_up();
        }
    }

    fn give_one_up(&mut self) {
        let mut frames_of = std::collections::BTreeMap::new();
        for frame in &self.kept {
            *frames_of.entry(frame.shot).or_insert(0usize) += 1;
        }
        let longest = frames_of.values().copied().max().unwrap_or(0);
        let within = |first: &Frame, second: &Frame| {
            longest == 1 || (first.shot == second.shot && frames_of[&first.shot] == longest)
        };
        let most_alike = self
            .kept
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| within(&pair[0], &pair[1]))
            .min_by_key(|(_, pair)| pair[0].small.difference(&pair[1].small));
        if let Some((index, _)) = most_alike {
            self.kept.remove(index + 1);
        } else {
            self.kept.pop();
        }
    }

    fn finish(self, error: Option<String>) -> Frames {
        Frames {
            frames: self.kept,
            seen: self.seen,
            shots: if self.seen > 0 { self.shot + 1 } else { 0 },
            error,
        }
    }
}

/// Stops the pipeline however its use ends.
struct Running(gstreamer::Pipeline);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.set_state(gstreamer::State::Null);
    }
}

/// Decodes a video and takes frames of it, each resampled so that its shorter side is that of `options`.
///
/// What a video holds up to the place where it breaks is kept; [`Frames::error`] then says why it broke.
///
/// # Errors
/// If there is no GStreamer that could decode anything.
pub fn frames(path: &Path, options: &PackOptions, stop: &AtomicBool) -> Result<Frames, String> {
    let interval = Duration::from_secs_f64(1.0 / options.frames.per_second.clamp(1e-3, 240.0));
    let mut next = Duration::ZERO;
    let mut chooser = Chooser::new(options.frames);
    let mut choose = |time: Duration, pixels: Pixels| {
        // A little early is on time: time stamps are rounded.
        if time + Duration::from_millis(2) >= next {
            next = time + interval;
            chooser.add(time, pixels.prepared(options.side));
        }
    };
    let rate = match options.witness {
        Some(_) => WATCHED_RATE,
        None => options.frames.per_second.ceil().clamp(1.0, 240.0) as u32,
    };
    let mut watched = Watched::default();
    let error = each_frame(path, Some(rate), stop, &mut |moment, image| {
        match &options.witness {
            None => choose(moment.time, image.into()),
            Some(witness) => watched.add(moment.time, image, witness.as_ref(), &mut choose)?,
        }
        Ok(())
    })?;
    let ended = match &options.witness {
        Some(witness) => watched.show(witness.as_ref(), &mut choose).err(),
        None => None,
    };
    Ok(chooser.finish(error.or(ended)))
}

/// Most frames of a second that a witness is shown.
const WATCHED_RATE: u32 = 30;
/// Most frames that a witness is shown at once, which bounds memory.
const WATCHED_FRAMES: usize = 64;
/// Shorter side of the frames that a witness is shown, in pixels; frames that are less than twice as large stay.
const WATCHED_SIDE: usize = 256;

/// Successive frames of a shot, for a witness.
#[derive(Default)]
struct Watched {
    times: Vec<Duration>,
    frames: Vec<RgbImage>,
    last: Option<Small>,
}

impl Watched {
    fn add(
        &mut self,
        time: Duration,
        image: RgbImage,
        witness: &dyn Witness,
        choose: &mut dyn FnMut(Duration, Pixels),
    ) -> Result<(), String> {
        let image = match image.width().min(image.height()) as usize {
            large if large >= 2 * WATCHED_SIDE => prepare(image.into(), WATCHED_SIDE).into_image(),
            _ => image,
        };
        let small = Small::of(&image.clone().into());
        let last = self.last.replace(small.clone());
        let cut = last.is_some_and(|last| last.difference(&small) > NEW_SHOT);
        if cut || self.frames.len() == WATCHED_FRAMES {
            self.show(witness, choose)?;
        }
        self.times.push(time);
        self.frames.push(image);
        Ok(())
    }

    /// Shows the witness what there is, and passes on the frames that it is sure of.
    fn show(&mut self, witness: &dyn Witness, choose: &mut dyn FnMut(Duration, Pixels)) -> Result<(), String> {
        let frames = std::mem::take(&mut self.frames);
        let objects = witness.objects(&frames)?;
        for ((time, frame), object) in self.times.drain(..).zip(frames).zip(objects) {
            let Some(object) = object else { continue };
            let (width, height) = frame.dimensions();
            let object = image::imageops::resize(&object, width, height, image::imageops::FilterType::Triangle);
            let pixels = Pixels {
                object: Some(object.into_raw().into()),
                ..frame.into()
            };
            choose(time, pixels);
        }
        Ok(())
    }
}

/// Where in its video a frame is.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Its time.
    pub time: Duration,
    /// How long the video is, if that is known.
    pub of: Option<Duration>,
}

/// Decodes a video from front to back and shows each frame (RGB, turned upright, square pixels), at most `rate` of a second if
/// that is given. Returns why it ended before its end, if it did: it broke off, or `show` failed.
///
/// # Errors
/// If there is no GStreamer that could decode anything.
pub fn each_frame(
    path: &Path,
    rate: Option<u32>,
    stop: &AtomicBool,
    show: &mut dyn FnMut(Moment, RgbImage) -> Result<(), String>,
) -> Result<Option<String>, String> {
    gstreamer::init().map_err(|error| format!("cannot start GStreamer: {error}"))?;
    // One field of an interlaced frame, which needs no frame before it. `method=automatic` turns nothing in GStreamer 1.22.
    let description = format!(
        "filesrc name=source ! decodebin {} ! videoconvert \
         ! deinterlace mode=auto fields=top method=linear ! videoflip video-direction=auto \
         ! videoconvert ! videoscale ! video/x-raw,format=RGB,pixel-aspect-ratio=1/1 \
         ! appsink name=sink sync=false max-buffers=2",
        rate.map_or(String::new(), |rate| format!(
            "! videorate drop-only=true max-rate={rate}"
        ))
    );
    let pipeline = gstreamer::parse::launch(&description)
        .map_err(|error| format!("cannot build the decoder (is gst-plugins-good installed?): {error}"))?
        .downcast::<gstreamer::Pipeline>()
        .map_err(|_| "cannot build the decoder".to_owned())?;
    let by_name = |name| {
        pipeline
            .by_name(name)
            .ok_or_else(|| format!("the decoder has no {name}"))
    };
    by_name("source")?.set_property("location", path);
    let sink = by_name("sink")?
        .downcast::<AppSink>()
        .map_err(|_| "the decoder has no sink".to_owned())?;
    let bus = pipeline.bus().ok_or("the decoder has no bus")?;
    let running = Running(pipeline);
    let started = running.0.set_state(gstreamer::State::Playing);
    let error = || {
        let message = bus.pop_filtered(&[gstreamer::MessageType::Error])?;
        match message.view() {
            gstreamer::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        }
    };
    if started.is_err() {
        let reason = error().unwrap_or_else(|| "the decoder does not start".to_owned());
        return Ok(Some(reason));
    }
    let (mut moment, mut seen) = (
        Moment {
            time: Duration::ZERO,
            of: None,
        },
        false,
    );
    let mut alive = Instant::now();
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match sink.try_pull_sample(gstreamer::ClockTime::from_mseconds(200)) {
            Some(sample) => {
                alive = Instant::now();
                if !seen {
                    moment.of = running.0.query_duration::<gstreamer::ClockTime>().map(Duration::from);
                }
                seen = true;
                if let Some(time) = sample.buffer().and_then(|buffer| buffer.pts()) {
                    moment.time = time.into();
                }
                if let Err(reason) = picture(&sample).and_then(|image| show(moment, image)) {
                    return Ok(Some(reason));
                }
            }
            None => {
                if let Some(reason) = error() {
                    return Ok(Some(reason));
                }
                if sink.is_eos() {
                    return Ok(match (seen, moment.of) {
                        (false, _) => Some("it has no picture".to_owned()),
                        (true, Some(of)) if moment.time + SLACK < of.mul_f64(0.9) => Some(format!(
                            "it ends at {:.1} s of {:.1}",
                            moment.time.as_secs_f64(),
                            of.as_secs_f64()
                        )),
                        _ => None,
                    });
                }
                if alive.elapsed() > PATIENCE {
                    return Ok(Some(format!("no frame for {} s", PATIENCE.as_secs())));
                }
            }
        }
    }
}

fn picture(sample: &gstreamer::Sample) -> Result<RgbImage, String> {
    let caps = sample.caps().ok_or("a frame without a format")?;
    let info = VideoInfo::from_caps(caps).map_err(|error| error.to_string())?;
    let buffer = sample.buffer().ok_or("a frame without pixels")?;
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info).map_err(|error| error.to_string())?;
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let stride = frame.plane_stride()[0].max(0) as usize;
    let plane = frame.plane_data(0).map_err(|error| error.to_string())?;
    let mut pixels = Vec::with_capacity(width * height * 3);
    for row in 0..height {
        let bytes = plane
            .get(row * stride..row * stride + 3 * width)
            .ok_or("a frame that is cut short")?;
        pixels.extend_from_slice(bytes);
    }
    RgbImage::from_raw(width as u32, height as u32, pixels).ok_or_else(|| "a frame of another size".to_owned())
}

#[cfg(test)]
mod tests;
