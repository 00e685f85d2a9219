//! A training run from its first step, or from its newest checkpoint, to its end.

mod checkpoints;
pub mod config;
pub mod directory;
mod progress;
mod provenance;
pub mod signals;
pub mod state;
mod weights;
mod writer;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use factorseg_kernels::KernelError;
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::{CheckpointInfo, CheckpointSource, Device, NoiseSchedule};

use super::learner::Learner;
use super::memory;
use super::paper::initial_weights;
use super::parallel::Ranks;
use super::self_training;
use crate::data::batch::BatchMaker;
use crate::data::cache::ImageCache;
use crate::data::dataset::DataSet;
use crate::data::loader::{Loader, LoaderOptions};
use crate::data::share::Share;
use crate::data::source::Source;
use crate::data::teacher::Teacher;
use checkpoints::{Beginning, Place, Record};
use config::{DataDescription, RunConfig};
use directory::RunDirectory;
use progress::{Clock, count, describe};
use signals::{Answer, Signals};
use state::RunningLoss;
use weights::starting_weights;

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

/// Starts a run in the new folder `path`, which is written once everything that a run needs is there, on all ranks.
///
/// # Errors
/// If the data, the device, or the folder cannot be used, the loss is no longer finite, or
/// something cannot be written.
pub fn start(
    path: &Path,
    config: RunConfig,
    images: DataSet,
    signals: &Signals,
    json: bool,
    ranks: &Ranks,
) -> Result<Ending> {
    RunDirectory::refuse_existing(path)?;
    let device = device(&config, ranks)?;
    let (teacher, checkpoint) = self_training::checked(&config)?.unzip();
    let (weights, said) = match ranks.lead() {
        true => starting_weights(&config)?,
        false => (initial_weights(&config.model, config.seed), CheckpointInfo::default()),
    };
    let mut run = Run::new(config, images, (&weights, device), teacher, ranks, json, || {
        signals.answer(Answer::SAVE);
        let directory = RunDirectory::create(path)?;
        if let Some(checkpoint) = checkpoint.flatten() {
            self_training::store(&directory, &checkpoint)?;
        }
        Ok((directory, said))
    })?;
    signals.answer(Answer::SAVE);
    if let Some(record) = &run.record {
        record.save_start(&run.learner, &run.config)?;
        record.directory.store_config(&run.config)?;
    }
    run.take_over()?;
    run.train(RunningLoss::default(), 0, signals)
        .map_err(|error| with_way_out(error, device, path))
}

/// Goes on with the run in the folder `path`, which rank 0 has opened as `directory`, on `data` if it has moved.
///
/// # Errors
/// As [`start`], and if the newest checkpoint is damaged or the data has changed.
pub fn resume(
    path: &Path,
    directory: Option<RunDirectory>,
    mut config: RunConfig,
    data: Option<&str>,
    signals: &Signals,
    json: bool,
    ranks: &Ranks,
) -> Result<Ending> {
    config.validate()?;
    let device = device(&config, ranks)?;
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
    let weights = initial_weights(&config.model, config.seed);
    let teacher = match (self_training::of_labels(&config), &config.recipe.self_training) {
        (Some(labels), _) => Some(labels),
        (None, Some(_)) => Some(self_training::load(&directory::teacher(path), &config.model)?),
        (None, None) => None,
    };
    let checkpoints = directory::checkpoints(path);
    let mut run = Run::new(config, images, (&weights, device), teacher, ranks, json, || {
        let newest = Checkpoint::open(&CheckpointSource::from_path(state::newest(&checkpoints)?))?;
        let directory = directory.context("the first rank opens the run")?;
        Ok((directory, newest.info().clone()))
    })?;
    let read = || state::read(&state::newest(&checkpoints)?);
    let restored = state::decode(&checkpoints, &ranks.from_lead(read)?, &mut run.learner)?;
    signals.answer(Answer::SAVE);
    if let Some(record) = &mut run.record {
        record.directory.store_config(&run.config)?;
        record.directory.rewind(restored.step)?;
        // A run that was killed may have a checkpoint that is not out yet.
        if restored.step > 0 {
            record.publish(restored.step)?;
        }
        eprintln!("resuming {} at step {}", path.display(), restored.step);
    }
    run.train(restored.running, restored.step, signals)
        .map_err(|error| with_way_out(error, device, path))
}

