//! A training run from its first step, or from its newest checkpoint, to its end.

mod checkpoints;
pub mod config;
pub mod directory;
mod progress;
mod provenance;
pub mod signals;
pub mod state;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::{CheckpointInfo, CheckpointSource, Device, ModelConfig, NoiseSchedule};

use super::learner::{DECODER, Learner, MaskBatch};
use super::memory;
use super::paper::initial_weights;
use super::parallel::{Common, DataParallel, DeviceList, ReplicaError};
use super::self_training;
use super::watching::held_out::HeldOut;
use super::watching::report::Reporter;
use crate::data::batch::BatchMaker;
use crate::data::cache::ImageCache;
use crate::data::dataset::DataSet;
use crate::data::loader::{Loader, LoaderOptions};
use crate::data::source::Source;
use crate::data::teacher::Teacher;
use config::{DataDescription, RunConfig};
use directory::RunDirectory;
use progress::{Clock, count, describe};
use signals::{Answer, Signals};
use state::RunningLoss;

/// Noise level at which held-out images are segmented; the paper's for real images.
pub const SEGMENTATION_TIMESTEP: usize = 30;

/// Held-out images that are drawn.
const PICTURED: usize = 16;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Done,
    /// A signal asked to stop; the state is saved.
    Interrupted,
}

/// Starts a run in the new folder `path`, which is written once everything that a run needs is there.
///
/// # Errors
/// If the data, the device, or the folder cannot be used, the loss is no longer finite, or
/// something cannot be written.
pub fn start(path: &Path, config: RunConfig, images: DataSet, signals: &Signals, json: bool) -> Result<Ending> {
    RunDirectory::refuse_existing(path)?;
    if device(&config)? == Device::Cpu {
        memory::check(&config)?;
    }
    let (weights, said) = starting_weights(&config)?;
    let (teacher, checkpoint) = self_training::checked(&config)?.unzip();
    let run = Run::new(config, images, &weights, teacher, (0, said), || {
        signals.answer(Answer::SAVE);
        let directory = RunDirectory::create(path)?;
        if let Some(checkpoint) = checkpoint {
            self_training::store(&directory, &checkpoint)?;
        }
        Ok(directory)
    })?;
    run.save_start()?;
    run.directory.store_config(&run.config)?;
    run.train(RunningLoss::default(), 0, signals, json)
}

/// Goes on with the run in an opened folder, on `data` if it has moved.
///
/// # Errors
/// As [`start`], and if the newest checkpoint is damaged or the data has changed.
pub fn resume(
    directory: RunDirectory,
    mut config: RunConfig,
    data: Option<&str>,
    signals: &Signals,
    json: bool,
) -> Result<Ending> {
    config.validate()?;
    if device(&config)? == Device::Cpu {
        memory::check(&config)?;
    }
    let path = directory.path.clone();
    let opened = match data {
        Some(data) => Source::parse(data).and_then(|source| DataSet::of(&source)),
        None => DataSet::open(&config.data.path),
    };
    let mut images = opened.with_context(|| {
        format!(
            "the run's data cannot be opened; if it has moved, say where to: `factorseg resume {} --data DATA`",
            path.display()
        )
    })?;
    if config.data.unconditional {
        images = images.without_classes();
    }
    let found = DataDescription::of(&images, config.data.unconditional, config.data.held_out);
    if found.fingerprint != config.data.fingerprint {
        bail!(
            "the images in {} are not those that the run began with ({} then, {} now); restore them, or start a new run with \
             --init-from {}",
            found.path.display(),
            config.data.images,
            found.images,
            path.join("model.safetensors").display()
        );
    }
    config.data.path = found.path;
    let newest = state::newest(&directory.checkpoints())?;
    let weights = initial_weights(&config.model, config.seed);
    let teacher = match config.recipe.self_training {
        Some(_) => Some(self_training::load(&directory.teacher(), &config.model)?),
        None => None,
    };
    let said = Checkpoint::open(&CheckpointSource::from_path(newest.as_path()))?
        .info()
        .clone();
    let mut run = Run::new(config, images, &weights, teacher, (said.step, said), || Ok(directory))?;
    let restored = state::restore(&newest, &mut run.learner)?;
    signals.answer(Answer::SAVE);
    run.directory.store_config(&run.config)?;
    run.directory.rewind(restored.step)?;
    // A run that was killed may have a checkpoint that is not out yet.
    if restored.step > 0 {
        run.publish(restored.step)?;
    }
    eprintln!("resuming {} at step {}", path.display(), restored.step);
    run.train(restored.running, restored.step, signals, json)
}

