//! `factorseg bench`.

mod segment;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::{Args, Subcommand};
use factorseg_model::{DeviceSpec, ModelConfig, NoiseSchedule, Preset, ScheduleConfig};
use serde_json::json;

use super::arguments::{BatchArguments, ComputeArguments, InputArguments, PRESETS, count, word};
use super::set_threads;
use crate::data::batch::BatchMaker;
use crate::data::dataset::DataSet;
use crate::data::loader::Loader;
use crate::data::share::Share;
use crate::data::source::Source;
use crate::data::testing::{SparsePack, anonymous_memory, peak_memory};
use crate::recipe::{DEFAULT_RECIPE, MOST_STEPS, Recipe};
use crate::training::learner::Learner;
use crate::training::paper::initial_weights;
use crate::training::parallel::Ranks;
use crate::training::watching::timing;

/// Most black pictures.
const MOST_PICTURES: usize = 100_000_000;

/// Measure how fast a part of training is.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Loader(LoaderBench),
    Segment(segment::SegmentBench),
    Train(TrainBench),
}

impl Bench {
    /// Runs the command.
    pub fn run(self, ranks: &Ranks) -> Result<ExitCode> {
        match self.what {
            What::Loader(bench) => bench.run(),
            What::Segment(bench) => bench.run(),
            What::Train(bench) => bench.run(ranks),
        }
    }
}

/// Images per second that the input delivers when nothing waits for the device.
///
/// Everything that training does to its input is done: random order, reading, decoding, cropping, noise. Without SOURCE the
/// pictures are black, in a sparse packed file that takes no room on disk: as many as ImageNet has, if not told otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg bench loader photos --image-size 64
  factorseg bench loader imagenet-64.pack --recipe paper-imagenet --seconds 60 --json
  factorseg bench loader --recipe paper-imagenet --seconds 600")]
