//! `factorseg-overlay`: any video in, an overlay video and a poster out.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Parser;
use factorseg_pipelines::input::Input;
use factorseg_pipelines::overlay::{Output, run};
use factorseg_pipelines::progress::Progress;
use gstreamer as gst;

/// Exit code of an interrupted program.
const INTERRUPTED: u8 = 130;

/// Segments a video with factorseg and draws the regions on it.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  factorseg-overlay --output demo.mp4                        the built-in clip
  factorseg-overlay holiday.mp4 --output overlay.mp4
  factorseg-overlay DAVIS/JPEGImages/480p/dog --output dog.mp4 --set overlay=contour --set target-class=tabby"
)]
struct Arguments {
    /// Video file, or folder of pictures (.jpg, .png); the built-in clip if not given
    input: Option<PathBuf>,

    /// Where to write the overlay video (MP4)
    #[arg(long, short, default_value = "overlay.mp4")]
    output: PathBuf,

    /// Where to write one frame of it (PNG); the output's name with .png if not given
    #[arg(long)]
    poster: Option<PathBuf>,

    /// Which frame that is, counted from 0; the last one of a shorter video
    #[arg(long, default_value_t = 46)]
    poster_frame: u64,

    /// Frame rate of a folder of pictures
    #[arg(long, default_value_t = 24)]
    frame_rate: i32,

    /// Property of the element, as in `gst-inspect-1.0 factorseg`; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_property)]
    properties: Vec<(String, String)>,
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` is not NAME=VALUE"))
}

fn main() -> ExitCode {
    match overlay(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("factorseg-overlay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn overlay(arguments: &Arguments) -> Result<ExitCode> {
    gst::init().context("cannot start GStreamer")?;
    gstfactorseg::plugin_register_static().context("cannot register the element factorseg")?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("cannot listen for Ctrl-C")?;

    let frame_rate = gst::Fraction::new(arguments.frame_rate.max(1), 1);
    let input = Input::from_path(arguments.input.as_deref(), frame_rate)?;
    let poster = arguments
        .poster
        .clone()
        .unwrap_or_else(|| arguments.output.with_extension("png"));
    let output = Output {
        video: &arguments.output,
        poster: &poster,
        poster_frame: arguments.poster_frame,
    };
    let mut progress = Progress::default();
    let report = run(&input, output, &arguments.properties, &interrupted, |frames, total| {
        progress.update(frames, total)
    });
    progress.finish();
    let report = report?;
    if let Some(missing) = &report.missing {
        eprintln!("factorseg-overlay: no {missing} is installed; what needs it was left out");
    }
    // All is written: it does not matter if nobody reads this.
    let _ = writeln!(
        std::io::stdout(),
        "video:  {}\nposter: {}\nspeed:  {:.1} frames per second ({} frames in {:.1} s, decoding and encoding included)\ndevice: {}",
        arguments.output.display(),
        poster.display(),
        report.frames as f64 / report.seconds,
        report.frames,
        report.seconds,
        report.device
    );
    Ok(match report.interrupted {
        true => ExitCode::from(INTERRUPTED),
        false => ExitCode::SUCCESS,
    })
}