/// The device of this rank; the CPU only if the run fits into memory.
fn device(config: &RunConfig, ranks: &Ranks) -> Result<Device> {
    let device = ranks.device(config.options.device.parse()?)?;
    if device == Device::Cpu {
        memory::check(config)?;
    }
    Ok(device)
}

/// A device that fails takes the steps since the newest checkpoint of the run in `path` with it: its error says how to go on.
fn with_way_out(error: anyhow::Error, device: Device, path: &Path) -> anyhow::Error {
    let fails = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref::<KernelError>(), Some(KernelError::Device(_)))
    };
    match error.chain().any(fails) {
        true => anyhow!(
            "training failed on {device}: {error:#}; the newest checkpoint is whole: go on with `factorseg resume {}`",
            path.display()
        ),
        false => error,
    }
}

/// What differs where one bit of the values does.
fn fingerprint(values: &[f32]) -> u64 {
    let mix = |hash: u64, value: &f32| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
    values.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

struct Run<'a> {
    config: RunConfig,
    learner: Learner,
    ranks: &'a Ranks,
    images: Arc<ImageCache>,
    maker: Arc<BatchMaker>,
    /// On rank 0.
    record: Option<Record>,
}

impl<'a> Run<'a> {
    /// Makes everything that a run needs; its folder last, once all ranks have come so far.
    fn new(
        config: RunConfig,
        images: DataSet,
        (weights, device): (&[f32], Device),
        teacher: Option<Arc<Teacher>>,
        ranks: &'a Ranks,
        json: bool,
        begin: impl FnOnce() -> Result<Beginning>,
    ) -> Result<Self> {
        let model = &config.model;
        let (training, held_out) = images.hold_out(config.data.held_out);
        let shorter_side = BatchMaker::cached_side(model.image_size, &config.recipe.augmentation);
        let (budget, most_broken) = (config.options.cache_mib << 20, config.options.max_broken);
        let cache = |images| ImageCache::new(images, shorter_side, budget, most_broken);
        let threads = ranks.threads(config.options.threads);
        let precision = config.options.precision.0;
        let mut learner = Learner::new(model, &config.recipe, config.seed, weights, device, threads, precision)?;
        ranks.connect(device, &mut learner)?;
        let alike = serde_json::to_vec(&(config.seed, model, &config.recipe, &config.data.fingerprint))?;
        let unlike = ranks.unlike(|| anyhow::Ok(crc32fast::hash(&alike).into()))?;
        ensure!(
            unlike.is_empty(),
            "ranks {unlike:?} have other pictures or options than rank 0: give all ranks the same command line, and the same data \
             under its path"
        );
        let parts = config
            .recipe
            .batch_size
            .div_ceil(config.recipe.micro_batch.unwrap_or(config.recipe.batch_size));
        if ranks.lead() && parts < ranks.share.count {
            eprintln!(
                "warning: a step has {parts} micro-batches for {} processes: the others only wait",
                ranks.share.count
            );
        }
        let record = match ranks.lead() {
            true => Some(Record::new(&config, &cache(held_out), teacher.as_ref(), json, begin)?),
            false => None,
        };
        let maker = BatchMaker {
            seed: config.seed,
            side: model.image_size,
            classes: model.classes,
            schedule: NoiseSchedule::new(&model.schedule),
            recipe: config.recipe.clone(),
            share: ranks.share,
            teacher,
        };
        Ok(Self {
            learner,
            ranks,
            images: Arc::new(cache(training)),
            maker: Arc::new(maker),
            record,
            config,
        })
    }

    /// Gives the state of rank 0 to all.
    fn take_over(&mut self) -> Result<()> {
        if self.ranks.share == Share::WHOLE {
            return Ok(());
        }
        let learner = &self.learner;
        let bytes = self.ranks.from_lead(|| {
            let snapshot = learner.snapshot()?;
            state::encode(0, learner.parameter_list(), &snapshot, RunningLoss::default())
                .map_err(|reason| anyhow!(reason))
        })?;
        state::decode("of rank 0".as_ref(), &bytes, &mut self.learner)?;
        Ok(())
    }

