//! What a run tells of itself: its phases, its loss, its speed.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::data::loader::Loader;
use crate::recipe::{MaskHead, Phase};
use crate::training::run::directory::Metric;
use crate::training::run::state::RunningLoss;
use crate::training::watching::monitor::MaskFigures;

/// The phase in words.
pub(super) fn describe(phase: &Phase, index: usize, phases: usize) -> String {
    let masks = match phase.mask_head {
        MaskHead::Uniform => "masks uniform",
        MaskHead::Released { .. } => "masks released",
        MaskHead::Trained => "masks trained",
    };
    let (first, last) = phase.timesteps;
    format!(
        "phase {}/{phases} {}: {} steps, t {first}..={last}, {masks}",
        index + 1,
        phase.name,
        phase.steps
    )
}

/// Adds the loss of `step` to the sums.
pub(super) fn count(loss: f32, running: &mut RunningLoss, step: u64) -> Result<()> {
    if !loss.is_finite() {
        bail!(
            "the loss is {loss} at step {step}; lower the learning rate or set gradient_clip in the recipe. \
             The checkpoint before is intact"
        );
    }
    running.sum += f64::from(loss);
    running.count += 1;
    Ok(())
}

/// Measures the rate between two lines of the log.
pub(super) struct Clock {
    since: Instant,
    waited: Duration,
    pub(super) images: u64,
}

impl Clock {
    pub(super) fn new(loader: &Loader) -> Self {
        Self {
            since: Instant::now(),
            waited: loader.waited(),
            images: 0,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a field of the line")]
    pub(super) fn metric(
        &mut self,
        loader: &Loader,
        step: u64,
        phase: &Phase,
        phase_step: u64,
        running: &RunningLoss,
        broken_images: usize,
        masks: Option<MaskFigures>,
    ) -> Metric {
        let elapsed = self.since.elapsed().as_secs_f64().max(1e-9);
        let waited = (loader.waited() - self.waited).as_secs_f64();
        let metric = Metric::Train {
            step,
            phase: phase.name.clone(),
            loss: running.sum / running.count.max(1) as f64,
            learning_rate: phase.learning_rate_at(phase_step),
            temperature: phase.masks.temperature.at(phase_step, phase.steps),
            images_per_second: self.images as f64 / elapsed,
            input_wait: waited / elapsed,
            broken_images,
            masks,
        };
        *self = Self {
            since: Instant::now(),
            waited: loader.waited(),
            images: 0,
        };
        metric
    }
}

#[cfg(test)]
mod tests;
