//! How to train: everything of a run that is not the network's size or the data.
//!
//! A [`Recipe`] is a list of [`Phase`]s. The paper's schedule is one phase; the schedules that
//! make small models segment on a small budget train the denoiser first and release the mask
//! generator later. Recipes are TOML (or JSON) files that can be copied and edited; some are built
//! in ([`BUILT_IN`]).

mod competition;
mod phase;
mod self_training;

use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use competition::{Competition, FrameEdges, Sight};
pub use phase::{MaskHead, MaskShaping, Phase, Ramp};
pub use self_training::{Labels, SelfTraining};

/// Recipes that the program carries: name and TOML text.
pub const BUILT_IN: [(&str, &str); 10] = [
    ("competition", include_str!("../../recipes/competition.toml")),
    ("decoder", include_str!("../../recipes/decoder.toml")),
    ("footage", include_str!("../../recipes/footage.toml")),
    ("paper-cub", include_str!("../../recipes/paper-cub.toml")),
    ("paper-ffhq", include_str!("../../recipes/paper-ffhq.toml")),
    ("paper-imagenet", include_str!("../../recipes/paper-imagenet.toml")),
    ("self-training", include_str!("../../recipes/self-training.toml")),
    ("supervised", include_str!("../../recipes/supervised.toml")),
    ("split", include_str!("../../recipes/split.toml")),
    ("two-phase", include_str!("../../recipes/two-phase.toml")),
];

/// The recipe of commands that are not told one.
pub const DEFAULT_RECIPE: &str = "competition";
/// Most images of a step.
pub const MOST_IMAGES: usize = 65_536;
/// Most steps of a phase, and of a run that is told their number.
pub const MOST_STEPS: u64 = 1_000_000_000;
/// Most phases.
const MOST_PHASES: usize = 1000;

/// Why a recipe cannot be used.
#[derive(Debug, Error)]
pub enum RecipeError {
    /// Neither a built-in name nor a file.
    #[error("no recipe named {name}, and no such file; built in are {}; `factorseg recipes NAME` prints one to start a file from", names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read recipe {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is no recipe.
    #[error("recipe {path} is not valid: {reason}")]
    Syntax {
        /// The file.
        path: String,
        /// Line, field and expectation, in the parser's words.
        reason: String,
    },
    /// A value makes no sense.
    #[error("recipe {recipe}: {field} is {value}; expected {expected}")]
    Value {
        /// Name of the recipe.
        recipe: String,
        /// Path of the field.
        field: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
}

fn names() -> Vec<&'static str> {
    BUILT_IN.iter().map(|(name, _)| *name).collect()
}

/// Adam's constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay; the paper uses none.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// Where the training square is cut from an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// The middle.
    Centre,
    /// Anywhere, uniformly.
    Random,
}

/// How images are varied.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// Where the square is cut.
    pub crop: Crop,
    /// Shorter side of the image before the cut, in multiples of the training side (1 or more).
    pub crop_scale: f64,
    /// Whether the square's side is drawn too, from the training side to the image's shorter one, and resampled.
    pub zoom: bool,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            flip: 0.5,
            crop: Crop::Centre,
            crop_scale: 1.0,
            zoom: false,
        }
    }
}

fn yes() -> bool {
    true
}

/// A whole training schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Short name, shown and stored with the run.
    pub name: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Images per optimizer step.
    pub batch_size: usize,
    /// Images per forward and backward pass; the gradients of a batch are summed over its
    /// micro-batches. Unset: the whole batch at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// Rate of the exponential moving average of the weights.
    pub ema_rate: f64,
    /// Whether the average follows faster at first, so that it forgets the random start; the paper's does not.
    #[serde(default = "yes")]
    pub ema_warmup: bool,
    /// Probability of training a sample with class `none`, in conditional models. 0, as in the paper: `none` is never trained, and
    /// checkpoints have the mean of all classes for it.
    #[serde(default)]
    pub label_dropout: f64,
    /// Largest norm of the whole gradient; unset: not limited, as in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f64>,
    /// Adam's constants.
    #[serde(default)]
    pub adam: AdamConfig,
    /// How images are varied.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// The masks are learned from a teacher's; unset: by denoising.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_training: Option<SelfTraining>,
    /// The phases, in order.
    pub phases: Vec<Phase>,
}

