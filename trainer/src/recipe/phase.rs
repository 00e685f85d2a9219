//! One phase of a recipe: noise levels, learning rate, and what the masks may do.

use serde::{Deserialize, Serialize};

use super::{Competition, MOST_STEPS, RecipeError};

/// What the masks are in a phase.
///
/// A zero head is a saddle point: all branches are equal, so the masks get no gradient and stay
/// `1/K` for ever. It has to be left by a random head, at once ([`MaskHead::Released`] in the
/// first phase, the paper's start) or when the denoiser is good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum MaskHead {
    /// Masks are `1/K` everywhere. The mask generator neither runs nor trains, and one branch
    /// stands for all (they are equal): a step costs a plain U-Net's.
    Uniform,
    /// The head starts the phase with random weights, then trains.
    Released {
        /// Standard deviation of the weights; unset: that of a default convolution,
        /// `1 / sqrt(3 * fan_in)`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        std: Option<f64>,
    },
    /// Trains on from where the phase before left it.
    Trained,
}

impl MaskHead {
    /// Whether the mask generator makes the masks.
    pub fn is_learned(&self) -> bool {
        matches!(self, Self::Released { .. } | Self::Trained)
    }
}

/// A value that moves through a phase, geometrically (straight on a logarithmic scale).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Value at the first step.
    pub from: f64,
    /// Value at the last step.
    pub to: f64,
}

impl Ramp {
    /// A value that stays.
    pub fn constant(value: f64) -> Self {
        Self { from: value, to: value }
    }

    /// Value at `step` of `steps`.
    pub fn at(&self, step: u64, steps: u64) -> f64 {
        if self.from == self.to || steps < 2 {
            return self.from;
        }
        let part = (step as f64 / (steps - 1) as f64).min(1.0);
        self.from * (self.to / self.from).powf(part)
    }
}

/// What happens to the mask generator's logits on the way to the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskShaping {
    /// Softmax temperature: logits are divided by it.
    pub temperature: Ramp,
    /// Regions are parts of larger ones, this many in a row of each: only what tells the parts of one apart is learned, and
    /// the sum of their masks stays. Unset: all regions compete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<usize>,
}

impl Default for MaskShaping {
    fn default() -> Self {
        Self {
            temperature: Ramp::constant(1.0),
            parts: None,
        }
    }
}

/// A stretch of training with fixed rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Short name, shown in the log.
    pub name: String,
    /// Optimizer steps.
    pub steps: u64,
    /// First and last timestep that are drawn (uniformly), 1-based as in Eq. 1.
    pub timesteps: (usize, usize),
    /// Learning rate after warm-up.
    pub learning_rate: f64,
    /// Learning rate at the end of the phase, reached on a cosine; unset: constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_learning_rate: Option<f64>,
    /// Steps over which the learning rate rises linearly from 0.
    #[serde(default)]
    pub warmup_steps: u64,
    /// Learning rate of the mask generator, in multiples of the others'.
    #[serde(default = "one")]
    pub mask_generator_factor: f64,
    /// Learning rate of everything but the mask generator, in multiples; 0 freezes it.
    #[serde(default = "one")]
    pub denoiser_factor: f64,
    /// Learning rate of embedding, encoder and middle block, in multiples of the denoiser's; 0 freezes them, so that the decoder
    /// learns alone where the mask generator is frozen, too.
    #[serde(default = "one")]
    pub encoder_factor: f64,
    /// What the mask generator does.
    pub mask_head: MaskHead,
    /// How logits become masks.
    #[serde(default)]
    pub masks: MaskShaping,
    /// Two regions compete to denoise hidden parts of the picture; unset: the paper's decoder (Eq. 6 and 7) on the whole
    /// picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub competition: Option<Competition>,
}

fn one() -> f64 {
    1.0
}

pub(super) type Check<'a> = dyn Fn(&str, String, bool, &'static str) -> Result<(), RecipeError> + 'a;

