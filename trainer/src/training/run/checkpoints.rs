//! What a run writes as it goes: scores, pictures and checkpoints.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use factorseg_kernels::Snapshot;
use factorseg_model::{CheckpointInfo, NoiseSchedule};

use super::writer::Writer;
use super::{PICTURED, provenance};
use crate::data::cache::ImageCache;
use crate::data::teacher::Teacher;
use crate::recipe::Phase;
use crate::training::competition;
use crate::training::learner::Learner;
use crate::training::paper::export::{export, mean_class};
use crate::training::run::SEGMENTATION_TIMESTEP;
use crate::training::run::config::RunConfig;
use crate::training::run::directory::{Metric, RunDirectory};
use crate::training::run::state::{self, Content, RunningLoss, StateError};
use crate::training::watching::best::{self, Score};
use crate::training::watching::held_out::HeldOut;
use crate::training::watching::monitor::MaskFigures;
use crate::training::watching::pictures::{mask_grid, scale};
use crate::training::watching::report::Reporter;

/// Where a run stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Index of the phase.
    pub(super) index: usize,
    pub(super) phase: &'a Phase,
    /// Steps of the phase before the last one.
    pub(super) phase_step: u64,
    /// Finished steps of all.
    pub(super) step: u64,
}

/// A run's folder, and what is said of the weights that it begins with.
pub(super) type Beginning = (RunDirectory, CheckpointInfo);

/// The folder of a run and what is measured for it.
pub(super) struct Record {
    pub(super) directory: RunDirectory,
    pub(super) reporter: Reporter,
    held_out: HeldOut,
    /// Regions that are the foreground, in self-training.
    taught: Option<Vec<usize>>,
    /// What was said of the weights that this process began with.
    began: CheckpointInfo,
    writer: Writer,
    /// Of the whole run.
    total: u64,
}

impl Record {
    pub(super) fn new(
        config: &RunConfig,
        held_out: &ImageCache,
        teacher: Option<&Arc<Teacher>>,
        json: bool,
        begin: impl FnOnce() -> Result<Beginning>,
    ) -> Result<Self> {
        let model = &config.model;
        let schedule = NoiseSchedule::new(&model.schedule);
        let timestep = SEGMENTATION_TIMESTEP.min(schedule.timesteps());
        let teacher = teacher.map(Arc::as_ref);
        let held_out = HeldOut::new(
            held_out,
            model.image_size,
            model.classes,
            &schedule,
            timestep,
            config.seed,
            teacher,
        )?;
        let total = config.recipe.total_steps();
        let (directory, began) = begin()?;
        Ok(Self {
            directory,
            reporter: Reporter::new(json, total),
            held_out,
            taught: teacher.map(|teacher| teacher.foreground_regions().to_vec()),
            began,
            writer: Writer::default(),
            total,
        })
    }

    /// The averaged weights with what the phase puts between logits and masks in the head.
    fn exported(
        &self,
        learner: &mut Learner,
        config: &RunConfig,
        phase: &Phase,
        temperature: f64,
        mut weights: Vec<f32>,
    ) -> Result<Vec<f32>> {
        if config.recipe.label_dropout == 0.0 {
            mean_class(learner.parameter_list(), &mut weights);
        }
        if !phase.mask_head.is_learned() {
            return Ok(weights);
        }
        let statistics = match &phase.competition {
            Some(competition) => {
                let shares = competition::exported_shares(competition, config.model.regions);
                self.held_out.share_statistics(learner, &weights, &shares)?
            }
            None => None,
        };
        export(
            learner.parameter_list(),
            &mut weights,
            temperature,
            statistics.as_deref(),
        );
        Ok(weights)
    }

    /// Before a phase in which masks stay: what does not learn goes on as the checkpoint has it.
    pub(super) fn settle(
        &self,
        learner: &mut Learner,
        config: &RunConfig,
        before: &Phase,
        phase: &Phase,
    ) -> Result<()> {
        let average = learner.snapshot()?.average;
        let exported = self.exported(learner, config, before, before.masks.temperature.to, average)?;
        Ok(learner.settle(&config.recipe, phase, &exported)?)
    }

    /// Logs a line.
    pub(super) fn log(&mut self, metric: &Metric) -> Result<()> {
        self.directory.log(metric)?;
        self.reporter.metric(metric, self.total);
        Ok(())
    }

