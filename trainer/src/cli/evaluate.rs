//! `factorseg evaluate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::segmenter::SegmenterArguments;
use crate::evaluate::metrics::Scores;
use crate::evaluate::still::{self, StillReport};

/// Measure how well a model segments.
#[derive(Debug, Args)]
pub struct Evaluate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Still(Still),
}

impl Evaluate {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        match self.what {
            What::Still(still) => still.run(),
        }
    }
}

/// Foreground scores on still images with masks.
///
/// DATA is a folder with images/ and masks/ that hold files of the same names; masks are white on
/// black. One assignment of regions to the foreground is fitted on every fifth image and scored on
/// the others, beside baselines that never look at the picture.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg evaluate still horses --model runs/horses/model.safetensors
  factorseg evaluate still ecssd pets --json > scores.json        (the embedded checkpoint)")]
struct Still {
    /// Folders of data sets
    #[arg(required = true)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    segmenter: SegmenterArguments,
    /// Use only the first images of each set
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON, one line per data set
    #[arg(long)]
    json: bool,
}

impl Still {
    fn run(self) -> Result<ExitCode> {
        let mut engine = self.segmenter.load()?;
        for folder in &self.data {
            let images = still::read_data_set(folder, self.limit)?;
            let name = folder.file_name().map_or_else(
                || folder.display().to_string(),
                |name| name.to_string_lossy().into_owned(),
            );
            let report = still::evaluate(&mut engine, &name, &images, |done| {
                if done % 200 == 0 {
                    eprintln!("{name}: {done} of {} images", images.len());
                }
            })
            .with_context(|| format!("cannot evaluate {}", folder.display()))?;
            if self.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print(&report);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(report: &StillReport) {
    println!(
        "{}: {} images, foreground = regions {:?} fitted on {} others",
        report.data_set, report.scored_images, report.foreground_regions, report.fitted_images
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
    let shares: Vec<String> = report.masks.shares.iter().map(|share| format!("{share:.2}")).collect();
    println!(
        "  masks: shares {}  max probability {:.2}  entropy {:.2}  positional {}",
        shares.join("/"),
        report.masks.max_probability,
        report.masks.entropy,
        report
            .masks
            .positional
            .map_or_else(|| "-".to_owned(), |share| format!("{share:.2}"))
    );
}