struct LoaderBench {
    /// Folder of pictures, tar archive(s), or packed file; black pictures if left out
    source: Option<String>,
    /// Black pictures, where there is no SOURCE
    #[arg(long, default_value_t = 1_281_167, value_name = "N", conflicts_with = "source", value_parser = count(1, MOST_PICTURES))]
    images: usize,
    /// Schedule whose batches are made
    #[arg(long, default_value = DEFAULT_RECIPE, value_name = "NAME|FILE")]
    recipe: String,
    /// Side of the training images in pixels
    #[arg(long, default_value_t = 64, value_name = "PIXELS", value_parser = count(1, 1024))]
    image_size: usize,
    #[command(flatten)]
    batch: BatchArguments,
    #[command(flatten)]
    input: InputArguments,
    /// Time to measure
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl LoaderBench {
    fn run(self) -> Result<ExitCode> {
        let mut recipe = Recipe::load(&self.recipe)?;
        self.batch.change(&mut recipe);
        recipe.validate()?;
        let side = BatchMaker::cached_side(self.image_size, &recipe.augmentation);
        let scratch = tempfile::tempdir()?;
        let images = match &self.source {
            Some(source) => DataSet::of(&Source::parse(source)?)?,
            None => {
                let path = scratch.path().join("black.pack");
                SparsePack::write(&path, self.images, side)?;
                DataSet::open(&path)?
            }
        };
        if let (Some(source), Some(side)) = (&self.source, images.side().filter(|side| *side < self.image_size)) {
            bail!("{source} is packed at {side} pixels; use --image-size {side}");
        }
        let (count, classes) = (images.len(), images.classes().len());
        let batch_size = recipe.batch_size;
        let cache = Arc::new(self.input.cache(images, side));
        let maker = BatchMaker {
            seed: 0,
            side: self.image_size,
            classes,
            schedule: NoiseSchedule::new(&ScheduleConfig::default()),
            recipe,
            share: Share::WHOLE,
            teacher: None,
        };
        let mut loader = Loader::start(Arc::new(maker), cache.clone(), 0, u64::MAX, self.input.loader())?;
        // The first batch waits for the threads and the first permutation.
        loader.next_batch()?;
        let (start, before) = (Instant::now(), anonymous_memory());
        let mut batches = 0u64;
        let mut slowest = Duration::ZERO;
        while start.elapsed() < Duration::from_secs(self.seconds.max(1)) {
            let asked = Instant::now();
            if loader.next_batch()?.is_none() {
                bail!("the input ended");
            }
            slowest = slowest.max(asked.elapsed());
            batches += 1;
        }
        let seconds = start.elapsed().as_secs_f64();
        let rate = (batches * batch_size as u64) as f64 / seconds;
        let grown = anonymous_memory().saturating_sub(before);
        let broken = cache.broken().len();
        if self.json {
            let line = json!({
                "images": count, "batch_size": batch_size, "image_size": self.image_size, "seconds": seconds,
                "batches": batches, "images_per_second": rate, "slowest_batch_seconds": slowest.as_secs_f64(),
                "input_threads": self.input.threads(), "broken": broken, "memory_growth_bytes": grown,
                "peak_memory_bytes": peak_memory(),
            });
            println!("{line}");
        } else {
            println!(
                "{rate:.0} images/s ({batches} batches of {batch_size} in {seconds:.1} s, {} threads); slowest batch {:.0} ms; \
                 memory grew by {:.1} MiB to a peak of {:.0} MiB; {broken} broken",
                self.input.threads(),
                slowest.as_secs_f64() * 1e3,
                grown as f64 / 1048576.0,
                peak_memory() as f64 / 1048576.0
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Images per second that training reaches, and where the time goes.
///
/// The steps are those of `factorseg train`: input, forward, backward, clipping, Adam, moving average. Without SOURCE the
/// pictures are black; the arithmetic is the same. Nothing is written. Under `mpirun` the processes share each step, and
/// rank 0 says what it took to sum gradients up, without waiting for others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg bench train --preset small --device cpu --threads 1
  factorseg bench train photos --recipe competition --phase 1 --steps 50 --json")]
struct TrainBench {
    /// Folder of pictures, tar archive(s), or packed file; black pictures if left out
    source: Option<String>,
    /// Size of the network
    #[arg(long, default_value = "small", value_parser = word::<Preset>(PRESETS))]
    preset: Preset,
    /// Schedule whose steps are measured
    #[arg(long, default_value = DEFAULT_RECIPE, value_name = "NAME|FILE")]
    recipe: String,
    /// Phase of the recipe, counted from 0 [default: the longest]
    #[arg(long, value_name = "N")]
    phase: Option<usize>,
    #[command(flatten)]
    batch: BatchArguments,
    /// Steps that are measured
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_STEPS))]
    steps: u64,
    /// Steps before, which are not measured
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MOST_STEPS))]
    warmup: u64,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    #[command(flatten)]
    compute: ComputeArguments,
    #[command(flatten)]
    input: InputArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl TrainBench {
    fn run(self, ranks: &Ranks) -> Result<ExitCode> {
        let threads = ranks.threads(self.compute.threads);
        set_threads(threads)?;
        let mut recipe = Recipe::load(&self.recipe)?;
        self.batch.change(&mut recipe);
        let number = self.phase.unwrap_or_else(|| recipe.longest_phase());
        ensure!(
            number < recipe.phases.len(),
            "--phase {number}: the recipe {} has phases 0 to {}",
            recipe.name,
            recipe.phases.len() - 1
        );
        // That phase alone, as long as is measured.
        let mut phase = recipe.phases.swap_remove(number);
        phase.steps = (self.warmup + self.steps).min(MOST_STEPS);
        recipe.phases = vec![phase.clone()];
        recipe.validate()?;

        let mut model = ModelConfig::preset(self.preset);
        model.regions = recipe.competing_regions().unwrap_or(model.regions);
        let side = model.image_size;
        let cached_side = BatchMaker::cached_side(side, &recipe.augmentation);
        let scratch = tempfile::tempdir()?;
        let images = match &self.source {
            Some(source) => DataSet::of(&Source::parse(source)?)?,
            None => {
                let path = scratch.path().join("black.pack");
                SparsePack::write(&path, 4 * recipe.batch_size, cached_side)?;
                DataSet::open(&path)?
            }
        };
        model.classes = images.classes().len();
        let device = ranks.device(self.device)?;
        let weights = initial_weights(&model, 0);
        let mut learner = Learner::new(&model, &recipe, 0, &weights, device, threads, self.compute.precision)?;
        ranks.connect(device, &mut learner)?;
        learner.enter(0, &phase)?;
        let maker = BatchMaker {
            seed: 0,
            side,
            classes: model.classes,
            schedule: NoiseSchedule::new(&model.schedule),
            recipe: recipe.clone(),
            share: ranks.share,
            teacher: None,
        };
        let cache = Arc::new(self.input.cache(images, cached_side));
        let mut loader = Loader::start(Arc::new(maker), cache, 0, phase.steps, self.input.loader())?;
        let (mut start, mut waited) = (Instant::now(), Duration::ZERO);
        let mut loss = f32::NAN;
        for step in 0..phase.steps {
            if step == self.warmup {
                timing::take();
                (start, waited) = (Instant::now(), loader.waited());
            }
            let Some(batch) = loader.next_batch()? else {
                bail!("the input ended before step {step}")
            };
            loss = ranks.step(&mut learner, &batch, &recipe, 0, step)?.loss;
        }
        let seconds = start.elapsed().as_secs_f64();
        let times = timing::take();
        let share = |time: Duration| time.as_secs_f64() / seconds;
        let (forward, backward, optimizer) = (share(times.forward), share(times.backward), share(times.optimizer));
        let reduction = share(times.reduction);
        let wait = share(loader.waited() - waited);
        let rate = (self.steps * recipe.batch_size as u64) as f64 / seconds;
        if !ranks.lead() {
            return Ok(ExitCode::SUCCESS);
        }
        if self.json {
            let line = json!({
                "preset": self.preset.to_string(), "recipe": recipe.name, "phase": phase.name,
                "device": self.device.to_string(), "precision": self.compute.precision.to_string(), "threads": self.compute.threads,
                "batch_size": recipe.batch_size,
                "regions": model.regions, "steps": self.steps, "seconds": seconds, "images_per_second": rate,
                "input_wait": wait, "forward": forward, "backward": backward, "reduction": reduction, "optimizer": optimizer,
                "processes": ranks.share.count, "weights": weights.len(),
                "peak_memory_bytes": peak_memory(), "loss": loss,
            });
            println!("{line}");
        } else {
            println!(
                "{rate:.1} images/s ({} steps of {} in {seconds:.1} s, phase {}): input wait {:.0} %, forward {:.0} %, \
                 backward {:.0} %, reduction {:.0} %, optimizer {:.0} %; peak memory {:.0} MiB",
                self.steps,
                recipe.batch_size,
                phase.name,
                wait * 100.0,
                forward * 100.0,
                backward * 100.0,
                reduction * 100.0,
                optimizer * 100.0,
                peak_memory() as f64 / 1048576.0
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
