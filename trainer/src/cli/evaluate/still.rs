//! `factorseg evaluate still`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use factorseg_model::{Engine, SegmenterOptions};

use super::clusters::ClusterArguments;
use super::{Common, positional, print_masks, say_skipped, teller};
use crate::cli::arguments::{ShardArgument, from_1};
use crate::cli::segmenter::{PassArguments, SegmenterArguments};
use crate::evaluate::metrics::Scores;
use crate::evaluate::still::{self, LabelledImages, StillReport};

/// Foreground scores on still images with masks.
///
/// DATA is CUB-200-2011, Oxford flowers or CelebAMask-HQ as it is distributed, or a folder with images/ and masks/ that hold files
/// of the same names, with or without a folder for each class; masks are white on black, or labels of which 0 is the
/// background. One assignment of regions to the foreground is fitted on the set's own split, or on every fifth image, and scored on
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
    clusters: ClusterArguments,
    #[command(flatten)]
    passes: PassArguments,
    #[command(flatten)]
    shard: ShardArgument,
    #[command(flatten)]
    common: Common,
    /// Tell the model of each image the class that its folder names
    #[arg(long)]
    class_by_folder: bool,
    /// Noise levels to compare, instead of --timestep
    #[arg(long, value_name = "T,..", value_delimiter = ',')]
    sweep: Vec<usize>,
    /// Use only the first images of each set
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Still {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let mut segmenter = self.segmenter.load()?;
        let passes = self.passes.passes(&segmenter)?;
        let share = self.shard.share();
        let timesteps = match &self.sweep[..] {
            [] => vec![segmenter.options().timestep],
            sweep => sweep.to_vec(),
        };
        for (index, folder) in self.data.iter().enumerate() {
            let mut images = LabelledImages::open(folder, self.limit)?;
            images.items.share(share);
            let name = folder.file_name().map_or_else(
                || folder.display().to_string(),
                |name| name.to_string_lossy().into_owned(),
            );
            let (taken_for, split, all) = (images.taken_for(), &images.items.split, images.items.all.len());
            eprintln!("{name}: masks are taken for {taken_for}; fitted on {split}");
            say_skipped(&images.items.skipped);
            for timestep in &timesteps {
                let options = SegmenterOptions {
                    timestep: *timestep,
                    ..*segmenter.options()
                };
                segmenter.set_options(&options)?;
                let mut clusters = self.clusters.fit(&self.segmenter, &options, &images.items)?;
                let engine: &mut dyn Engine = match &mut clusters {
                    Some(clusters) => clusters,
                    None => &mut segmenter,
                };
                let mut by_folder = teller(options, engine.info().classes.clone(), str::to_owned);
                let mut tell = |engine: &mut dyn Engine, class: Option<&str>| match self.class_by_folder {
                    true => by_folder(engine, class),
                    false => Ok(()),
                };
                let title = match self.sweep[..] {
                    [] => name.clone(),
                    _ => format!("{name}, t = {timestep}"),
                };
                let foreground = &self.common.foreground;
                let report = still::evaluate(engine, &passes, &title, &images, foreground, &mut tell, |done| {
                    if done % 200 == 0 {
                        eprintln!("{title}: {done} of {all} images");
                    }
                })
                .with_context(|| format!("cannot evaluate {}", folder.display()))?;
                if self.common.json {
                    println!("{}", serde_json::to_string(&report)?);
                } else if self.common.markdown {
                    print_row(&report, index == 0 && *timestep == timesteps[0]);
                } else {
                    print(&report);
                }
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
    for class in report.classes.iter().filter(|_| report.classes.len() > 1) {
        line(&format!("  {} ({} images)", class.class, class.images), &class.scores);
    }
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
