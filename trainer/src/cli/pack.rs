//! `factorseg pack`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::arguments::{count, threads};
use super::packing::{FrameArguments, STOPPING, pack_with_progress};
use crate::data::packing::PackOptions;
use crate::data::source::Source;
use crate::training::run::config::MOST_THREADS;
use crate::training::run::signals::Signals;

/// Turn any source of pictures into one file that training maps into memory.
///
/// SOURCE is a folder of pictures (one sub-folder per class, or flat), a video or a folder that holds videos, a tar
/// archive or a folder of them (WebDataset's shards), another packed file, or a URL. Pictures are resampled as
/// guided-diffusion does, bit for bit; of a video, frames are taken that are spread over its shots and differ. Everything
/// streams: memory does not grow with the data.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg pack imagenet/train --out imagenet-64.pack --size 64 --square
  factorseg pack footage --out footage.pack --size 80 --frames-per-video 500
  factorseg pack 'shards/train-{000..127}.tar' --out train.pack
  factorseg pack 's3://bucket/train-{000..127}.tar' --out train.pack     (AWS_* variables; built with object-store)
  factorseg train train.pack --run runs/train

SIZE is the training side times the recipe's crop_scale: 80 for 64-pixel training with the recipe two-phase.")]
pub struct Pack {
    /// Folder, video, tar archive(s), packed file, or URL
    source: String,
    /// File to write; it appears when it is whole
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Shorter side of the packed pictures in pixels
    #[arg(long, default_value_t = 64, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    size: u16,
    /// Keep only the middle square; else up to two to one is kept
    #[arg(long)]
    square: bool,
    /// Leave out the classes
    #[arg(long)]
    unconditional: bool,
    #[command(flatten)]
    frames: FrameArguments,
    /// Threads that read and decode; 0: one per core
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = count(0, MOST_THREADS))]
    threads: usize,
    /// Broken pictures and videos that are skipped before packing stops
    #[arg(long, default_value_t = 100, value_name = "N")]
    max_broken: usize,
    /// Print what was packed as JSON
    #[arg(long)]
    json: bool,
}

impl Pack {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let signals = Signals::listen(STOPPING)?;
        let source = Source::parse(&self.source)?;
        let options = PackOptions {
            side: usize::from(self.size),
            square: self.square,
            unconditional: self.unconditional,
            threads: threads(self.threads),
            max_broken: self.max_broken,
            frames: self.frames.options(false),
            witness: None,
            store: Vec::new(),
        };
        let start = Instant::now();
        let packed = pack_with_progress(&source, &self.out, &options, &signals)?;
        let seconds = start.elapsed().as_secs_f64();
        let bytes = std::fs::metadata(&self.out)
            .with_context(|| format!("cannot read {}", self.out.display()))?
            .len();
        let rate = packed.images as f64 / seconds.max(1e-9);
        if self.json {
            let line = json!({
                "file": self.out, "images": packed.images, "broken": packed.broken, "skipped": packed.skipped.total(), "bytes": bytes, "seconds": seconds,
                "images_per_second": rate, "peak_memory_bytes": crate::data::testing::peak_memory(),
            });
            println!("{line}");
        } else {
            println!(
                "{}: {} pictures, {:.1} MB, {} broken left out, {rate:.0} pictures a second",
                self.out.display(),
                packed.images,
                bytes as f64 / 1e6,
                packed.broken
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
