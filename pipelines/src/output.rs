//! Where frames go.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use gstreamer::prelude::*;

use crate::input::Input;
use crate::parse::{named, on_caps, quoted};
use crate::runner::{Ending, Job, say};

/// Name of the element that takes the sound.
const MUX: &str = "mux";

/// What a pipeline writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A video file, and the element that makes it.
    File(PathBuf, &'static str),
    /// A playlist of HLS, with its segments beside it.
    Hls(PathBuf),
    /// A server that takes streams.
    Rtsp(String),
    /// A virtual camera.
    Camera(String),
    /// A window.
    Screen,
}

impl Output {
    /// The output at `place`: the help of `--out` says what that may be.
    ///
    /// # Errors
    /// If it cannot be told what that is.
    pub fn from_place(place: &str) -> Result<Self, String> {
        let path = Path::new(place);
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        Ok(match extension.to_ascii_lowercase().as_str() {
            _ if place == "screen" => Self::Screen,
            _ if place.starts_with("/dev/") => Self::Camera(place.to_owned()),
            _ if place.starts_with("rtsp://") => Self::Rtsp(place.to_owned()),
            "mp4" | "mov" | "m4v" => Self::File(path.to_owned(), "mp4mux faststart=true"),
            "mkv" => Self::File(path.to_owned(), "matroskamux"),
            "m3u8" => Self::Hls(path.to_owned()),
            _ => {
                return Err(format!(
                    "`{place}` is none of a file (.mp4, .mkv), a playlist (.m3u8), a device (/dev/video9), rtsp://..., screen"
                ));
            }
        })
    }

    /// The file that is written, if it is one.
    fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path, _) | Self::Hls(path) => Some(path),
            Self::Rtsp(_) | Self::Camera(_) | Self::Screen => None,
        }
    }

    /// The end of a description: what encodes and writes raw frames. With `live` frames none may wait for those that follow.
    pub fn description(&self, live: bool) -> String {
        format!("{} ! {}", self.encode(live), self.write(live))
    }

    /// The first part of [`description`](Self::description): what encodes.
    pub fn encode(&self, live: bool) -> String {
        let settings = match (live, self) {
            (_, Self::Camera(_)) => return "videoconvert ! video/x-raw,format=YUY2".to_owned(),
            (_, Self::Screen) => return "videoconvert".to_owned(),
            (false, Self::File(..)) => "pass=quant quantizer=20",
            (true, Self::File(..)) => "pass=quant quantizer=20 tune=zerolatency",
            // A key frame a second, so that who comes later soon sees something.
            _ => "pass=quant quantizer=23 tune=zerolatency key-int-max=30",
        };
        format!(
            "videoconvert ! videocrop name=even ! video/x-raw,format=I420 ! x264enc speed-preset=veryfast {settings}"
        )
    }

    /// The second part of [`description`](Self::description): what writes.
    pub fn write(&self, live: bool) -> String {
        match self {
            Self::File(path, mux) => {
                format!(
                    "h264parse ! {mux} name={MUX} ! filesink name=output location={}",
                    quoted(&path.to_string_lossy())
                )
            }
            Self::Hls(playlist) => format!(
                "h264parse ! {MUX}.video hlssink2 name={MUX} {} playlist-location={} location={}",
                // All of what is recorded; the last of what goes on, in segments that are soon there.
                if live {
                    "target-duration=1 playlist-length=6 max-files=12"
                } else {
                    "target-duration=2 playlist-length=0 max-files=0"
                },
                quoted(&playlist.to_string_lossy()),
                quoted(&format!("{}-%05d.ts", playlist.with_extension("").to_string_lossy()))
            ),
            Self::Rtsp(url) => format!("h264parse ! rtspclientsink name=output location={}", quoted(url)),
            Self::Camera(device) => format!("v4l2sink name=output device={}", quoted(device)),
            Self::Screen => "autovideosink".to_owned(),
        }
    }

    /// The name of the element that takes sound, if there is one.
    pub fn sound(&self) -> Option<&'static str> {
        match self {
            Self::File(..) | Self::Hls(_) => Some(MUX),
            Self::Rtsp(_) | Self::Camera(_) | Self::Screen => None,
        }
    }

    /// Prepares the pipeline that this is the end of.
    ///
    /// # Errors
    /// If an element has no pad.
    pub fn prepare(&self, job: &Job) -> Result<()> {
        if let Self::Rtsp(_) = self {
            // GStreamer 1.22 loses RTCP's goodbye now and then, and with it the word that all was sent.
            for pad in named(&job.pipeline, "output")?.sink_pads() {
                job.end_when_sent(&pad);
            }
        }
        // x264 in 4:2:0 takes even sizes only.
        let Some(crop) = job.pipeline.by_name("even") else {
            return Ok(());
        };
        let cropped = crop.downgrade();
        on_caps(&crop, move |video| {
            if let Some(crop) = cropped.upgrade() {
                crop.set_property("right", (video.width() % 2) as i32);
                crop.set_property("bottom", (video.height() % 2) as i32);
            }
        })
    }

    /// Says what was written, at the end of a run.
    pub fn done(&self, ending: Ending) -> Ending {
        if let Some(file) = self.file() {
            say(&format!("wrote {}", file.display()));
        }
        ending
    }

    /// As [`check_file`], of what is written; and there must be a screen for what is shown.
    ///
    /// # Errors
    /// If so, or if there is none.
    pub fn check(&self, inputs: &[&Input]) -> Result<()> {
        if let Self::Screen = self {
            let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            ensure!(
                is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"),
                "there is no screen (neither DISPLAY nor WAYLAND_DISPLAY is set); give --out a file, a playlist, a device or a server"
            );
        }
        self.file().map_or(Ok(()), |path| check_file(path, inputs))
    }
}

/// Nothing is lost to a file that cannot be written, or that is the input.
///
/// # Errors
/// If so.
pub fn check_file(path: &Path, inputs: &[&Input]) -> Result<()> {
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
    if let Ok(written) = path.canonicalize() {
        ensure!(
            inputs.iter().all(|input| input.file().as_ref() != Some(&written)),
            "{} would be written over the input; give another",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