    /// Scores the averaged network on the held-out images, and logs it.
    pub(super) fn score(
        &mut self,
        learner: &mut Learner,
        config: &RunConfig,
        place: Place<'_>,
        average: &[f32],
    ) -> Result<Option<Score>> {
        if self.held_out.count == 0 {
            return Ok(None);
        }
        let phase = place.phase;
        let weights = self.exported(learner, config, phase, phase.masks.temperature.to, average.to_vec())?;
        let masks = match phase.mask_head.is_learned() {
            true => Some(self.held_out.masks(learner, &weights)?),
            false => None,
        };
        let score = best::score(
            &self.held_out,
            learner,
            &weights,
            &config.model,
            (place.index, phase),
            masks.as_deref(),
            config.seed,
        )?;
        if let Some(score) = score {
            // The checkpoint before may be the best one.
            self.writer.finish()?;
            let before = state::best(&self.directory.checkpoints())?;
            self.log(&Metric::Checkpoint {
                step: place.step,
                loss: score.loss,
                collapsed: score.collapsed,
                best: before.is_none_or(|(_, best)| score.rank(&best).is_ge()),
            })?;
        }
        Ok(score)
    }

    /// Draws the averaged network's masks of held-out images, and logs their figures.
    pub(super) fn sample(&mut self, learner: &mut Learner, config: &RunConfig, place: Place<'_>) -> Result<()> {
        let Place { phase, step, .. } = place;
        if self.held_out.count == 0 || !phase.mask_head.is_learned() {
            return Ok(());
        }
        let temperature = phase.masks.temperature.at(place.phase_step, phase.steps);
        let average = learner.snapshot()?.average;
        let weights = self.exported(learner, config, phase, temperature, average)?;
        let masks = self.held_out.masks(learner, &weights)?;
        let regions = config.model.regions;
        self.log(&Metric::HeldOut {
            step,
            masks: MaskFigures::of(&masks, self.held_out.count, regions),
        })?;
        let side = self.held_out.side;
        let shown = PICTURED.min(self.held_out.count);
        let grid = mask_grid(
            &self.held_out.images[..shown * 3 * side * side],
            &masks[..shown * regions * side * side],
            side,
            regions,
            scale(side),
        );
        let path = self.directory.sample(step);
        grid.save(&path)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes the checkpoint of step 0: what the run begins with, whatever becomes of where it came from.
    pub(super) fn save_start(&self, learner: &Learner, config: &RunConfig) -> Result<()> {
        let snapshot = learner.snapshot()?;
        let exported = snapshot.average.clone();
        let content = self.content(config, 0, snapshot, exported);
        Ok(state::save(
            &self.directory.checkpoints(),
            &content,
            config.options.keep,
        )?)
    }

    /// Begins to write a checkpoint, which [`Self::finish`] waits for.
    pub(super) fn save(
        &mut self,
        learner: &mut Learner,
        config: &RunConfig,
        place: Place<'_>,
        snapshot: Snapshot,
        running: RunningLoss,
        score: Option<Score>,
    ) -> Result<()> {
        let Place { phase, step, .. } = place;
        let temperature = phase.masks.temperature.at(place.phase_step, phase.steps);
        let exported = self.exported(learner, config, phase, temperature, snapshot.average.clone())?;
        let content = Content {
            running,
            score,
            ..self.content(config, step, snapshot, exported)
        };
        let (checkpoints, keep) = (self.directory.checkpoints(), config.options.keep);
        let (newest, best) = (self.directory.newest_model(), self.directory.best_model());
        self.writer.start(move || {
            state::save(&checkpoints, &content, keep)?;
            Ok(publish(&checkpoints, content.step, &newest, &best)?)
        })?;
        self.directory.draw_curves()
    }

    fn content(&self, config: &RunConfig, step: u64, snapshot: Snapshot, exported: Vec<f32>) -> Content {
        Content {
            step,
            snapshot,
            exported,
            model: config.model.clone(),
            info: provenance::described(config, &self.began, self.taught.as_deref(), step),
            running: RunningLoss::default(),
            score: None,
        }
    }

    /// Puts the weights of the newest checkpoint, which is that of `step`, and of the best one under fixed names.
    pub(super) fn publish(&self, step: u64) -> Result<()> {
        let (newest, best) = (self.directory.newest_model(), self.directory.best_model());
        Ok(publish(&self.directory.checkpoints(), step, &newest, &best)?)
    }

    /// Whether writing has failed so far.
    pub(super) fn check(&mut self) -> Result<()> {
        self.writer.check()
    }

    /// Waits until everything is written.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.reporter.finish();
        self.writer.finish()
    }
}

/// Puts the newest and the best weights under fixed names, for everything that only segments.
fn publish(checkpoints: &Path, step: u64, newest: &Path, best: &Path) -> Result<(), StateError> {
    state::publish(checkpoints, step, newest)?;
    match state::best(checkpoints)? {
        Some((step, _)) => state::publish(checkpoints, step, best),
        None => Ok(()),
    }
}