/// The device that holds weights and optimizer.
fn device(config: &RunConfig) -> Result<Device> {
    Ok(config.options.device.parse::<DeviceList>()?.lead().resolve()?)
}

/// Fresh weights from the seed, or those of the checkpoint to start from, and what is said of them.
fn starting_weights(config: &RunConfig) -> Result<(Vec<f32>, CheckpointInfo)> {
    let mut weights = initial_weights(&config.model, config.seed);
    let mut said = CheckpointInfo::default();
    let Some(path) = &config.init_from else {
        return Ok((weights, said));
    };
    let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path(path.clone()))?;
    // Regions, classes and image size change a tensor or two; those start afresh.
    let expected = ModelConfig {
        regions: config.model.regions,
        classes: config.model.classes,
        image_size: config.model.image_size,
        schedule: config.model.schedule.clone(),
        ..checkpoint.config().clone()
    };
    if config.model != expected {
        bail!(
            "{} holds another network than the one to train; give the same --preset and network options.\n  there: {:?}\n  here:  {:?}",
            path.display(),
            checkpoint.config(),
            config.model
        );
    }
    // A checkpoint that only segments has no decoder. Anything else that is missing is an error.
    let whole = checkpoint.has_decoder();
    let there = checkpoint.config().parameters();
    let found: HashMap<String, Vec<f32>> = match whole {
        true => {
            let values = checkpoint.load()?;
            let cut = there.iter().map(|one| (one.name.clone(), values[one.range()].to_vec()));
            cut.collect()
        }
        false => {
            let segmenting = checkpoint.load_segmentation()?;
            let names = there.into_iter().map(|one| one.name);
            names
                .filter_map(|name| Some((name.clone(), segmenting.get(&name)?.0.to_vec())))
                .collect()
        }
    };
    let mut afresh = Vec::new();
    for parameter in config.model.parameters() {
        let range = parameter.range();
        match found.get(&parameter.name).filter(|values| values.len() == range.len()) {
            Some(values) => weights[range].copy_from_slice(values),
            None if whole || !parameter.name.starts_with(DECODER) => afresh.push(parameter.name),
            None => {}
        }
    }
    if !whole {
        afresh.push("the decoder".to_owned());
    }
    if !afresh.is_empty() {
        eprintln!("not in {}, start afresh: {}", path.display(), afresh.join(", "));
    }
    if checkpoint.config().regions == config.model.regions {
        said.foreground_regions = checkpoint.info().foreground_regions.clone();
        said.decoder = checkpoint.info().decoder.filter(|_| whole);
    }
    Ok((weights, said))
}

struct Run {
    directory: RunDirectory,
    config: RunConfig,
    learner: Learner,
    parallel: DataParallel,
    images: Arc<ImageCache>,
    held_out: HeldOut,
    maker: Arc<BatchMaker>,
    /// The step that this process began at, and what was said of the weights there.
    began: (u64, CheckpointInfo),
    /// The step whose weights are in the file of the best ones.
    published_best: Option<u64>,
}

impl Run {
    /// Makes everything that a run needs; its folder last.
    fn new(
        config: RunConfig,
        images: DataSet,
        weights: &[f32],
        teacher: Option<Arc<Teacher>>,
        began: (u64, CheckpointInfo),
        directory: impl FnOnce() -> Result<RunDirectory>,
    ) -> Result<Self> {
        let device = device(&config)?;
        let model = &config.model;
        let side = model.image_size;
        let schedule = NoiseSchedule::new(&model.schedule);
        let (training, held_out) = images.hold_out(config.data.held_out);
        let budget = config.options.cache_mib << 20;
        let shorter_side = BatchMaker::cached_side(side, &config.recipe.augmentation);
        let images = Arc::new(ImageCache::new(
            training,
            shorter_side,
            budget,
            config.options.max_broken,
        ));
        let held_out = ImageCache::new(held_out, shorter_side, budget, config.options.max_broken);
        let timestep = SEGMENTATION_TIMESTEP.min(schedule.timesteps());
        let held_out = HeldOut::new(
            &held_out,
            side,
            model.classes,
            &schedule,
            timestep,
            config.seed,
            teacher.as_deref(),
        )?;
        let maker = BatchMaker {
            seed: config.seed,
            side,
            classes: model.classes,
            schedule,
            recipe: config.recipe.clone(),
            teacher,
        };
        let devices: DeviceList = config.options.device.parse()?;
        let threads = devices.threads(config.options.threads);
        let precision = config.options.precision.0;
        let learner = Learner::new(model, &config.recipe, config.seed, weights, device, threads, precision)?;
        let common = Common {
            model,
            recipe: &config.recipe,
            seed: config.seed,
            precision,
        };
        let parallel = DataParallel::start(&devices, common, threads)?;
        Ok(Self {
            directory: directory()?,
            learner,
            parallel,
            images,
            held_out,
            maker: Arc::new(maker),
            began,
            published_best: None,
            config,
        })
    }