impl Phase {
    pub(super) fn validate(&self, check: &Check<'_>) -> Result<(), RecipeError> {
        let (first, last) = self.timesteps;
        check(
            "timesteps",
            format!("{:?}", self.timesteps),
            first >= 1 && first <= last,
            "[first, last] with 1 <= first <= last",
        )?;
        check(
            "steps",
            self.steps.to_string(),
            self.steps <= MOST_STEPS,
            "at most 1000000000",
        )?;
        let rate = |value: f64| value.is_finite() && (0.0..1.0).contains(&value);
        check(
            "learning_rate",
            self.learning_rate.to_string(),
            rate(self.learning_rate),
            "0 or more and less than 1",
        )?;
        if let Some(value) = self.final_learning_rate {
            check(
                "final_learning_rate",
                value.to_string(),
                rate(value),
                "0 or more and less than 1",
            )?;
        }
        for (field, value) in [
            ("mask_generator_factor", self.mask_generator_factor),
            ("denoiser_factor", self.denoiser_factor),
            ("encoder_factor", self.encoder_factor),
        ] {
            check(
                field,
                value.to_string(),
                value.is_finite() && (0.0..=1000.0).contains(&value),
                "0 to 1000",
            )?;
        }
        check(
            "denoiser_factor",
            self.denoiser_factor.to_string(),
            self.denoiser_factor > 0.0 || self.mask_head.is_learned() && self.mask_generator_factor > 0.0,
            "more than 0, as the mask generator does not learn either",
        )?;
        if let MaskHead::Released { std: Some(std) } = self.mask_head {
            check(
                "mask_head.released.std",
                std.to_string(),
                (1e-6..=1e3).contains(&std),
                "1e-6 to 1000 (a zero head never leaves uniform masks)",
            )?;
        }
        if let Some(competition) = &self.competition {
            competition.validate(check)?;
            check(
                "competition",
                format!("set beside mask_head {:?}", self.mask_head),
                self.mask_head.is_learned(),
                "learned masks: \"trained\" or \"released\"",
            )?;
        }
        if let Some(parts) = self.masks.parts {
            check(
                "masks.parts",
                parts.to_string(),
                parts > 1 && self.mask_head.is_learned() && self.competition.is_none(),
                "2 or more, with learned masks and without competition",
            )?;
        }
        let temperature = self.masks.temperature;
        check(
            "masks.temperature",
            format!("{} to {}", temperature.from, temperature.to),
            [temperature.from, temperature.to]
                .iter()
                .all(|t| (1e-6..=1e6).contains(t)),
            "numbers from 1e-6 to 1e6",
        )
    }

    /// What self-training leaves no room for.
    pub(super) fn validate_for_self_training(&self, check: &Check<'_>) -> Result<(), RecipeError> {
        check(
            "mask_head",
            format!("{:?} beside self_training", self.mask_head),
            self.mask_head.is_learned(),
            "\"trained\" or \"released\": there is nothing else to learn",
        )?;
        check(
            "competition or masks",
            "set beside self_training".to_owned(),
            self.competition.is_none() && self.masks == MaskShaping::default(),
            "neither: no branch denoises, and the teacher's masks are learned as they are",
        )
    }

    /// Whether masks are made by a mask generator that stays as it is.
    pub fn keeps_masks(&self) -> bool {
        self.mask_head == MaskHead::Trained && self.mask_generator_factor == 0.0
    }

    /// Learning rate at `step` (0-based) of the phase.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let warmup = if self.warmup_steps == 0 {
            1.0
        } else {
            ((step + 1) as f64 / self.warmup_steps as f64).min(1.0)
        };
        let rate = match self.final_learning_rate {
            Some(end) if self.steps > 1 => {
                let part = (step as f64 / (self.steps - 1) as f64).min(1.0);
                end + (self.learning_rate - end) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
            }
            _ => self.learning_rate,
        };
        rate * warmup
    }
}

#[cfg(test)]
mod tests;
