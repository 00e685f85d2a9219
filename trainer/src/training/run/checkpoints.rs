//! What a run writes as it goes: scores, pictures and checkpoints.

use super::{PICTURED, Run, provenance};
use crate::recipe::Phase;
use crate::training::competition;
use crate::training::paper::export::export;
use crate::training::run::directory::Metric;
use crate::training::run::state::{self, Content, RunningLoss};
use crate::training::watching::best::{self, Score};
use crate::training::watching::monitor::MaskFigures;
use crate::training::watching::pictures::{mask_grid, scale};
use crate::training::watching::report::Reporter;
use anyhow::{Context, Result};

impl Run {
    /// The averaged weights with what the phase puts between logits and masks in the head.
    fn exported(&mut self, phase: &Phase, temperature: f64) -> Result<Vec<f32>> {
        let mut weights = self.learner.snapshot().average;
        if !phase.mask_head.is_learned() {
            return Ok(weights);
        }
        let statistics = match &phase.competition {
            Some(competition) => {
                let shares = competition::exported_shares(competition, self.config.model.regions);
                self.held_out.share_statistics(&mut self.learner, &weights, &shares)?
            }
            None => None,
        };
        export(
            self.learner.parameter_list(),
            &mut weights,
            temperature,
            statistics.as_deref(),
        );
        Ok(weights)
    }

    /// Before a phase in which masks stay: what does not learn goes on as the checkpoint has it.
    pub(super) fn settle(&mut self, before: &Phase, phase: &Phase) -> Result<()> {
        let exported = self.exported(before, before.masks.temperature.to)?;
        self.learner.settle(&self.config.recipe, phase, &exported);
        Ok(())
    }

    /// Scores the averaged network on the held-out images, and logs it.
    pub(super) fn score(
        &mut self,
        phase_index: usize,
        phase: &Phase,
        step: u64,
        total: u64,
        reporter: &mut Reporter,
    ) -> Result<Option<Score>> {
        if self.held_out.count == 0 {
            return Ok(None);
        }
        let weights = self.exported(phase, phase.masks.temperature.to)?;
        let masks = match phase.mask_head.is_learned() {
            true => Some(self.held_out.masks(&mut self.learner, &weights)?),
            false => None,
        };
        let score = best::score(
            &self.held_out,
            &mut self.learner,
            &weights,
            &self.config.model,
            (phase_index, phase),
            masks.as_deref(),
            self.config.seed,
        )?;
        if let Some(score) = score {
            let before = state::best(&self.directory.checkpoints())?;
            let metric = Metric::Checkpoint {
                step,
                loss: score.loss,
                collapsed: score.collapsed,
                best: before.is_none_or(|(_, best)| score.rank(&best).is_ge()),
            };
            self.directory.log(&metric)?;
            reporter.metric(&metric, total);
        }
        Ok(score)
    }

    pub(super) fn sample(
        &mut self,
        phase: &Phase,
        phase_step: u64,
        step: u64,
        total: u64,
        reporter: &mut Reporter,
    ) -> Result<()> {
        if self.held_out.count == 0 || !phase.mask_head.is_learned() {
            return Ok(());
        }
        let weights = self.exported(phase, phase.masks.temperature.at(phase_step, phase.steps))?;
        let masks = self.held_out.masks(&mut self.learner, &weights)?;
        let metric = Metric::HeldOut {
            step,
            masks: MaskFigures::of(&masks, self.held_out.count, self.config.model.regions),
        };
        self.directory.log(&metric)?;
        reporter.metric(&metric, total);
        let side = self.held_out.side;
        let shown = PICTURED.min(self.held_out.count);
        let regions = self.config.model.regions;
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

    pub(super) fn save(
        &mut self,
        phase: &Phase,
        phase_step: u64,
        step: u64,
        running: RunningLoss,
        score: Option<Score>,
    ) -> Result<()> {
        let exported = self.exported(phase, phase.masks.temperature.at(phase_step, phase.steps))?;
        self.write(step, &exported, running, score)?;
        self.publish(step)?;
        self.directory.draw_curves()
    }

    /// The checkpoint of step 0: what the run begins with, whatever becomes of where it came from.
    pub(super) fn save_start(&self) -> Result<()> {
        let weights = self.learner.snapshot().average;
        self.write(0, &weights, RunningLoss::default(), None)
    }

    fn write(&self, step: u64, exported: &[f32], running: RunningLoss, score: Option<Score>) -> Result<()> {
        let config = &self.config;
        let taught = self.maker.teacher.as_ref().map(|teacher| teacher.foreground_regions());
        let info = provenance::described(config, (self.began.0, &self.began.1), taught, step);
        let content = Content {
            step,
            exported,
            model: &config.model,
            info: &info,
            running,
            score,
        };
        let checkpoints = self.directory.checkpoints();
        state::save(&checkpoints, &self.learner, &content, config.options.keep)?;
        Ok(())
    }

    /// Puts the newest and the best weights under fixed names, for everything that only segments.
    pub(super) fn publish(&mut self, newest: u64) -> Result<()> {
        let checkpoints = self.directory.checkpoints();
        state::publish(&checkpoints, newest, &self.directory.newest_model())?;
        let best = state::best(&checkpoints)?.map(|(step, _)| step);
        if let Some(step) = best.filter(|_| best != self.published_best) {
            state::publish(&checkpoints, step, &self.directory.best_model())?;
        }
        self.published_best = best;
        Ok(())
    }
}
