//! Which network draws pictures, and how: the arguments that `generate` and `interpolate` share.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use factorseg_kernels::{Learned, TrainingPass, TrainingSize};
use factorseg_model::checkpoint::{Checkpoint, CheckpointInfo};
use factorseg_model::sampler::{Method, Sampler};
use factorseg_model::{CheckpointSource, DeviceSpec, ModelConfig, Precision, find_class};
use image::RgbImage;
use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::{count, word};
use super::set_threads;
use crate::training::run::config::MOST_THREADS;

/// What `--sampler` takes.
const SAMPLERS: &[&str] = &["ddpm", "ddim"];
/// Most timesteps of a schedule.
pub const MOST_TIMESTEPS: usize = 100_000;

#[derive(Debug, Args)]
pub struct GeneratorArguments {
    /// Checkpoint whose decoder is trained, which `factorseg inspect` says
    #[arg(long, value_name = "CHECKPOINT")]
    model: Option<PathBuf>,
    /// ddpm: the paper's, with fresh noise at every step; ddim: without, good with 50 steps
    #[arg(long, default_value = "ddpm", value_parser = word::<Method>(SAMPLERS))]
    sampler: Method,
    /// Steps from noise to picture [default: all timesteps]
    #[arg(long, value_name = "N", value_parser = count(1, MOST_TIMESTEPS))]
    steps: Option<usize>,
    /// Pictures that go through the network at once
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = count(1, 4096))]
    pub batch: usize,
    /// Seed of all noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    /// Threads of the CPU device; 0: one per core
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = count(0, MOST_THREADS))]
    threads: usize,
}

/// A network that draws.
pub struct Generator {
    pub network: Box<dyn TrainingPass>,
    pub config: ModelConfig,
    pub sampler: Sampler,
    info: CheckpointInfo,
}

impl GeneratorArguments {
    /// Loads the network, for up to `pictures` at once from the timestep `from` (T if left out).
    pub fn load(&self, pictures: usize, from: Option<usize>) -> Result<Generator> {
        set_threads(self.threads)?;
        let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path(self.model.clone().unwrap_or_default()))?;
        checkpoint.check_generates()?;
        let (config, info) = (checkpoint.config().clone(), checkpoint.info().clone());
        let size = TrainingSize {
            side: config.image_size,
            batch: pictures.min(self.batch),
            waiting: 0,
        };
        let device = self.device.resolve()?;
        let mut network = device.training(&config.architecture(), size, self.threads, Precision::F32)?;
        network.set_parameters(&checkpoint.load()?)?;
        network.begin(Learned::NOTHING);
        let from = from.unwrap_or(config.schedule.timesteps);
        let sampler = Sampler::new(&config, self.sampler, from, self.steps.unwrap_or(from));
        Ok(Generator {
            network,
            config,
            sampler,
            info,
        })
    }
}

impl Generator {
    /// The index of the class that a word names.
    pub fn class(&self, word: &str) -> Result<i32> {
        let class = find_class(&self.info.classes, word)?;
        Ok(class.unwrap_or(self.config.no_class()) as i32)
    }
}

/// A bar over all steps, with the time that is left.
pub fn progress(steps: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{wide_bar} step {pos} of {len}, {eta} left")?;
    Ok(ProgressBar::new(steps as u64).with_style(style))
}

/// Writes a picture.
pub fn save(picture: &RgbImage, path: &std::path::Path) -> Result<()> {
    picture
        .save(path)
        .with_context(|| format!("cannot write {}", path.display()))
}
