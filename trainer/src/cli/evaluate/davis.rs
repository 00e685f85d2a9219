//! `factorseg evaluate davis`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::{Common, positional, print_masks};
use crate::cli::arguments::{ShardArgument, from_1};
use crate::cli::segmenter::{PassArguments, SegmenterArguments, motion_model};
use crate::evaluate::davis::{self, DavisReport, Frames, OverTime, VideoScores};
use crate::evaluate::sheet::{SheetStyle, contact_sheet};

/// Foreground scores on video: J and F of DAVIS.
///
/// ROOT holds JPEGImages/480p/NAME/00000.jpg and Annotations/480p/NAME/00000.png; instead of 480p there may be 1080p,
/// Full-Resolution, or no folder. Every label but 0 is the object, 255 beside other labels is void. One assignment of regions to the
/// foreground is fitted on the first frames of the sequences and scored on the frames after them, at their own
/// resolution (bilinear), beside baselines that need no model.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg evaluate davis DAVIS                                  (the embedded checkpoint)
  factorseg evaluate davis DAVIS --every 5 --scales 1,1.5,2       (a quick look at what larger inputs bring)
  factorseg evaluate davis DAVIS --sheet masks.png                (and a picture of first and middle frames)")]
pub struct Davis {
    /// Folder in the layout of DAVIS-2016
    root: PathBuf,
    #[command(flatten)]
    segmenter: SegmenterArguments,
    #[command(flatten)]
    passes: PassArguments,
    #[command(flatten)]
    shard: ShardArgument,
    #[command(flatten)]
    common: Common,
    /// Do not judge masks again by what moves on its own, as without the element's `motion-model`
    #[arg(long)]
    no_motion_model: bool,
    /// Annotated frames that are scored
    #[arg(long, value_enum, default_value_t)]
    frames: Frames,
    /// Score only one frame in so many
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    every: u16,
    /// Blend each frame's masks with those of the frame before, as the element's `smoothing`: 0 to 0.99
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    smoothing: f32,
    /// Write a picture: the first frame of each sequence and the one in its middle, with their foregrounds
    #[arg(long, value_name = "PICTURE")]
    sheet: Option<PathBuf>,
    /// What the sheet shows of a frame
    #[arg(long, value_enum, default_value_t, value_name = "STYLE", requires = "sheet")]
    sheet_style: SheetStyle,
}

impl Davis {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let mut layout = davis::read_layout(&self.root, self.every.into(), self.frames)?;
        let (frames, masks) = (layout.frames.display(), &layout.masks);
        eprintln!("frames of {frames}; annotations are taken for {masks}");
        for reason in &layout.left_out {
            eprintln!("left out: {reason}");
        }
        let mut engine = self.segmenter.load()?;
        let passes = self.passes.passes(&engine)?;
        let share = self.shard.share();
        let fitted = davis::fit(&mut engine, &passes, &layout, &self.common.foreground)?;
        // All processes fit on all sequences; each scores its own.
        layout.sequences = share.take(layout.sequences);
        let motion = !(self.no_motion_model || self.segmenter.paper);
        let over_time = OverTime {
            motion: motion.then(|| motion_model(&mut engine)).transpose()?,
            smoothing: self.smoothing,
        };
        let report = davis::score(&mut engine, &passes, &layout, &fitted, over_time, |sequence| {
            eprintln!("{}: J {:.3}", sequence.name, sequence.model.j.mean);
        })
        .with_context(|| format!("cannot evaluate {}", self.root.display()))?;
        if let Some(path) = &self.sheet {
            let first_frames = share.take(fitted.first_frames.iter().collect());
            let frames = first_frames.into_iter().zip(&report.middle_frames);
            let entries: Vec<_> = frames
                .flat_map(|(first, middle)| [first, middle])
                .map(|(picture, regions)| (picture, regions.iter().map(|r| fitted.assignment.holds(*r)).collect()))
                .collect();
            contact_sheet(&entries, self.sheet_style)
                .save(path)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.common.json {
            println!("{}", serde_json::to_string(&report)?);
        } else if self.common.markdown {
            print_table(&report);
        } else {
            print(&report, self.every);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn share(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.0..=0.99).contains(&value) {
        Ok(value)
    } else {
        Err("expected 0 to 0.99".to_owned())
    }
}

fn print(report: &DavisReport, every: u16) {
    println!(
        "{} sequences, {} frames (one in {every}), foreground = regions {:?}, {}; fitted on {} first frames",
        report.sequences.len(),
        report.scored_frames,
        from_1(&report.foreground_regions),
        report.assignment,
        report.fitted_frames
    );
    println!(
        "  {:44} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "", "J mean", "recall", "decay", "start", "F mean", "recall", "decay"
    );
    let line = |what: &str, s: &VideoScores| {
        println!(
            "  {what:44} {:7.3} {:7.3} {:7.3} {:7.3} {:7.3} {:7.3} {:7.3}",
            s.j.mean, s.j.recall, s.j.decay, s.j.start, s.f.mean, s.f.recall, s.f.decay
        );
    };
    line("model, one assignment", &report.model);
    if report.objects > report.sequences.len() {
        let by = |what: &str| format!("model, each of {} objects by its {what}", report.objects);
        line(&by("region"), &report.by_object);
        line(&by("piece"), &report.by_piece);
    }
    line("model, per-frame oracle (upper bound)", &report.oracle);
    for baseline in &report.baselines {
        line(&baseline.what, &baseline.scores);
    }
    println!("  model, by sequence:");
    for sequence in &report.sequences {
        line(
            &format!("  {} ({} frames)", sequence.name, sequence.frames),
            &sequence.model,
        );
    }
    println!(
        "  flicker (mean 1 - IoU of successive masks): model {:.3}, annotations {:.3}",
        report.flicker, report.annotation_flicker
    );
    print_masks(&report.masks);
    println!(
        "  {} passes a frame, {:.1} ms with resampling",
        report.passes, report.milliseconds
    );
}

fn print_table(report: &DavisReport) {
    println!("| DAVIS | J mean | J recall | J decay | J of frames 1 to 5 | F mean | F recall | F decay | flicker |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let line = |what: &str, s: &VideoScores, flicker: &str| {
        println!(
            "| {what} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {flicker} |",
            s.j.mean, s.j.recall, s.j.decay, s.j.start, s.f.mean, s.f.recall, s.f.decay
        );
    };
    let flicker = |value: f64| format!("{value:.3}");
    let name = format!(
        "**model**, {} frames, positional {}",
        report.scored_frames,
        positional(&report.masks)
    );
    line(&name, &report.model, &flicker(report.flicker));
    if report.objects > report.sequences.len() {
        let by = |what: &str| format!("model, each of {} objects by its {what}", report.objects);
        line(&by("region"), &report.by_object, "");
        line(&by("piece"), &report.by_piece, "");
    }
    line("model, per-frame oracle", &report.oracle, "");
    for baseline in &report.baselines {
        line(&baseline.what, &baseline.scores, "");
    }
    for sequence in &report.sequences {
        let name = format!("model on {}, {} frames", sequence.name, sequence.frames);
        let flicker = format!(
            "{:.3} (annotations {:.3})",
            sequence.flicker, sequence.annotation_flicker
        );
        line(&name, &sequence.model, &flicker);
    }
}
