//! `factorseg evaluate parts`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use factorseg_model::Engine;

use super::clusters::ClusterArguments;
use super::{print_masks, say_skipped};
use crate::cli::arguments::ShardArgument;
use crate::cli::segmenter::{PassArguments, SegmenterArguments};
use crate::evaluate::parts::{self, PartClass, PartScores, PartedImages};

/// Accuracy on pictures with maps of parts, such as faces.
///
/// DATA is CelebAMask-HQ, or a folder with images/ and maps of the same names, whose grey values, or indices into a palette, are the
/// parts. The class that each region stands for is fitted on CelebA's validation set, or on every fifth image; its test
/// set, or the others, are scored.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples (skin and hair; the parts of CelebAMask-HQ in maps of 19 labels):
  factorseg evaluate parts CelebAMask-HQ --model faces.safetensors
  factorseg evaluate parts celebamask_test --maps parts19 --class-of skin=1-12 --class-of hair=13 --model faces.safetensors")]
pub struct Parts {
    /// Folder of the data set
    data: PathBuf,
    /// Sub-folder with the maps
    #[arg(long, default_value = "parts", value_name = "NAME")]
    maps: String,
    /// A class and the map values that belong to it; what no class names is background [default for CelebAMask-HQ: skin=1-12
    /// and hair=13]
    #[arg(long = "class-of", value_name = "NAME=VALUES")]
    classes: Vec<PartClass>,
    #[command(flatten)]
    segmenter: SegmenterArguments,
    #[command(flatten)]
    clusters: ClusterArguments,
    #[command(flatten)]
    passes: PassArguments,
    #[command(flatten)]
    shard: ShardArgument,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Use only the first images
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Parts {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let mut segmenter = self.segmenter.load()?;
        let passes = self.passes.passes(&segmenter)?;
        let mut images = PartedImages::open(&self.data, &self.maps, &self.classes, self.limit)?;
        say_skipped(&images.items.skipped);
        if !images.unnamed.is_empty() {
            let values: Vec<String> = images.unnamed.iter().map(u16::to_string).collect();
            eprintln!("values that no class names are background: {}", values.join(", "));
        }
        images.items.share(self.shard.share());
        let mut clusters = self.clusters.fit(&self.segmenter, segmenter.options(), &images.items)?;
        let engine: &mut dyn Engine = match &mut clusters {
            Some(clusters) => clusters,
            None => &mut segmenter,
        };
        let report = parts::evaluate(engine, &passes, &images)
            .with_context(|| format!("cannot evaluate {}", self.data.display()))?;
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
            return Ok(ExitCode::SUCCESS);
        }
        let stands_for: Vec<String> = report
            .assignment
            .iter()
            .enumerate()
            .map(|(region, class)| format!("{} {}", region + 1, report.classes[*class]))
            .collect();
        println!(
            "{}: {} images, regions {}; fitted on {} others",
            self.data.display(),
            report.scored_images,
            stands_for.join(", "),
            report.fitted_images
        );
        println!(
            "  {:44} {:>6} {:>6}  IoU of {}",
            "",
            "Acc",
            "mIoU",
            report.classes.join(", ")
        );
        let line = |what: &str, scores: &PartScores| {
            let each: Vec<String> = scores.iou.iter().map(|iou| format!("{iou:.3}")).collect();
            println!(
                "  {what:44} {:6.3} {:6.3}  {}",
                scores.accuracy,
                scores.mean_iou,
                each.join("  ")
            );
        };
        line("model, one assignment", &report.model);
        line("best map that ignores the image, fitted", &report.same_map);
        line("most frequent class", &report.one_class);
        print_masks(&report.masks);
        Ok(ExitCode::SUCCESS)
    }
}
