//! One phase of a recipe: noise levels, learning rate, and what the masks may do.

use factorseg_model::NoiseSchedule;
use serde::{Deserialize, Serialize};

use super::{Competition, RecipeError};

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
    /// Masks are random partitions that nothing learns: the decoder gets used to regions. The
    /// mask generator neither runs nor trains.
    RandomPartition {
        /// Masks are blended with uniform ones by a weight drawn from 0 to this, for each image.
        #[serde(default)]
        softness: f64,
    },
    /// The head starts the phase with random weights, then trains.
    Released {
        /// Standard deviation of the weights; unset: that of a default convolution,
        /// `1 / sqrt(3 * fan_in)`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        std: Option<f64>,
        /// Whether the rest of the mask generator starts from the decoder's weights, which have
        /// the same shape and already see the picture.
        #[serde(default)]
        from_decoder: bool,
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

/// Normalisation of the region logits before the softmax, per region to mean 0 and variance 1.
///
/// Before it, the mean over regions is taken out at every pixel (the softmax does not see it), and
/// no gradient reaches a picture's own offset. Mean and deviation over the held-out images become
/// part of the head when a checkpoint is written, so the saved model is the plain network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// Logits as they are.
    #[default]
    None,
    /// Statistics over the batch and all pixels.
    Batch,
    /// Only the mean is taken out, over the batch and all pixels.
    BatchCentre,
}

/// How much the loss of an image counts, by its noise level. The paper's (Eq. 8) is [`NoiseWeighting::Uniform`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NoiseWeighting {
    /// All noise levels alike.
    #[default]
    Uniform,
    /// Min-SNR-gamma (Hang et al. 2023) for a network that predicts the noise: `min(SNR, gamma) / SNR` with
    /// `SNR = alpha_bar / (1 - alpha_bar)`. Low noise counts less.
    MinSnr {
        /// The SNR from which on an image counts less; the authors take 5.
        gamma: f64,
    },
}

impl NoiseWeighting {
    /// Weight of an image at `timestep`.
    pub fn weight(&self, schedule: &NoiseSchedule, timestep: usize) -> f64 {
        match self {
            Self::Uniform => 1.0,
            Self::MinSnr { gamma } => {
                let alpha_bar = schedule.alpha_bar(timestep);
                // min(SNR, gamma) / SNR without dividing by an SNR of 0.
                (gamma * (1.0 - alpha_bar) / alpha_bar).min(1.0)
            }
        }
    }

