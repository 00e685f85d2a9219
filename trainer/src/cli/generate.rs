//! `factorseg generate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use factorseg_kernels::{Learned, TrainingSize};
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::sampler::{SampleRequest, sample_ddpm};
use factorseg_model::{CheckpointSource, DeviceSpec, NoiseSchedule, Precision, find_class};
use indicatif::ProgressBar;
use serde_json::json;

use super::arguments::count;
use super::set_threads;
use crate::training::run::config::MOST_THREADS;
use crate::training::run::signals::{Answer, INTERRUPTED, Signals};
use crate::training::watching::pictures::mask_grid;

/// Images that go through the network at once.
const BATCH: usize = 8;

/// Generate images together with their regions (Algorithm 2).
///
/// Writes one picture: for each image the image, its regions drawn over it, and each soft mask.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg generate --model runs/photos/model.safetensors --count 16 --out samples.png
  factorseg generate --class n02123045 --count 4 --out cats.png        (the embedded checkpoint)")]
pub struct Generate {
    /// Picture to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Checkpoint; the embedded one if left out
    #[arg(long, value_name = "CHECKPOINT")]
    model: Option<PathBuf>,
    /// Class name, WordNet id or index
    #[arg(long, default_value = "none")]
    class: String,
    /// Number of images
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = count(1, 4096))]
    count: usize,
    /// Seed of all noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    /// Threads of the CPU device; 0: one per core
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = count(0, MOST_THREADS))]
    threads: usize,
    /// Print what was generated as JSON
    #[arg(long)]
    json: bool,
}

impl Generate {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        set_threads(self.threads)?;
        let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path(self.model.unwrap_or_default()))?;
        let config = checkpoint.config().clone();
        let class = find_class(&checkpoint.info().classes, &self.class)?;
        let device = self.device.resolve()?;
        let weights = checkpoint.load()?;
        let side = config.image_size;
        let size = TrainingSize {
            side,
            batch: self.count.min(BATCH),
            waiting: 0,
        };
        let mut network = device.training(&config.architecture(), size, self.threads, Precision::F32)?;
        network.set_parameters(&weights);
        network.begin(Learned {
            mask_generator: false,
            denoiser: false,
        });
        let class = class.unwrap_or(config.classes);
        let request = SampleRequest {
            count: self.count,
            side,
            regions: config.regions,
            classes: (0..self.count).map(|_| class as i32).collect(),
            seed: self.seed,
        };
        let signals = Signals::listen(Answer::Ask("interrupted: stopping; nothing is kept"))?;
        let bar = ProgressBar::new(config.schedule.timesteps as u64);
        let schedule = NoiseSchedule::new(&config.schedule);
        let sample = sample_ddpm(network.as_mut(), &schedule, &request, |_| {
            bar.inc(1);
            !signals.asked()
        })?;
        bar.finish_and_clear();
        let Some(sample) = sample else {
            return Ok(ExitCode::from(INTERRUPTED));
        };
        let grid = mask_grid(
            &sample.images,
            &sample.masks,
            side,
            config.regions,
            (128 / side as u32).max(1),
        );
        grid.save(&self.out)
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        if self.json {
            let line = json!({ "file": self.out, "images": self.count, "image_size": side, "regions": config.regions });
            println!("{line}");
        }
        eprintln!("{} images in {}", self.count, self.out.display());
        Ok(ExitCode::SUCCESS)
    }
}
