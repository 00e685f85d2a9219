//! `factorseg evaluate`.

mod clusters;
mod davis;
mod generation;
mod parts;
mod still;
mod voc;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use factorseg_model::{ClassLabel, Engine, SegmenterOptions, find_class};

use crate::evaluate::assignment::Foreground;
use crate::training::watching::monitor::MaskFigures;

/// Measure how well a model segments.
#[derive(Debug, Args)]
pub struct Evaluate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one value in the life of the program")]
enum What {
    Still(still::Still),
    Davis(davis::Davis),
    Parts(parts::Parts),
    Voc(voc::Voc),
    Generation(generation::Generation),
}

impl Evaluate {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        match self.what {
            What::Still(still) => still.run(),
            What::Davis(davis) => davis.run(),
            What::Parts(parts) => parts.run(),
            What::Voc(voc) => voc.run(),
            What::Generation(generation) => generation.run(),
        }
    }
}

/// What all data sets are measured with.
#[derive(Debug, Args)]
struct Common {
    /// Regions that are the object: fit (on the part that is not scored), checkpoint (as it says), or regions, counted from 1
    #[arg(long, default_value = "fit", value_name = "fit|checkpoint|1,3")]
    foreground: Foreground,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print a Markdown table
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

fn print_masks(masks: &MaskFigures) {
    let shares: Vec<String> = masks.shares.iter().map(|share| format!("{share:.2}")).collect();
    println!(
        "  masks: shares {}  max probability {:.2}  entropy {:.2}  positional {}",
        shares.join("/"),
        masks.max_probability,
        masks.entropy,
        positional(masks)
    );
}

/// Tells an engine the class that `word` gives for each of a layout.
fn teller(
    options: SegmenterOptions,
    labels: Vec<ClassLabel>,
    word: impl Fn(&str) -> String,
) -> impl FnMut(&mut dyn Engine, Option<&str>) -> Result<()> {
    move |engine, class| {
        let class = class.map_or(Ok(None), |class| find_class(&labels, &word(class)))?;
        Ok(engine.set_options(&SegmenterOptions { class, ..options })?)
    }
}

/// Says which files of a data set are no pictures, or have no map.
fn say_skipped(files: &[PathBuf]) {
    if let Some(first) = files.first() {
        eprintln!(
            "{} files are no pictures, or pictures without a map, and left out, such as {}",
            files.len(),
            first.display()
        );
    }
}

fn positional(masks: &MaskFigures) -> String {
    masks
        .positional
        .map_or_else(|| "-".to_owned(), |share| format!("{share:.2}"))
}
