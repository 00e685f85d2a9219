//! Which network segments, and how: the arguments that `segment` and `evaluate` share.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use factorseg_model::{
    CheckpointSource, DeviceSpec, Engine, LoadOptions, Precision, Segmenter, SegmenterOptions, find_class,
};

use factorseg_refine::MotionModel;

use super::arguments::{PRECISIONS, count, threads, word};
use super::set_threads;
use crate::evaluate::segment::Passes;
use crate::training::run::config::MOST_THREADS;

#[derive(Debug, Args)]
pub struct SegmenterArguments {
    /// Checkpoint; the embedded one if left out
    #[arg(long, value_name = "CHECKPOINT")]
    model: Option<PathBuf>,
    /// Class name, WordNet id or index that the model is told
    #[arg(long, default_value = "none")]
    class: String,
    /// Noise level t
    #[arg(long, default_value_t = 30)]
    timestep: usize,
    /// Noise draws that are averaged
    #[arg(long, default_value_t = 1)]
    samples: usize,
    /// Seed of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The paper's own masks: neither colours nor motion judge them again
    #[arg(long)]
    pub paper: bool,
    /// The network alone: do not judge pixels again by the colours of the picture's own regions
    #[arg(long)]
    no_color_model: bool,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    /// What passes compute in; bf16 on CUDA, and on processors with AVX512-BF16
    #[arg(long, default_value = "auto", value_parser = word::<Precision>(PRECISIONS))]
    precision: Precision,
    /// Threads of the CPU device; 0: one per core
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = count(0, MOST_THREADS))]
    threads: usize,
}

impl SegmenterArguments {
    /// Threads that work.
    pub fn threads(&self) -> usize {
        let (cores, asked) = (threads(0), threads(self.threads));
        if asked > cores {
            eprintln!("--threads {asked}: {cores} are used, one per core; more take memory and gain nothing");
        }
        asked.min(cores)
    }

    /// The checkpoint.
    pub fn source(&self) -> CheckpointSource {
        CheckpointSource::from_path(self.model.clone().unwrap_or_default())
    }

    /// How the network segments, of no class.
    pub fn options(&self) -> SegmenterOptions {
        SegmenterOptions {
            class: None,
            timestep: self.timestep,
            seed: self.seed,
            samples: self.samples,
            color_model: !(self.paper || self.no_color_model),
            ..SegmenterOptions::default()
        }
    }

    /// Loads the network and tells it the class.
    pub fn load(&self) -> Result<Segmenter> {
        let mut options = self.options();
        let threads = self.threads();
        set_threads(threads)?;
        let how = LoadOptions {
            device: self.device,
            threads,
            precision: self.precision,
        };
        let mut segmenter = Segmenter::load(&self.source(), how, &options)?;
        // Only the checkpoint knows its classes.
        options.class = find_class(&segmenter.info().classes, &self.class)?;
        segmenter.set_options(&options)?;
        Ok(segmenter)
    }
}

/// A motion model for the masks of this network, which leaves the colours to it from now on.
///
/// # Errors
/// If the network fails.
pub fn motion_model(segmenter: &mut Segmenter) -> Result<MotionModel> {
    let (options, colors) = segmenter.options().without_colors();
    segmenter.set_options(&options)?;
    let mut motion = MotionModel::default();
    motion.colors = colors;
    Ok(motion)
}

/// Passes that are averaged beside the noise draws.
#[derive(Debug, Args)]
pub struct PassArguments {
    /// Average with the mirrored picture; twice the cost
    #[arg(long)]
    flip: bool,
    /// Average over input sizes, in multiples of the size that the network was trained at
    #[arg(long, default_value = "1", value_delimiter = ',', value_name = "LIST")]
    scales: Vec<f64>,
}

impl PassArguments {
    /// The passes, at sizes that fit the network.
    pub fn passes(&self, segmenter: &Segmenter) -> Result<Passes> {
        Passes::new(self.scales.clone(), self.flip, segmenter.config().stride())
    }
}
