//! Sizes of the network: what Section 4 of the paper ("Implementation Details") calls the architecture.

use std::fmt;
use std::str::FromStr;

use factorseg_kernels::{Architecture, Decoding, Parameter};
use serde::{Deserialize, Serialize};

/// Upper bounds that no sensible network exceeds. A checkpoint is untrusted input: its configuration is held against
/// these before anything is allocated.
mod limits {
    pub const IMAGE_SIZE: usize = 1024;
    pub const CHANNELS: usize = 4096;
    pub const LEVELS: usize = 8;
    pub const RESIDUAL_BLOCKS: usize = 16;
    pub const REGIONS: usize = 64;
    pub const CLASSES: usize = 100_000;
    pub const TIMESTEPS: usize = 100_000;
}

/// The noise schedule: that of Section 4, where `beta` rises linearly over `timesteps` steps, or an imported network's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Number of diffusion steps, the paper's `T`.
    pub timesteps: usize,
    /// `beta` at `t = 1`.
    pub beta_start: f64,
    /// `beta` at `t = T`.
    pub beta_end: f64,
    /// Steps of improved-diffusion's cosine schedule, of which the first of each `cosine_steps / timesteps` is used;
    /// unset: linear. What a network was trained on that is told `t - 1` of `timesteps` while it counts more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine_steps: Option<usize>,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
            cosine_steps: None,
        }
    }
}

/// Everything that determines the network's shape. Stored in every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Side of the square training images, in pixels.
    pub image_size: usize,
    /// Channels of the finest level, the paper's `C`.
    pub base_channels: usize,
    /// Channels of each level as a multiple of `base_channels`, finest level first.
    pub channel_multipliers: Vec<usize>,
    /// Residual blocks per level of the encoder; the mask generator and the decoder have one more.
    pub residual_blocks: usize,
    /// Feature sides (at `image_size`) of the levels that hold self-attention.
    pub attention_resolutions: Vec<usize>,
    /// Heads of each self-attention, unless `attention_head_channels` says how large they are.
    pub attention_heads: usize,
    /// Groups of each group normalisation.
    pub norm_groups: usize,
    /// Number of regions, the paper's `K`.
    pub regions: usize,
    /// Number of classes; 0 for an unconditional network.
    pub classes: usize,
    /// Noise schedule.
    pub schedule: ScheduleConfig,
    /// Channels of each head, guided-diffusion's `num_head_channels`: an attention of `c` channels has `c /
    /// attention_head_channels` heads, whatever `attention_heads` is. Unset: `attention_heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_head_channels: Option<usize>,
    /// Whether residual blocks change the resolution, guided-diffusion's `resblock_updown`, in place of convolutions alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resblock_updown: bool,
    /// How the decoder takes in the masks: `factorized`, or one of the ablations of the paper's Table 6.
    #[serde(default, with = "by_name", skip_serializing_if = "by_name::is_default")]
    pub decoding: Decoding,
}

/// [`Decoding`] as configurations have it.
mod by_name {
    use super::Decoding;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn is_default(decoding: &Decoding) -> bool {
        *decoding == Decoding::default()
    }

