//! `factorseg generate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::sampler::{SampleRequest, sample_ddpm};
use factorseg_model::{CheckpointSource, DeviceSpec, NoiseSchedule, Runtime, find_class};
use indicatif::ProgressBar;

use super::set_threads;
use crate::training::pictures::mask_grid;
use crate::training::signals::{INTERRUPTED, Signals};

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
    #[arg(long, default_value_t = 8, value_name = "N")]
    count: usize,
    /// Seed of all noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    /// Threads of the CPU device; 0: one per core
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
}

impl Generate {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        set_threads(self.threads)?;
        if self.count == 0 {
            bail!("--count is 0; give at least 1");
        }
        let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path(self.model.unwrap_or_default()))?;
        let config = checkpoint.config().clone();
        let class = find_class(&checkpoint.info().classes, &self.class)?;
        let device = self.device.resolve()?;
        let network = checkpoint.load::<Runtime>(&device)?;
        let side = config.image_size;
        let request = SampleRequest {
            count: self.count,
            size: [side, side],
            classes: (config.classes > 0).then(|| vec![class.unwrap_or(config.classes); self.count]),
            seed: self.seed,
        };
        let signals = Signals::listen()?;
        let bar = ProgressBar::new(config.schedule.timesteps as u64);
        let schedule = NoiseSchedule::new(&config.schedule);
        let sample = sample_ddpm(&network, &schedule, &request, &device, |_| {
            bar.inc(1);
            !signals.asked()
        });
        bar.finish_and_clear();
        let Some(sample) = sample else {
            return Ok(ExitCode::from(INTERRUPTED));
        };
        let images: Vec<f32> = sample.images.into_data().iter::<f32>().collect();
        let masks: Vec<f32> = sample.masks.into_data().iter::<f32>().collect();
        let grid = mask_grid(&images, &masks, side, config.regions, (128 / side as u32).max(1));
        grid.save(&self.out)
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        eprintln!("{} images in {}", self.count, self.out.display());
        Ok(ExitCode::SUCCESS)
    }
}
