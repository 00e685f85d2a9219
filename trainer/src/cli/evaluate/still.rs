//! `factorseg evaluate still`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::{Common, positional, print_masks, say_skipped};
use crate::cli::arguments::from_1;
use crate::cli::segmenter::{PassArguments, SegmenterArguments};
use crate::evaluate::metrics::Scores;
use crate::evaluate::still::{self, LabelledImages, StillReport};

/// Foreground scores on still images with masks.
///
/// DATA is a folder with images/ and masks/ that hold files of the same names; masks are white on
/// black, or labels of which 0 is the background. One assignment of regions to the foreground is fitted on every fifth image and scored on
/// the others, beside baselines that need no model.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg evaluate still horses --model runs/horses/model.safetensors
  factorseg evaluate still horses --flip --scales 1,1.5,2         (average more passes)
  factorseg evaluate still ecssd pets --json > scores.json        (the embedded checkpoint)")]
pub struct Still {
    /// Folders of data sets
    #[arg(required = true)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    segmenter: SegmenterArguments,
    #[command(flatten)]
    passes: PassArguments,
    #[command(flatten)]
    common: Common,
    /// Use only the first images of each set
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Still {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let mut engine = self.segmenter.load()?;
        let passes = self.passes.passes(&engine)?;
        for (index, folder) in self.data.iter().enumerate() {
            let images = LabelledImages::open(folder, self.limit)?;
            let name = folder.file_name().map_or_else(
                || folder.display().to_string(),
                |name| name.to_string_lossy().into_owned(),
            );
            eprintln!("{name}: masks are taken for {}", images.masks);
            say_skipped(&images.pairs.skipped);
            let report = still::evaluate(&mut engine, &passes, &name, &images, &self.common.foreground, |done| {
                if done % 200 == 0 {
                    eprintln!("{name}: {done} of {} images", images.pairs.len());
                }
            })
            .with_context(|| format!("cannot evaluate {}", folder.display()))?;
            if self.common.json {
                println!("{}", serde_json::to_string(&report)?);
            } else if self.common.markdown {
                print_row(&report, index == 0);
            } else {
                print(&report);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(report: &StillReport) {
    println!(
        "{}: {} images, foreground = regions {:?}, {}; fitted on {} others",
        report.data_set,
        report.scored_images,
        from_1(&report.foreground_regions),
        report.assignment,
        report.fitted_images
    );
    println!("  {:44} {:>6} {:>6} {:>6} {:>6}", "", "Acc", "IoU", "DICE", "mIoU");
    let line = |what: &str, s: &Scores| {
        println!(
            "  {what:44} {:6.3} {:6.3} {:6.3} {:6.3}",
            s.accuracy, s.iou, s.dice, s.mean_iou
        )
    };
    line("model, one assignment", &report.model);
    line("model, better of mask and complement", &report.model_or_complement);
    line("model, per-image oracle (upper bound)", &report.oracle);
    line("model's mean mask (content taken out)", &report.model_mean_mask);
    for baseline in &report.baselines {
        line(&baseline.what, &baseline.scores);
    }
    print_masks(&report.masks);
}

/// A row of a Markdown table, IoU and accuracy in each cell.
fn print_row(report: &StillReport, header: bool) {
    if header {
        let names: Vec<&str> = report.baselines.iter().map(|line| line.what.as_str()).collect();
        println!(
            "| IoU, accuracy | images | model | oracle | model's mean mask | {} | positional |",
            names.join(" | ")
        );
        println!("|---|---|---|---|---|{}---|", "---|".repeat(names.len()));
    }
    let cell = |scores: &Scores| format!("{:.3}, {:.3}", scores.iou, scores.accuracy);
    let baselines: Vec<String> = report.baselines.iter().map(|line| cell(&line.scores)).collect();
    println!(
        "| {} | {} | **{}** | {} | {} | {} | {} |",
        report.data_set,
        report.scored_images,
        cell(&report.model),
        cell(&report.oracle),
        cell(&report.model_mean_mask),
        baselines.join(" | "),
        positional(&report.masks)
    );
}