    pub fn serialize<S: Serializer>(decoding: &Decoding, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(decoding.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decoding, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

/// A named configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The paper's network for 64x64 images: 194 M parameters with 1000 classes.
    Paper64,
    /// The paper's network for 128x128 images.
    Paper128,
    /// 64x64 images on a few CPU cores.
    Small,
    /// 32x32 images, for tests and quick experiments.
    Tiny,
}

impl Preset {
    /// Every preset, largest first.
    pub const ALL: [Preset; 4] = [Preset::Paper64, Preset::Paper128, Preset::Small, Preset::Tiny];

    fn name(self) -> &'static str {
        match self {
            Preset::Paper64 => "paper-64",
            Preset::Paper128 => "paper-128",
            Preset::Small => "small",
            Preset::Tiny => "tiny",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Preset::ALL
            .into_iter()
            .find(|preset| preset.name() == name)
            .ok_or_else(|| ConfigError::UnknownPreset(name.to_owned()))
    }
}

/// A configuration that no network can be built from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The name is no preset's.
    #[error("there is no preset `{0}`; use paper-64, paper-128, small or tiny")]
    UnknownPreset(String),
    /// A field holds a value outside its range.
    #[error("`{field}` is {value}, expected {expected}")]
    Field {
        /// Name of the field in [`ModelConfig`].
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
}

fn check(
    valid: bool,
    field: &'static str,
    value: impl fmt::Debug,
    expected: impl Into<String>,
) -> Result<(), ConfigError> {
    if valid {
        return Ok(());
    }
    Err(ConfigError::Field {
        field,
        value: format!("{value:?}"),
        expected: expected.into(),
    })
}

impl ModelConfig {
    /// The configuration behind a preset: unconditional, three regions.
    pub fn preset(preset: Preset) -> Self {
        let paper = Self {
            image_size: 64,
            base_channels: 128,
            channel_multipliers: vec![1, 2, 3, 4],
            residual_blocks: 3,
            attention_resolutions: vec![16, 8],
            attention_heads: 4,
            norm_groups: 32,
            regions: 3,
            classes: 0,
            schedule: ScheduleConfig::default(),
            attention_head_channels: None,
            resblock_updown: false,
            decoding: Decoding::default(),
        };
        match preset {
            Preset::Paper64 => paper,
            Preset::Paper128 => Self {
                image_size: 128,
                channel_multipliers: vec![1, 1, 2, 3, 4],
                residual_blocks: 2,
                ..paper
            },
            Preset::Small => Self {
                base_channels: 32,
                residual_blocks: 1,
                attention_resolutions: vec![8],
                attention_heads: 2,
                norm_groups: 8,
                ..paper
            },
            Preset::Tiny => Self {
                image_size: 32,
                base_channels: 16,
                channel_multipliers: vec![1, 2, 3],
                residual_blocks: 1,
                attention_resolutions: vec![8],
                attention_heads: 2,
                norm_groups: 8,
                ..paper
            },
        }
    }

    /// Number of resolutions, the finest included.
    pub fn levels(&self) -> usize {
        self.channel_multipliers.len()
    }

    /// Factor between the finest and the coarsest resolution; image sides must be multiples of it.
    pub fn stride(&self) -> usize {
        1 << (self.levels() - 1)
    }

    /// Channels of a level, 0 being the finest.
    pub fn level_channels(&self, level: usize) -> usize {
        self.base_channels * self.channel_multipliers[level]
    }

    /// The same layers for square images of another side: self-attention stays at its levels.
    #[must_use]
    pub fn resized(&self, image_size: usize) -> Self {
        let side = |side: &usize| side.saturating_mul(image_size) / self.image_size;
        Self {
            image_size,
            attention_resolutions: self.attention_resolutions.iter().map(side).collect(),
            ..self.clone()
        }
    }

    /// Whether a level holds self-attention, 0 being the finest.
    pub fn level_has_attention(&self, level: usize) -> bool {
        self.attention_resolutions.contains(&(self.image_size >> level))
    }

    /// Heads of a self-attention of so many channels.
    pub fn heads(&self, channels: usize) -> usize {
        self.attention_head_channels
            .map_or(self.attention_heads, |size| channels / size)
    }

    /// Width of the time and class embedding, `4 C`.
    pub fn embedding_channels(&self) -> usize {
        4 * self.base_channels
    }

    /// What determines the shape of the network's layers, without the pictures' size.
    pub fn architecture(&self) -> Architecture {
        Architecture {
            base_channels: self.base_channels,
            channel_multipliers: self.channel_multipliers.clone(),
            residual_blocks: self.residual_blocks,
            attention_levels: (0..self.levels())
                .map(|level| self.level_has_attention(level))
                .collect(),
            attention_heads: self.attention_heads,
            attention_head_channels: self.attention_head_channels,
            resblock_updown: self.resblock_updown,
            norm_groups: self.norm_groups,
            regions: self.regions,
            classes: self.classes,
            decoding: self.decoding,
        }
    }

    /// Names, shapes and places of all weights, in the order of a checkpoint.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.architecture().parameters()
    }

    /// The class index that stands for "no class": the row after the last class.
    pub fn no_class(&self) -> usize {
        self.classes
    }

    /// Holds every field against its range.
    ///
    /// # Errors
    /// Names the first field that is out of range, what it holds and what it may hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bounded = |field, value: usize, maximum: usize| {
            check((1..=maximum).contains(&value), field, value, format!("1 to {maximum}"))
        };
        bounded("image_size", self.image_size, limits::IMAGE_SIZE)?;
        bounded("base_channels", self.base_channels, limits::CHANNELS)?;
        bounded("channel_multipliers (length)", self.levels(), limits::LEVELS)?;
        bounded("residual_blocks", self.residual_blocks, limits::RESIDUAL_BLOCKS)?;
        bounded("regions", self.regions, limits::REGIONS)?;
        bounded("norm_groups", self.norm_groups, limits::CHANNELS)?;
        bounded("attention_heads", self.attention_heads, limits::CHANNELS)?;
        if let Some(size) = self.attention_head_channels {
            bounded("attention_head_channels", size, limits::CHANNELS)?;
        }
        check(
            self.base_channels % 2 == 0,
            "base_channels",
            self.base_channels,
            "an even number",
        )?;
        check(
            self.classes <= limits::CLASSES,
            "classes",
            self.classes,
            format!("0 to {}", limits::CLASSES),
        )?;
        check(
            self.image_size % self.stride() == 0,
            "image_size",
            self.image_size,
            format!("a multiple of {}", self.stride()),
        )?;
        for (level, &multiplier) in self.channel_multipliers.iter().enumerate() {
            bounded("channel_multipliers", multiplier, limits::CHANNELS)?;
            let channels = self.base_channels.saturating_mul(multiplier);
            check(
                channels <= limits::CHANNELS,
                "channel_multipliers",
                multiplier,
                format!("at most {} channels in a level", limits::CHANNELS),
            )?;
            check(
                channels % self.norm_groups == 0,
                "norm_groups",
                self.norm_groups,
                format!("a divisor of level {level}'s {channels} channels"),
            )?;
            if self.level_has_attention(level) || level + 1 == self.levels() {
                let (field, divisor) = match self.attention_head_channels {
                    Some(size) => ("attention_head_channels", size),
                    None => ("attention_heads", self.attention_heads),
                };
                check(
                    channels % divisor == 0,
                    field,
                    divisor,
                    format!("a divisor of level {level}'s {channels} channels"),
                )?;
            }
        }
        let sides: Vec<usize> = (0..self.levels()).map(|level| self.image_size >> level).collect();
        for side in &self.attention_resolutions {
            check(
                sides.contains(side),
                "attention_resolutions",
                side,
                format!("sides among {sides:?}"),
            )?;
        }
        let schedule = &self.schedule;
        bounded("schedule.timesteps", schedule.timesteps, limits::TIMESTEPS)?;
        for (field, beta) in [
            ("schedule.beta_start", schedule.beta_start),
            ("schedule.beta_end", schedule.beta_end),
        ] {
            check(beta > 0.0 && beta < 1.0, field, beta, "a number between 0 and 1")?;
        }
        if let Some(steps) = schedule.cosine_steps {
            bounded("schedule.cosine_steps", steps, limits::TIMESTEPS)?;
            check(
                steps % schedule.timesteps == 0,
                "schedule.cosine_steps",
                steps,
                format!("a multiple of {} timesteps", schedule.timesteps),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