    fn train(mut self, mut running: RunningLoss, done: u64, signals: &Signals, json: bool) -> Result<Ending> {
        let recipe = self.config.recipe.clone();
        let options = self.config.options.clone();
        let total = recipe.total_steps();
        let mut reporter = Reporter::new(json, done, total);
        let loader_options = LoaderOptions {
            threads: options.input_threads,
            prefetch: options.prefetch,
        };
        let mut loader = Loader::start(self.maker.clone(), self.images.clone(), done, total, loader_options)?;
        let mut clock = Clock::new(&loader);
        let mut named_broken = 0;
        let mut step = done;
        // The last step with a checkpoint.
        let mut saved = done;
        while step < total {
            if signals.asked() && step == saved {
                return Ok(self.interrupted(&reporter, step));
            }
            let (phase_index, phase_step) = recipe.phase_at(step);
            let phase = &recipe.phases[phase_index];
            if phase_step == 0 {
                if let Some(before) = phase_index.checked_sub(1).filter(|_| phase.keeps_masks()) {
                    self.settle(&recipe.phases[before], phase)?;
                }
                self.learner.enter(phase_index, phase);
                reporter.note(&describe(phase, phase_index, recipe.phases.len()));
            }
            let Some(batch) = loader.next_batch()? else {
                bail!("the input ended before step {step}; see the messages above")
            };
            let outcome = self
                .parallel
                .step(&mut self.learner, batch, &recipe, phase_index, phase_step);
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(error) if error.is::<ReplicaError>() => {
                    reporter.finish();
                    // The weights are those of the step before.
                    if step > saved {
                        self.save(phase, phase_step, step, running, None)?;
                    }
                    let run = self.directory.path.display();
                    return Err(error.context(format!(
                        "step {} failed; go on from step {step} with `factorseg resume {run}`, or without that device with --device",
                        step + 1
                    )));
                }
                Err(error) => return Err(error),
            };
            step += 1;
            count(outcome.loss, &mut running, step)?;
            clock.images += recipe.batch_size as u64;
            reporter.step(step);
            for broken in self.images.broken().iter().skip(named_broken) {
                reporter.note(&format!(
                    "skipped broken image {}: {}",
                    broken.path.display(),
                    broken.reason
                ));
                named_broken += 1;
            }
            let last = step == total;
            if step % options.log_every.max(1) == 0 || last {
                let masks = outcome.masks.map(MaskBatch::figures);
                let metric = clock.metric(
                    &loader,
                    step,
                    phase,
                    phase_step,
                    &running,
                    self.images.broken().len(),
                    masks,
                );
                running = RunningLoss::default();
                self.directory.log(&metric)?;
                reporter.metric(&metric, total);
            }
            if options.sample_every > 0 && (step % options.sample_every == 0 || last) {
                self.sample(phase, phase_step, step, total, &mut reporter)?;
            }
            let interrupted = signals.asked();
            let planned = step % options.save_every.max(1) == 0 || last;
            if planned || interrupted {
                // Before it is scored: nothing can be said of such a network.
                state::finite(
                    self.learner.parameter_list(),
                    &self.learner.parameters(),
                    "the weights",
                    step,
                )?;
                // Where a run was interrupted must not decide which checkpoint is best.
                let score = if planned {
                    self.score(phase_index, phase, step, total, &mut reporter)?
                } else {
                    None
                };
                self.save(phase, phase_step, step, running, score)?;
                saved = step;
            }
            if interrupted && !last {
                return Ok(self.interrupted(&reporter, step));
            }
        }
        reporter.finish();
        eprintln!("done: {}", self.directory.newest_model().display());
        if let Some(best) = self.published_best {
            eprintln!("best: {} of step {best}", self.directory.best_model().display());
        }
        Ok(Ending::Done)
    }

    fn interrupted(&self, reporter: &Reporter, step: u64) -> Ending {
        reporter.finish();
        eprintln!(
            "saved at step {step}; go on with `factorseg resume {}`",
            self.directory.path.display()
        );
        Ending::Interrupted
    }
}
