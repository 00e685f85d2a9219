//! What the terminal shows: a progress bar for people, plain lines otherwise, JSON on request.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

use super::monitor::{Collapse, MaskFigures};
use crate::training::run::directory::Metric;

/// Lines of the log before the same warning is repeated.
const QUIET_LINES: u64 = 20;

/// Tells the user what happens.
#[derive(Debug)]
pub struct Reporter {
    json: bool,
    bar: Option<ProgressBar>,
    lines: u64,
    warned: Vec<(Collapse, u64)>,
}

impl Reporter {
    /// For a run of `total` steps.
    pub fn new(json: bool, total: u64) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} steps  {per_sec}  ETA {eta}  {msg}")
            {
                bar.set_style(style);
            }
            bar
        });
        Self {
            json,
            bar,
            lines: 0,
            warned: Vec::new(),
        }
    }

    /// The run begins with `done` steps done.
    pub fn begin(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.reset_eta();
        }
    }

    /// A step is done.
    pub fn step(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// A note for people; not part of the JSON lines.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// A line of the log.
    pub fn metric(&mut self, metric: &Metric, total: u64) {
        if self.json {
            if let Ok(line) = serde_json::to_string(metric) {
                print(&line);
            }
        } else {
            let text = line(metric, total);
            match &self.bar {
                Some(bar) => {
                    if let Metric::Train { loss, .. } = metric {
                        bar.set_message(format!("loss {loss:.4}"));
                    }
                    bar.println(text);
                }
                None => print(&text),
            }
        }
        let (Metric::Train { masks: Some(masks), .. } | Metric::HeldOut { masks, .. }) = metric else {
            return;
        };
        self.lines += 1;
        for collapse in masks.collapses() {
            let recent = self
                .warned
                .iter()
                .any(|(known, at)| known.same_kind(&collapse) && self.lines - at < QUIET_LINES);
            if !recent {
                self.note(&format!("warning: {collapse}"));
                self.warned.retain(|(known, _)| !known.same_kind(&collapse));
                self.warned.push((collapse, self.lines));
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A closed pipe is no reason to lose a training run.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

fn line(metric: &Metric, total: u64) -> String {
    match metric {
        Metric::Train {
            step,
            phase,
            loss,
            learning_rate,
            images_per_second,
            input_wait,
            masks,
            ..
        } => {
            let masks = masks.as_ref().map_or_else(|| "masks not learned".to_owned(), figures);
            format!(
                "step {step}/{total} {phase}  loss {loss:.4}  lr {learning_rate:.1e}  {images_per_second:.1} images/s  input wait {:.0} %  {masks}",
                input_wait * 100.0
            )
        }
        Metric::HeldOut { step, masks } => format!("step {step}/{total} held-out images  {}", figures(masks)),
        Metric::Checkpoint {
            step,
            loss,
            collapsed,
            best,
        } => {
            let collapsed = if *collapsed { ", masks have collapsed" } else { "" };
            let best = if *best { ", the best so far" } else { "" };
            format!("step {step}/{total} checkpoint  held-out loss {loss:.4}{collapsed}{best}")
        }
    }
}

fn figures(masks: &MaskFigures) -> String {
    let shares: Vec<String> = masks.shares.iter().map(|share| format!("{share:.2}")).collect();
    let positional = masks
        .positional
        .map_or_else(|| "-".to_owned(), |share| format!("{share:.2}"));
    format!(
        "shares {}  max {:.2}  entropy {:.2}  positional {positional}",
        shares.join("/"),
        masks.max_probability,
        masks.entropy
    )
}
