//! `factorseg export`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use factorseg_model::CheckpointSource;
use factorseg_model::checkpoint::{Checkpoint, WeightType, save_tensors};

use crate::training::run::directory::BEST;

/// Write a checkpoint for use: smaller, and with its foreground named.
///
/// The element draws the foreground regions of a checkpoint that names them, else all regions.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg export runs/photos photos.safetensors --foreground 1 --segmentation-only --type bf16
  factorseg export runs/photos photos.safetensors --best")]
pub struct Export {
    /// Checkpoint file or run folder
    checkpoint: PathBuf,
    /// Take the run's best checkpoint, by the loss of its held-out images, instead of the newest
    #[arg(long)]
    best: bool,
    /// File to write
    output: PathBuf,
    /// Regions that are the object, counted from 0 as `factorseg evaluate` prints them
    #[arg(long, value_name = "REGION,..", value_delimiter = ',')]
    foreground: Option<Vec<usize>>,
    /// Leave out the decoder, which only generation needs
    #[arg(long)]
    segmentation_only: bool,
    /// Storage type of the weights
    #[arg(long = "type", value_enum, default_value_t = StoredType::F32)]
    stored_type: StoredType,
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
                    "--foreground {region}: the checkpoint has regions 0 to {}",
                    config.regions - 1
                );
            }
            info.foreground_regions = foreground;
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
        save_tensors(&self.output, tensors, &config, &info, weight_type)?;
        println!("{}", self.output.display());
        Ok(ExitCode::SUCCESS)
    }
}
