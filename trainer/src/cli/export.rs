//! `factorseg export`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use factorseg_model::CheckpointSource;
use factorseg_model::checkpoint::{Checkpoint, WeightType, save_tensors};
use serde_json::json;

use super::arguments::region;
use crate::training::run::directory::BEST;

/// Write a checkpoint for use: smaller, and with its foreground named.
///
/// The element draws the foreground regions of a checkpoint that names them, else all regions.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg export runs/photos --out photos.safetensors --foreground 2 --segmentation-only --type bf16
  factorseg export runs/photos --out photos.safetensors --best")]
pub struct Export {
    /// Checkpoint file or run folder
    checkpoint: PathBuf,
    /// Take the run's best checkpoint, by the loss of its held-out images, instead of the newest
    #[arg(long)]
    best: bool,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Regions that are the object, counted from 1 as `factorseg evaluate` prints them
    #[arg(long, value_name = "REGION,..", value_delimiter = ',', value_parser = region)]
    foreground: Option<Vec<usize>>,
    /// Leave out the decoder, which only generation needs
    #[arg(long)]
    segmentation_only: bool,
    /// Storage type of the weights
    #[arg(long = "type", value_enum, default_value_t = StoredType::F32)]
    stored_type: StoredType,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StoredType {
    F32,
    Bf16,
    F16,
}

impl Export {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let mut path = self.checkpoint;
        if self.best {
            let run = path;
            path = run.join(BEST);
            ensure!(
                path.exists(),
                "{} has no {BEST}: --best takes the folder of a run that has held-out images (--held-out) and a checkpoint",
                run.display()
            );
        }
        let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path(path))?;
        let config = checkpoint.config().clone();
        let mut info = checkpoint.info().clone();
        if let Some(foreground) = self.foreground {
            for region in &foreground {
                ensure!(
                    *region < config.regions,
                    "--foreground {}: the checkpoint has regions 1 to {}",
                    region + 1,
                    config.regions
                );
            }
            info.foreground_regions = foreground;
        }
        if self.segmentation_only {
            info.decoder = None;
        }
        let mut tensors = Vec::new();
        for (name, shape, _) in checkpoint.tensors() {
            if !self.segmentation_only || !name.starts_with("decoder.") {
                let values = checkpoint.read(&name)?;
                tensors.push((name, shape, values));
            }
        }
        let weight_type = match self.stored_type {
            StoredType::F32 => WeightType::F32,
            StoredType::Bf16 => WeightType::Bf16,
            StoredType::F16 => WeightType::F16,
        };
        let parameters: usize = tensors.iter().map(|(_, _, values)| values.len()).sum();
        save_tensors(&self.out, tensors, &config, &info, weight_type)?;
        if self.json {
            let bytes = std::fs::metadata(&self.out).map(|file| file.len()).unwrap_or_default();
            let line = json!({ "file": self.out, "bytes": bytes, "parameters": parameters, "info": info });
            println!("{line}");
        } else {
            println!("{}", self.out.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