    /// Weights of images at their timesteps; `None` where all are 1.
    pub fn weights(&self, schedule: &NoiseSchedule, timesteps: &[i32]) -> Option<Vec<f32>> {
        if *self == Self::Uniform {
            return None;
        }
        let weights = timesteps
            .iter()
            .map(|timestep| self.weight(schedule, *timestep as usize) as f32);
        Some(weights.collect())
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
    /// Normalisation of the logits.
    pub normalise: Normalisation,
    /// Softmax temperature: logits are divided by it.
    pub temperature: Ramp,
    /// Part of one-hot masks in the forward pass, 0 (soft) to 1 (hard); backward it is always the
    /// soft masks' gradient (straight-through).
    pub hard: f64,
    /// Scale of the Gumbel noise that is added to the logits before the softmax.
    pub gumbel: f64,
}

impl Default for MaskShaping {
    fn default() -> Self {
        Self {
            normalise: Normalisation::None,
            temperature: Ramp::constant(1.0),
            hard: 0.0,
            gumbel: 0.0,
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
    /// How much the loss of an image counts, by its noise level.
    #[serde(default, skip_serializing_if = "is_uniform")]
    pub noise_weighting: NoiseWeighting,
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
    /// What the mask generator does.
    pub mask_head: MaskHead,
    /// Probability, for each image, that the decoder does not see `h_mid`: the path by which every
    /// branch sees the whole picture.
    #[serde(default)]
    pub middle_dropout: f64,
    /// Forgets Adam's moments at the start of the phase.
    #[serde(default)]
    pub reset_optimizer: bool,
    /// How logits become masks.
    #[serde(default)]
    pub masks: MaskShaping,
    /// Two regions compete to denoise hidden parts of the picture; unset: the paper's decoder (Eq. 6 and 7) on the whole
    /// picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub competition: Option<Competition>,
}

fn is_uniform(weighting: &NoiseWeighting) -> bool {
    *weighting == NoiseWeighting::Uniform
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
        if let MaskHead::Released { std: Some(std), .. } = self.mask_head {
            check(
                "mask_head.released.std",
                std.to_string(),
                std.is_finite() && std > 0.0,
                "more than 0 (a zero head never leaves uniform masks)",
            )?;
        }
        let unit = "a number from 0 to 1";
        let mut fractions = vec![("middle_dropout", self.middle_dropout), ("masks.hard", self.masks.hard)];
        if let MaskHead::RandomPartition { softness } = self.mask_head {
            fractions.push(("mask_head.random-partition.softness", softness));
        }
        for (field, value) in fractions {
            check(field, value.to_string(), (0.0..=1.0).contains(&value), unit)?;
        }
        check(
            "masks.gumbel",
            self.masks.gumbel.to_string(),
            (0.0..=10.0).contains(&self.masks.gumbel),
            "a number from 0 to 10",
        )?;
        if let NoiseWeighting::MinSnr { gamma } = self.noise_weighting {
            check(
                "noise_weighting.min-snr.gamma",
                gamma.to_string(),
                gamma.is_finite() && gamma > 0.0,
                "more than 0",
            )?;
        }
        if let Some(competition) = &self.competition {
            competition.validate(check)?;
            check(
                "noise_weighting",
                format!("{:?} beside competition", self.noise_weighting),
                is_uniform(&self.noise_weighting),
                "\"uniform\" there: hidden and seen pixels of a picture have different noise levels",
            )?;
            let plain = MaskShaping {
                temperature: self.masks.temperature,
                ..MaskShaping::default()
            };
            check(
                "competition",
                format!("set beside mask_head {:?} and masks {:?}", self.mask_head, self.masks),
                self.mask_head.is_learned() && self.masks == plain && self.middle_dropout == 0.0,
                "learned masks, shaped by their temperature alone, and no middle_dropout",
            )?;
        }
        let temperature = self.masks.temperature;
        check(
            "masks.temperature",
            format!("{} to {}", temperature.from, temperature.to),
            [temperature.from, temperature.to]
                .iter()
                .all(|t| t.is_finite() && *t > 0.0),
            "numbers above 0",
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
            "competition, masks, middle_dropout or noise_weighting",
            "set beside self_training".to_owned(),
            self.competition.is_none()
                && self.masks == MaskShaping::default()
                && self.middle_dropout == 0.0
                && is_uniform(&self.noise_weighting),
            "none of them: no branch denoises, and the teacher's masks are learned as they are",
        )
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
mod tests {
    use super::*;
    use factorseg_model::ScheduleConfig;

    fn phase() -> Phase {
        Phase {
            name: "only".into(),
            steps: 101,
            timesteps: (1, 1000),
            noise_weighting: NoiseWeighting::default(),
            learning_rate: 2e-4,
            final_learning_rate: None,
            warmup_steps: 0,
            mask_generator_factor: 1.0,
            denoiser_factor: 1.0,
            mask_head: MaskHead::Trained,
            middle_dropout: 0.0,
            reset_optimizer: false,
            masks: MaskShaping::default(),
            competition: None,
        }
    }

    #[test]
    fn learning_rate_warms_up_and_decays() {
        let warm = Phase {
            warmup_steps: 4,
            ..phase()
        };
        assert_eq!(
            [0, 1, 3, 4, 50].map(|s| warm.learning_rate_at(s)),
            [0.5e-4, 1e-4, 2e-4, 2e-4, 2e-4]
        );
        let decaying = Phase {
            final_learning_rate: Some(0.0),
            ..phase()
        };
        assert_eq!(decaying.learning_rate_at(0), 2e-4);
        assert!((decaying.learning_rate_at(50) - 1e-4).abs() < 1e-12);
        assert!(decaying.learning_rate_at(100).abs() < 1e-12);
    }

    /// SNR by hand from a linear schedule of four steps with beta 0.2, 0.4, 0.6, 0.8: alpha_bar 0.8, 0.48, 0.192, 0.0384.
    #[test]
    fn min_snr_weights_are_the_published_formula() {
        let schedule = NoiseSchedule::new(&ScheduleConfig {
            timesteps: 4,
            beta_start: 0.2,
            beta_end: 0.8,
            cosine_steps: None,
        });
        // SNR 4, 0.923077, 0.237624, 0.039933.
        let close = |gamma: f64, expected: [f64; 4]| {
            for (index, expected) in expected.into_iter().enumerate() {
                let found = NoiseWeighting::MinSnr { gamma }.weight(&schedule, index + 1);
                assert!(
                    (found - expected).abs() < 1e-6,
                    "gamma {gamma}, t {}: {found}",
                    index + 1
                );
            }
        };
        close(5.0, [1.0, 1.0, 1.0, 1.0]);
        close(2.0, [0.5, 1.0, 1.0, 1.0]);
        close(0.1, [0.025, 0.108_333_333, 0.420_833_333, 1.0]);
        let weights = NoiseWeighting::MinSnr { gamma: 2.0 }.weights(&schedule, &[2, 1]);
        assert_eq!(weights, Some(vec![1.0, 0.5]));
        assert_eq!(NoiseWeighting::Uniform.weights(&schedule, &[1, 2]), None);
    }

    #[test]
    fn weighting_reads_as_it_is_documented() {
        #[derive(Deserialize)]
        struct Holder {
            noise_weighting: NoiseWeighting,
        }
        let read = |text: &str| toml::from_str::<Holder>(text).map(|holder| holder.noise_weighting);
        assert_eq!(
            read("noise_weighting = { min-snr = { gamma = 5.0 } }"),
            Ok(NoiseWeighting::MinSnr { gamma: 5.0 })
        );
        assert_eq!(read("noise_weighting = \"uniform\""), Ok(NoiseWeighting::Uniform));
        let refused = |phase: Phase| {
            let check = |field: &str, _: String, ok: bool, _: &'static str| match ok {
                true => Ok(()),
                false => Err(RecipeError::Unknown { name: field.to_owned() }),
            };
            phase.validate(&check).unwrap_err().to_string()
        };
        let weighted = |gamma| Phase {
            noise_weighting: NoiseWeighting::MinSnr { gamma },
            ..phase()
        };
        assert!(refused(weighted(0.0)).contains("min-snr.gamma"));
        let competing = Phase {
            competition: Some(Competition::default()),
            ..weighted(5.0)
        };
        assert!(refused(competing).contains("noise_weighting"));
    }

    #[test]
    fn temperature_moves_geometrically() {
        let ramp = Ramp { from: 4.0, to: 1.0 };
        assert_eq!([0, 50, 100, 500].map(|s| ramp.at(s, 101)), [4.0, 2.0, 1.0, 1.0]);
        assert_eq!(Ramp::constant(0.5).at(7, 10), 0.5);
    }
}
