//! `factorseg inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use factorseg_model::CheckpointSource;
use factorseg_model::checkpoint::Checkpoint;
use serde_json::json;

use super::arguments::from_1;

/// Show what a checkpoint holds: network, classes, training step, sizes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg inspect runs/photos/model.safetensors
  factorseg inspect --json --tensors        (the embedded checkpoint)")]
pub struct Inspect {
    /// Checkpoint file or folder; the embedded one if left out
    checkpoint: Option<PathBuf>,
    /// List all tensors
    #[arg(long)]
    tensors: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let checkpoint = Checkpoint::open(&CheckpointSource::from_path(self.checkpoint.unwrap_or_default()))?;
        let tensors = checkpoint.tensors();
        let count = |keep: &dyn Fn(&str) -> bool| -> usize {
            tensors
                .iter()
                .filter(|(name, _, _)| keep(name))
                .map(|(_, shape, _)| shape.iter().product::<usize>())
                .sum()
        };
        let all = count(&|_| true);
        let segmentation = count(&|name| !name.starts_with("decoder."));
        let (config, info) = (checkpoint.config(), checkpoint.info());
        if self.json {
            let mut description = json!({
                "file": checkpoint.file(), "config": config, "info": info,
                "parameters": all, "segmentation_parameters": segmentation,
            });
            if self.tensors {
                description["tensors"] = tensors
                    .iter()
                    .map(|(name, shape, dtype)| json!({"name": name, "shape": shape, "dtype": dtype}))
                    .collect();
            }
            println!("{}", serde_json::to_string_pretty(&description)?);
            return Ok(ExitCode::SUCCESS);
        }
        println!("{}", checkpoint.file());
        println!(
            "  trained     {} steps on {} ({:?} weights)",
            info.step, info.dataset, info.weights
        );
        println!("  images      {0} x {0} px", config.image_size);
        println!(
            "  regions     {}{}",
            config.regions,
            foreground(&info.foreground_regions)
        );
        println!(
            "  classes     {}",
            if config.classes == 0 {
                "none (unconditional)".to_owned()
            } else {
                config.classes.to_string()
            }
        );
        println!(
            "  channels    {} x {:?}, {} blocks per level{}, attention at {:?} px",
            config.base_channels,
            config.channel_multipliers,
            config.residual_blocks,
            if config.resblock_updown { " and one between" } else { "" },
            config.attention_resolutions
        );
        if config.decoding != Default::default() {
            println!("  decoding    {}", config.decoding.name());
        }
        println!(
            "  parameters  {:.2} M, {:.2} M of them for segmentation",
            all as f64 / 1e6,
            segmentation as f64 / 1e6
        );
        if let Some(decoder) = info.decoder {
            let (first, last) = decoder.timesteps;
            let masks = if decoder.masked { "its own" } else { "uniform" };
            println!(
                "  decoder     trained {} steps under {masks} masks, t = {first} to {last}",
                decoder.steps
            );
        }
        if self.tensors {
            for (name, shape, dtype) in tensors {
                println!("  {name} {shape:?} {dtype}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn foreground(regions: &[usize]) -> String {
    if regions.is_empty() {
        String::new()
    } else {
        format!(", foreground {:?} (counted from 1)", from_1(regions))
    }
}