    fn train(mut self, mut running: RunningLoss, done: u64, signals: &Signals) -> Result<Ending> {
        let recipe = self.config.recipe.clone();
        let options = self.config.options.clone();
        let total = recipe.total_steps();
        if let Some(record) = &self.record {
            record.reporter.begin(done);
        }
        let loader_options = LoaderOptions {
            threads: options.input_threads,
            prefetch: options.prefetch,
        };
        let mut loader = Loader::start(self.maker.clone(), self.images.clone(), done, total, loader_options)?;
        let mut clock = Clock::new(&loader);
        let mut named_broken = 0;
        let mut step = done;
        let mut interrupted = self.ranks.any(signals.asked());
        while step < total && !interrupted {
            let (index, phase_step) = recipe.phase_at(step);
            let phase = &recipe.phases[index];
            if phase_step == 0 {
                if let Some(before) = index.checked_sub(1).filter(|_| phase.keeps_masks()) {
                    if let Some(record) = &self.record {
                        record.settle(&mut self.learner, &self.config, &recipe.phases[before], phase)?;
                    }
                    self.take_over()?;
                }
                self.learner.enter(index, phase)?;
                self.note(&describe(phase, index, recipe.phases.len()), false);
            }
            let Some(batch) = loader.next_batch()? else {
                bail!("the input ended before step {step}; see the messages above")
            };
            let outcome = self.ranks.step(&mut self.learner, &batch, &recipe, index, phase_step)?;
            step += 1;
            count(outcome.loss, &mut running, step)?;
            clock.images += recipe.batch_size as u64;
            let broken = self.images.broken();
            for broken in &broken[named_broken..] {
                let path = broken.path.display();
                self.note(&format!("skipped broken image {path}: {}", broken.reason), true);
            }
            named_broken = broken.len();
            let last = step == total;
            let place = Place {
                index,
                phase,
                phase_step,
                step,
            };
            let logged = step % options.log_every.max(1) == 0 || last;
            if let Some(record) = &mut self.record {
                record.check()?;
                record.reporter.step(step);
                if logged {
                    let masks = outcome.masks.map(|masks| masks.figures());
                    let metric = clock.metric(&loader, step, phase, phase_step, &running, named_broken, masks);
                    record.log(&metric)?;
                }
                if options.sample_every > 0 && (step % options.sample_every == 0 || last) {
                    record.sample(&mut self.learner, &self.config, place)?;
                }
            }
            if logged {
                running = RunningLoss::default();
            }
            interrupted = self.ranks.any(signals.asked());
            let planned = step % options.save_every.max(1) == 0 || last;
            if planned || interrupted {
                self.checkpoint(place, running, planned)?;
            }
            interrupted &= !last;
        }
        // All ranks end together, with everything written.
        self.ranks.first_lead(|| match &mut self.record {
            Some(record) => record.finish(),
            None => Ok(()),
        })?;
        let Some(record) = &self.record else {
            return Ok(if interrupted { Ending::Interrupted } else { Ending::Done });
        };
        if interrupted {
            let run = record.directory.path.display();
            eprintln!("saved at step {step}; go on with `factorseg resume {run}`");
            return Ok(Ending::Interrupted);
        }
        eprintln!("done: {}", record.directory.newest_model().display());
        if let Some((best, _)) = state::best(&record.directory.checkpoints())? {
            eprintln!("best: {} of step {best}", record.directory.best_model().display());
        }
        Ok(Ending::Done)
    }

    /// Writes a checkpoint, with a score where it was planned: where a run was interrupted must not decide which is best.
    fn checkpoint(&mut self, place: Place<'_>, running: RunningLoss, scored: bool) -> Result<()> {
        let unlike = self
            .ranks
            .unlike(|| self.learner.parameters().map(|values| fingerprint(&values)))?;
        if !unlike.is_empty() {
            self.note(
                &format!("the weights of ranks {unlike:?} have drifted: they take over those of rank 0"),
                false,
            );
            self.take_over()?;
        }
        let Some(record) = &mut self.record else { return Ok(()) };
        let snapshot = self.learner.snapshot()?;
        // Before it is scored: nothing can be said of such a network.
        state::finite(self.learner.parameter_list(), &snapshot.raw, "the weights", place.step)?;
        let score = match scored {
            true => record.score(&mut self.learner, &self.config, place, &snapshot.average)?,
            false => None,
        };
        record.save(&mut self.learner, &self.config, place, snapshot, running, score)
    }

    /// A note for people: of this rank if each has its own, else of rank 0.
    fn note(&self, text: &str, each: bool) {
        match &self.record {
            Some(record) => record.reporter.note(text),
            None if each => eprintln!("{}: {text}", self.ranks.name()),
            None => {}
        }
    }
}
