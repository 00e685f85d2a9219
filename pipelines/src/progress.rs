//! What the terminal shows while a video is made.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between lines where stderr is no terminal; the first comes after a fifth of it.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Frames done, of how many, frames per second and time left: one line that rewrites itself on a terminal, a line now
/// and then elsewhere.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    /// When the first frames were seen, and how many: before it the model is loaded, which says nothing of the speed.
    first: Option<(Instant, u64)>,
    next_line: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            bar: std::io::stderr().is_terminal().then(ProgressBar::new_spinner),
            first: None,
            next_line: Instant::now() + BETWEEN_LINES / 5,
        }
    }
}

impl Progress {
    /// `frames` are done, of `total` where that is known.
    pub fn update(&mut self, frames: u64, total: Option<u64>) {
        if frames == 0 {
            return;
        }
        let now = Instant::now();
        let (start, already) = *self.first.get_or_insert((now, frames));
        let line = line(frames, total, (frames - already) as f64 / (now - start).as_secs_f64());
        if let Some(bar) = &self.bar {
            if let Some(total) = total
                && bar.length().is_none()
                && let Ok(style) = ProgressStyle::with_template("{bar:20} {wide_msg}")
            {
                bar.set_style(style);
                bar.set_length(total);
            }
            bar.set_position(frames);
            bar.set_message(line);
        } else if now >= self.next_line {
            // It does not matter if nobody reads this.
            let _ = writeln!(std::io::stderr(), "{line}");
            self.next_line = now + BETWEEN_LINES;
        }
    }

    /// Takes the line away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What is done, at `rate` frames per second; 0 or NaN where nothing is known of that yet.
fn line(frames: u64, total: Option<u64>, rate: f64) -> String {
    let mut line = match total {
        Some(total) => format!("{frames} of {total} frames"),
        None => format!("{frames} frames"),
    };
    if rate > 0.0 {
        line += &format!(", {rate:.1} per second");
        if let Some(total) = total {
            let left = (total.saturating_sub(frames) as f64 / rate).ceil() as u64;
            line += &match left / 60 {
                0 => format!(", {left} s left"),
                minutes => format!(", {minutes} min {} s left", left % 60),
            };
        }
    }
    line
}

#[cfg(test)]
mod tests;
