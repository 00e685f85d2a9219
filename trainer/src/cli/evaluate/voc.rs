//! `factorseg evaluate voc`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use factorseg_model::{ClassLabel, find_class};

use super::{Common, print_masks, teller};
use crate::cli::arguments::{ShardArgument, from_1};
use crate::cli::segmenter::{PassArguments, SegmenterArguments};
use crate::evaluate::items::voc;
use crate::evaluate::metrics::Scores;
use crate::evaluate::still::{self, LabelledImages};

/// VOC's classes in the order of their labels, each with the ImageNet class that stands for it: the paper's Table 7.
const CLASSES: [(&str, usize, &str); 20] = [
    ("aeroplane", 895, "n04552348"),
    ("bicycle", 671, "n03792782"),
    ("bird", 94, "n01833805"),
    ("boat", 814, "n04273569"),
    ("bottle", 907, "n04591713"),
    ("bus", 779, "n04146614"),
    ("car", 817, "n04285008"),
    ("cat", 281, "n02123045"),
    ("chair", 765, "n04099969"),
    ("cow", 346, "n02408429"),
    ("diningtable", 532, "n03201208"),
    ("dog", 153, "n02085936"),
    ("horse", 603, "n03538406"),
    ("motorbike", 670, "n03791053"),
    ("person", 981, "n09835506"),
    ("pottedplant", 883, "n04522168"),
    ("sheep", 348, "n02412080"),
    ("sofa", 831, "n04344873"),
    ("train", 466, "n02917067"),
    ("tvmonitor", 664, "n03782006"),
];
/// Classes of ImageNet, whose numbers Table 7 gives.
const IMAGENET: usize = 1000;

/// Accuracy and mean IoU for each class of Pascal VOC 2012 (Table 8 of the paper).
///
/// ROOT is VOC2012: JPEGImages, SegmentationClass, ImageSets/Segmentation. A picture counts once for each class that it holds: its
/// pixels are the object, all others background, 255 is left out, and the network is told the ImageNet class that Table 7 of the
/// paper gives. One assignment of regions is fitted on train.txt; val.txt is scored.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  factorseg evaluate voc VOCdevkit/VOC2012 --model imagenet.safetensors")]
pub struct Voc {
    /// Folder VOC2012
    root: PathBuf,
    #[command(flatten)]
    segmenter: SegmenterArguments,
    #[command(flatten)]
    passes: PassArguments,
    #[command(flatten)]
    shard: ShardArgument,
    #[command(flatten)]
    common: Common,
    /// Use only the first images of train.txt and of val.txt
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Voc {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let mut engine = self.segmenter.load()?;
        let passes = self.passes.passes(&engine)?;
        let names = CLASSES.map(|(name, ..)| name);
        let mut images = voc(&self.root, &names, self.limit)
            .and_then(LabelledImages::of)
            .with_context(|| self.root.display().to_string())?;
        images.items.share(self.shard.share());
        let labels = factorseg_model::Engine::info(&engine).classes.clone();
        let lacking = CLASSES
            .iter()
            .filter(|(name, ..)| told(&labels, name) == "none")
            .count();
        if lacking > 0 {
            eprintln!("the checkpoint lacks {lacking} of the 20 classes; for these it is told none");
        }
        let mut tell = teller(engine.options().clone(), labels.clone(), |class| told(&labels, class));
        let report = still::evaluate(
            &mut engine,
            &passes,
            "VOC2012",
            &images,
            &self.common.foreground,
            &mut tell,
            |_| {},
        )
        .with_context(|| format!("cannot evaluate {}", self.root.display()))?;
        if self.common.json {
            println!("{}", serde_json::to_string(&report)?);
            return Ok(ExitCode::SUCCESS);
        }
        if !self.common.markdown {
            println!(
                "foreground = regions {:?}, {}, on {} of train.txt; {} of val.txt are scored",
                from_1(&report.foreground_regions),
                report.assignment,
                report.fitted_images,
                report.scored_images
            );
        }
        let line = |cells: [&str; 5]| match self.common.markdown {
            true => println!("| {} |", cells.join(" | ")),
            false => println!(
                "  {:14} {:>10} {:12} {:>6} {:>6}",
                cells[0], cells[1], cells[2], cells[3], cells[4]
            ),
        };
        line(["class", "val images", "told", "Acc", "mIoU"]);
        if self.common.markdown {
            println!("|{}", "---|".repeat(5));
        }
        let row = |name: &str, images: usize, told: &str, scores: &Scores| {
            let [acc, iou] = [scores.accuracy, scores.mean_iou].map(|value| format!("{value:.3}"));
            line([name, &images.to_string(), told, &acc, &iou]);
        };
        for class in &report.classes {
            row(&class.class, class.images, &told(&labels, &class.class), &class.scores);
        }
        let average = Scores::mean(report.classes.iter().map(|class| class.scores));
        row("average", report.scored_images, "", &average);
        if !self.common.markdown {
            print_masks(&report.masks);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a checkpoint with these labels is told for a class of VOC: the WordNet id or the number, or `none`.
fn told(labels: &[ClassLabel], class: &str) -> String {
    let Some((_, number, id)) = CLASSES.iter().find(|(name, ..)| *name == class) else {
        return "none".into();
    };
    match find_class(labels, id) {
        Ok(_) => (*id).to_owned(),
        Err(_) if labels.len() == IMAGENET => number.to_string(),
        Err(_) => "none".into(),
    }
}

#[cfg(test)]
mod tests;