impl Recipe {
    /// Whether frames of videos are learned from what moves in them: [`SelfTraining::motion`].
    pub fn learns_from_motion(&self) -> bool {
        self.self_training.as_ref().is_some_and(|learns| learns.motion > 0.0)
    }

    /// The fewest regions that its competitions take, where it has any: those that it has where nothing else is said.
    pub fn competing_regions(&self) -> Option<usize> {
        let competitions = self.phases.iter().filter_map(|phase| phase.competition.as_ref());
        competitions.map(Competition::least_regions).max()
    }

    /// The labels that are learned, if any: [`SelfTraining::labels`].
    pub fn labels(&self) -> Option<&Labels> {
        self.self_training.as_ref()?.labels.as_ref()
    }

    /// A built-in recipe by name, or a recipe file (`.json` is JSON, anything else TOML).
    ///
    /// # Errors
    /// If there is neither, the text cannot be parsed, or a value is out of range.
    pub fn load(name_or_path: &str) -> Result<Self, RecipeError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            return Self::from_toml(name, text);
        }
        let path = Path::new(name_or_path);
        if !path.exists() {
            return Err(RecipeError::Unknown {
                name: name_or_path.to_owned(),
            });
        }
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read {
            path: name_or_path.to_owned(),
            source,
        })?;
        if path.extension().is_some_and(|extension| extension == "json") {
            let recipe: Self = serde_json::from_str(&text).map_err(|error| RecipeError::Syntax {
                path: name_or_path.to_owned(),
                reason: error.to_string(),
            })?;
            recipe.validate()?;
            Ok(recipe)
        } else {
            Self::from_toml(name_or_path, &text)
        }
    }

    fn from_toml(path: &str, text: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(text).map_err(|error| RecipeError::Syntax {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        recipe.validate()?;
        Ok(recipe)
    }

    /// Checks all values that do not depend on the model.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), RecipeError> {
        let unit = "a number from 0 to 1";
        self.check(
            "batch_size",
            self.batch_size,
            (1..=MOST_IMAGES).contains(&self.batch_size),
            "1 to 65536",
        )?;
        if let Some(size) = self.micro_batch {
            self.check(
                "micro_batch",
                size,
                size > 0 && size <= self.batch_size,
                "1 to batch_size",
            )?;
        }
        self.check(
            "ema_rate",
            self.ema_rate,
            (0.0..1.0).contains(&self.ema_rate),
            "0 or more and less than 1",
        )?;
        self.check(
            "label_dropout",
            self.label_dropout,
            (0.0..=1.0).contains(&self.label_dropout),
            unit,
        )?;
        if let Some(clip) = self.gradient_clip {
            self.check("gradient_clip", clip, (1e-9..=1e9).contains(&clip), "1e-9 to 1e9")?;
        }
        let adam = &self.adam;
        for (field, value) in [("adam.beta_1", adam.beta_1), ("adam.beta_2", adam.beta_2)] {
            self.check(field, value, (0.0..1.0).contains(&value), "0 or more and less than 1")?;
        }
        self.check(
            "adam.epsilon",
            adam.epsilon,
            (1e-30..=1.0).contains(&adam.epsilon),
            "1e-30 to 1",
        )?;
        self.check(
            "adam.weight_decay",
            adam.weight_decay,
            (0.0..1.0).contains(&adam.weight_decay),
            "0 or more and less than 1",
        )?;
        let augmentation = &self.augmentation;
        self.check(
            "augmentation.flip",
            augmentation.flip,
            (0.0..=1.0).contains(&augmentation.flip),
            unit,
        )?;
        self.check(
            "augmentation.crop_scale",
            augmentation.crop_scale,
            (1.0..=4.0).contains(&augmentation.crop_scale),
            "1 to 4",
        )?;
        self.check(
            "phases",
            self.phases.len(),
            (1..=MOST_PHASES).contains(&self.phases.len()),
            "1 to 1000 phases",
        )?;
        for (index, phase) in self.phases.iter().enumerate() {
            let check = |field: &str, value: String, ok: bool, expected| {
                self.check(
                    &format!("phases[{index}] ({}) {field}", phase.name),
                    value,
                    ok,
                    expected,
                )
            };
            phase.validate(&check)?;
            if self.self_training.is_some() {
                phase.validate_for_self_training(&check)?;
            }
        }
        if self.labels().is_some() {
            // Labels are packed at the training size and have nothing between them.
            self.check(
                "augmentation",
                "crops that resample",
                augmentation.crop_scale == 1.0 && !augmentation.zoom,
                "crop_scale = 1 and no zoom beside self_training.labels",
            )?;
        }
        match &self.self_training {
            Some(self_training) => {
                self_training.validate(&|field, value, ok, expected| self.check(field, value, ok, expected))
            }
            None => Ok(()),
        }
    }

    /// Checks the recipe against a noise schedule of `timesteps` steps.
    ///
    /// # Errors
    /// If a phase asks for timesteps that the schedule does not have.
    pub fn validate_for(&self, timesteps: usize) -> Result<(), RecipeError> {
        for (index, phase) in self.phases.iter().enumerate() {
            let (_, last) = phase.timesteps;
            self.check(
                &format!("phases[{index}] ({}) timesteps", phase.name),
                format!("{:?}", phase.timesteps),
                last <= timesteps,
                "timesteps within the model's noise schedule",
            )?;
            if let Some(competition) = &phase.competition {
                self.check(
                    &format!("phases[{index}] ({}) competition.timesteps", phase.name),
                    format!("{:?}", competition.timesteps),
                    competition.timesteps.1 <= timesteps,
                    "timesteps within the model's noise schedule",
                )?;
            }
        }
        Ok(())
    }

    /// Steps of all phases together.
    pub fn total_steps(&self) -> u64 {
        self.phases.iter().map(|phase| phase.steps).sum()
    }

    /// For a network of one region, the plain U-Net of DDPM: nothing is masked, and no mask generator runs.
    pub fn leave_out_masks(&mut self) {
        for phase in self.phases.iter_mut().filter(|phase| phase.competition.is_none()) {
            phase.mask_head = MaskHead::Uniform;
        }
    }

    /// Index of the phase with the most steps, the last of equals.
    pub fn longest_phase(&self) -> usize {
        let phases = self.phases.iter().enumerate();
        phases
            .max_by_key(|(_, phase)| phase.steps)
            .map_or(0, |(index, _)| index)
    }

    /// The phase that trains step `step` (0-based) and the step's index within it; the last phase
    /// beyond the end.
    pub fn phase_at(&self, step: u64) -> (usize, u64) {
        let mut start = 0;
        for (index, phase) in self.phases.iter().enumerate() {
            if step < start + phase.steps || index + 1 == self.phases.len() {
                return (index, step - start);
            }
            start += phase.steps;
        }
        (0, step)
    }

    /// Sets the total number of steps, stretching or shrinking all phases alike.
    pub fn scale_to(&mut self, steps: u64) {
        let total = self.total_steps().max(1);
        let mut done = 0;
        let mut before = 0;
        for phase in &mut self.phases {
            before += phase.steps;
            let end = (u128::from(before) * u128::from(steps) / u128::from(total)) as u64;
            phase.steps = end - done;
            done = end;
        }
    }

    fn check(&self, field: &str, value: impl ToString, ok: bool, expected: &'static str) -> Result<(), RecipeError> {
        if ok {
            return Ok(());
        }
        Err(RecipeError::Value {
            recipe: self.name.clone(),
            field: field.to_owned(),
            value: value.to_string(),
            expected,
        })
    }
}

#[cfg(test)]
mod tests;
