//! What `pack` and `train` share: packing with progress on the terminal.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::data::DataError;
use crate::data::packing::{Event, FrameOptions, PackOptions, Packed, pack};
use crate::data::source::Source;
use crate::training::run::signals::{Answer, Signals};

/// Time between two lines of progress where there is no terminal.
const QUIET: Duration = Duration::from_secs(30);

/// What a signal is answered with while something is packed.
pub const STOPPING: Answer = Answer::Ask("interrupted: stopping; nothing is kept");

/// Which frames of videos are taken.
#[derive(Debug, Clone, Copy, Args)]
pub struct FrameArguments {
    /// Most frames of one video; spread over its shots
    #[arg(long, default_value_t = 200, value_name = "N")]
    frames_per_video: usize,
    /// Frames of a video that are looked at in each second [default: 2; 8 to learn from motion]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    frames_per_second: Option<f64>,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=240.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0.001 to 240".to_owned()),
    }
}

impl FrameArguments {
    /// As the options of packing; of `moving` frames only those that are all alike are the same.
    pub fn options(self, moving: bool) -> FrameOptions {
        FrameOptions {
            per_video: self.frames_per_video,
            per_second: self.frames_per_second.unwrap_or(if moving { 8.0 } else { 2.0 }),
            duplicate_bits: if moving { 0 } else { 5 },
        }
    }
}

/// Packs `source` into `out` and says on the terminal how it goes. Ctrl-C ends it without a file; `signals` answers with
/// [`Answer::Ask`].
///
/// # Errors
/// As [`pack`].
pub fn pack_with_progress(
    source: &Source,
    out: &Path,
    options: &PackOptions,
    signals: &Signals,
) -> anyhow::Result<Packed> {
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} pictures packed  {per_sec}  {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    });
    let note = |text: String| match &bar {
        Some(bar) => bar.println(text),
        None => eprintln!("{text}"),
    };
    let start = Instant::now();
    let mut said = Instant::now();
    let packed = pack(source, out, options, &signals.flag(), &mut |event| match event {
        Event::Packed(count) => {
            if let Some(bar) = &bar {
                bar.set_position(count);
            } else if said.elapsed() > QUIET {
                said = Instant::now();
                let rate = count as f64 / start.elapsed().as_secs_f64().max(1e-9);
                note(format!("{count} pictures packed, {rate:.0} a second"));
            }
        }
        Event::Broken { name, reason } => note(format!("skipped broken {name}: {reason}")),
        Event::Video {
            name,
            frames,
            seen,
            shots,
        } => note(format!("{name}: {frames} frames of {shots} shots ({seen} looked at)")),
    });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let packed = packed.map_err(|error: DataError| anyhow::Error::from(error))?;
    packed.skipped.lines().for_each(|line| eprintln!("{line}"));
    Ok(packed)
}
