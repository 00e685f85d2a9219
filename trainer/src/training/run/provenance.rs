//! What a run's checkpoints say of their training: it follows from what the run began with and the phases since.

use factorseg_model::checkpoint::DecoderTraining;
use factorseg_model::{CheckpointInfo, WeightKind};

use super::config::{RunConfig, data_name};
use crate::recipe::{MaskHead, Phase};

/// What is said of the weights after `step` steps. `before` is what was said earlier in the run; `taught` are the foreground
/// regions of the run's teacher.
pub(super) fn described(
    config: &RunConfig,
    before: &CheckpointInfo,
    taught: Option<&[usize]>,
    step: u64,
) -> CheckpointInfo {
    let mut info = CheckpointInfo {
        classes: match config.model.classes {
            0 => Vec::new(),
            _ => config.data.classes.clone(),
        },
        step,
        dataset: data_name(&config.data.path),
        weights: WeightKind::Ema,
        ..before.clone()
    };
    let mut start = 0;
    for phase in &config.recipe.phases {
        // Phases that the weights have seen since; the last one goes on for as long as the run does.
        if step > start && before.step < start + phase.steps {
            let steps = (step - start).min(phase.steps);
            after(&mut info, phase, taught, config.model.regions, steps);
        }
        start += phase.steps;
    }
    info
}

/// What a phase changes, after so many steps of it.
fn after(info: &mut CheckpointInfo, phase: &Phase, taught: Option<&[usize]>, regions: usize, steps: u64) {
    let mask_learns = phase.mask_head.is_learned() && phase.mask_generator_factor > 0.0;
    if let MaskHead::Released { .. } | MaskHead::Uniform = phase.mask_head {
        info.foreground_regions.clear();
    }
    if let Some(competition) = &phase.competition {
        // Regions that compete have their parts from the start, and a student's are its teacher's.
        info.foreground_regions = competition.foreground_regions(regions).collect();
    } else if let Some(taught) = taught {
        info.foreground_regions = taught.to_vec();
    }
    let denoises = phase.competition.is_none() && taught.is_none();
    if denoises && phase.denoiser_factor > 0.0 {
        info.decoder = Some(DecoderTraining {
            masked: phase.mask_head.is_learned() || regions == 1,
            timesteps: phase.timesteps,
            steps,
        });
    } else if phase.denoiser_factor > 0.0 || mask_learns && info.decoder.is_some_and(|decoder| decoder.masked) {
        // The features or the masks that the decoder knew are gone.
        info.decoder = None;
    }
}

#[cfg(test)]
mod tests;
