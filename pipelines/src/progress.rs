//! What the terminal shows while a video is made.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between lines where stderr is no terminal; the first comes after a fifth of it.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Frames done, of how many, frames per second and time left: one line that rewrites itself on a terminal, a line now
/// and then elsewhere.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    /// When the first frame was seen: before it the model is loaded, which says nothing of the speed.
    first: Option<Instant>,
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
        let seconds = (now - *self.first.get_or_insert(now)).as_secs_f64();
        let line = line(frames, total, seconds);
        match (&self.bar, total) {
            (Some(bar), total) => {
                if let Some(total) = total
                    && bar.length() != Some(total)
                    && let Ok(style) = ProgressStyle::with_template("{bar:30} {wide_msg}")
                {
                    bar.set_style(style);
                    bar.set_length(total);
                }
                bar.set_position(frames);
                bar.set_message(line);
            }
            (None, _) if now >= self.next_line => {
                eprintln!("{line}");
                self.next_line = now + BETWEEN_LINES;
            }
            _ => {}
        }
    }

    /// Takes the line away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `seconds` have passed since the first of `frames` frames was done.
fn line(frames: u64, total: Option<u64>, seconds: f64) -> String {
    let of = total.map_or(String::new(), |total| format!(" of {total}"));
    let rate = (frames - 1) as f64 / seconds;
    if !(rate > 0.0 && rate.is_finite()) {
        return format!("{frames}{of} frames");
    }
    let left = total.map_or(String::new(), |total| {
        let left = (total.saturating_sub(frames) as f64 / rate).ceil() as u64;
        match left / 60 {
            0 => format!(", {left} s left"),
            minutes => format!(", {minutes} min {} s left", left % 60),
        }
    });
    format!("{frames}{of} frames, {rate:.1} frames per second{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        assert_eq!(line(1, Some(132), 0.0), "1 of 132 frames");
        assert_eq!(
            line(41, Some(132), 4.0),
            "41 of 132 frames, 10.0 frames per second, 10 s left"
        );
        assert_eq!(
            line(41, Some(2641), 4.0),
            "41 of 2641 frames, 10.0 frames per second, 4 min 20 s left"
        );
        assert_eq!(line(41, None, 4.0), "41 frames, 10.0 frames per second");
        // A duration in a header may be too short.
        assert_eq!(
            line(41, Some(40), 4.0),
            "41 of 40 frames, 10.0 frames per second, 0 s left"
        );
    }
}
