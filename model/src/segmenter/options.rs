//! How images are segmented.

use factorseg_refine::{ColorModel, FillHoles};

use super::SegmentError;
use crate::config::ModelConfig;

/// The timestep that the paper segments at (Section 4.1).
pub const DEFAULT_TIMESTEP: usize = 30;

/// How images are segmented. May change between calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmenterOptions {
    /// Index of the class to condition on; `None` for no class.
    pub class: Option<usize>,
    /// Noise level, the paper's `t` in `1..=T`.
    pub timestep: usize,
    /// Seed of the noise. The noise depends on nothing else, so a still video has still masks.
    pub seed: u64,
    /// Noise draws that are averaged; the cost is proportional to it.
    pub samples: usize,
    /// Whether pixels are judged again by the colours of the picture's regions ([`ColorModel::refine`]).
    pub color_model: bool,
    /// Which holes in the object that finds are filled.
    pub fill_holes: FillHoles,
}

impl Default for SegmenterOptions {
    fn default() -> Self {
        Self {
            class: None,
            timestep: DEFAULT_TIMESTEP,
            seed: 0,
            samples: 1,
            color_model: true,
            fill_holes: FillHoles::Auto,
        }
    }
}

impl SegmenterOptions {
    /// The same for an engine whose masks motion judges, and the color model that goes to
    /// [`MotionModel::colors`](factorseg_refine::MotionModel::colors) then.
    pub fn without_colors(&self) -> (Self, Option<ColorModel>) {
        let colors = self.color_model.then(|| ColorModel::new(self.fill_holes));
        let alone = Self {
            color_model: false,
            ..self.clone()
        };
        (alone, colors)
    }

    /// Holds every option against what the network has.
    pub(super) fn check(&self, config: &ModelConfig) -> Result<(), SegmentError> {
        let error = |option, value: usize, expected: String| {
            Err(SegmentError::Option {
                option,
                value: value.to_string(),
                expected,
            })
        };
        let timesteps = config.schedule.timesteps;
        if !(1..=timesteps).contains(&self.timestep) {
            return error("timestep", self.timestep, format!("1 to {timesteps}"));
        }
        if !(1..=64).contains(&self.samples) {
            return error("samples", self.samples, "1 to 64".into());
        }
        match self.class {
            Some(class) if class >= config.classes => {
                let expected = match config.classes {
                    0 => "no class: the checkpoint is unconditional".into(),
                    classes => format!("0 to {}", classes - 1),
                };
                error("class", class, expected)
            }
            _ => Ok(()),
        }
    }
}
