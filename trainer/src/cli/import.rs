//! `factorseg import`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use factorseg_import::state_dict::StateDict;
use factorseg_import::unet::{Heads, Hints, Layout, import};
use factorseg_model::checkpoint::{CheckpointInfo, DecoderTraining, WeightType, save_tensors};
use factorseg_model::{ClassLabel, ModelConfig, NoiseSchedule, ScheduleConfig, WeightKind};
use serde_json::json;

use super::arguments::count;

/// Noise steps that a network counts, unless it was trained on more and was told all of them.
const TIMESTEPS: usize = 1000;
/// Steps of improved-diffusion's cosine schedules.
const COSINE_STEPS: usize = 4000;

/// Start from a public diffusion U-Net: turn its weights into a checkpoint.
///
/// FILE is a state dictionary of improved-diffusion or guided-diffusion: a .pt file (nothing in it is run) or safetensors.
/// With one region the checkpoint computes what the U-Net computes. The mask generator starts from the decoder's weights
/// with a head of zeros, which a recipe releases. Variances that the network learned to predict are left out.
///
/// Names and shapes do not say how many heads an attention has, in which order its channels are, nor the image size and the
/// schedule: give what the network was trained with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg import imagenet64_uncond_100M_1500K.pt --out imagenet64.safetensors --noise-schedule cosine
  factorseg train photos --run runs/photos --init-from imagenet64.safetensors

What guided-diffusion's published networks were trained with:
  64x64_diffusion.pt                    --head-channels 64 --new-attention-order --noise-schedule cosine \\
                                        --diffusion-steps 1000
  128x128_diffusion.pt                  --image-size 128 --heads 4
  256x256_diffusion.pt, -_uncond.pt,
  lsun_*.pt                             --image-size 256 --head-channels 64")]
pub struct Import {
    /// State dictionary: .pt or .safetensors
    file: PathBuf,
    /// Checkpoint to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Side of the images that it was trained on, in pixels
    #[arg(long, default_value_t = 64, value_name = "PIXELS", value_parser = count(1, 1024))]
    image_size: usize,
    /// Attention heads (num_heads); 4 where it is left out, which networks with resblock_updown do not allow
    #[arg(long, value_name = "N", value_parser = count(1, 4096))]
    heads: Option<usize>,
    /// Channels of each head (num_head_channels), instead of a number of heads
    #[arg(long, value_name = "N", conflicts_with = "heads", value_parser = count(1, 4096))]
    head_channels: Option<usize>,
    /// Trained with use_new_attention_order
    #[arg(long)]
    new_attention_order: bool,
    /// Number of regions K; 1 is the U-Net itself
    #[arg(long, default_value_t = 3, value_name = "K", value_parser = count(1, 64))]
    regions: usize,
    /// Noise schedule that it was trained on
    #[arg(long, value_enum, default_value_t = Schedule::Linear)]
    noise_schedule: Schedule,
    /// Steps of a cosine schedule (diffusion_steps); 4000 where it is left out
    #[arg(long, value_name = "N", value_parser = count(1, 100_000))]
    diffusion_steps: Option<usize>,
    /// The network was told its step as it is, not as one of 1000 (rescale_timesteps off); no difference for 1000 steps
    #[arg(long)]
    no_rescale_timesteps: bool,
    /// Print what was imported as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Schedule {
    /// 1000 steps, beta from 1e-4 to 0.02
    Linear,
    /// improved-diffusion's
    Cosine,
}

impl Import {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let schedule = self.schedule()?;
        let hints = Hints {
            heads: match (self.head_channels, self.heads) {
                (Some(size), _) => Some(Heads::Channels(size)),
                (None, heads) => heads.map(Heads::Count),
            },
            new_attention_order: self.new_attention_order,
            regions: self.regions,
        };
        let mut state = StateDict::open(&self.file)?;
        let (layout, tensors) = import(&mut state, hints)?;
        let config = self.config(&layout, schedule)?;
        let info = CheckpointInfo {
            dataset: self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            weights: WeightKind::Ema,
            classes: ClassLabel::of_count(config.classes),
            // One region is masked by nothing.
            decoder: (config.regions == 1).then_some(DecoderTraining {
                masked: true,
                timesteps: (1, config.schedule.timesteps),
                steps: 0,
            }),
            ..CheckpointInfo::default()
        };
        let parameters: usize = tensors.iter().map(|(_, _, values)| values.len()).sum();
        save_tensors(&self.out, tensors, &config, &info, WeightType::F32)?;
        if self.json {
            println!(
                "{}",
                json!({ "file": self.out, "parameters": parameters, "config": config })
            );
            return Ok(ExitCode::SUCCESS);
        }
        println!(
            "{}: {:.2} M parameters, {} x {:?} channels, {} blocks per level{}, heads of {} channels, {} classes, \
             {} regions",
            self.out.display(),
            parameters as f64 / 1e6,
            config.base_channels,
            config.channel_multipliers,
            config.residual_blocks,
            if config.resblock_updown { " and one between" } else { "" },
            heads(&config),
            config.classes,
            config.regions
        );
        if layout.learned_sigma && self.noise_schedule == Schedule::Linear {
            eprintln!(
                "note: it predicts variances; of the public networks that do, those for 64x64 need --noise-schedule cosine"
            );
        }
        if self.noise_schedule == Schedule::Cosine {
            eprintln!(
                "note: t = {} of {} has the noise of the paper's t = 30 (linear schedule): use it as timestep",
                same_noise(30, &config.schedule),
                config.schedule.timesteps
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    fn schedule(&self) -> Result<ScheduleConfig> {
        let plain = ScheduleConfig::default();
        match (self.noise_schedule, self.diffusion_steps) {
            (Schedule::Linear, None | Some(TIMESTEPS)) => Ok(plain),
            (Schedule::Linear, Some(steps)) => {
                bail!("--diffusion-steps is {steps}; a linear schedule can be imported that has {TIMESTEPS}")
            }
            (Schedule::Cosine, steps) => {
                let steps = steps.unwrap_or(COSINE_STEPS);
                if !self.no_rescale_timesteps && steps % TIMESTEPS != 0 {
                    bail!(
                        "--diffusion-steps is {steps}; a network can be imported whose steps are a multiple of {TIMESTEPS}"
                    );
                }
                Ok(ScheduleConfig {
                    timesteps: if self.no_rescale_timesteps { steps } else { TIMESTEPS },
                    cosine_steps: Some(steps),
                    ..plain
                })
            }
        }
    }

    fn config(&self, layout: &Layout, schedule: ScheduleConfig) -> Result<ModelConfig> {
        let config = ModelConfig {
            image_size: self.image_size,
            base_channels: layout.base_channels,
            channel_multipliers: layout.channel_multipliers.clone(),
            residual_blocks: layout.residual_blocks,
            attention_resolutions: layout
                .attention_levels
                .iter()
                .map(|level| self.image_size >> level)
                .collect(),
            attention_heads: layout.heads,
            norm_groups: 32,
            regions: self.regions,
            classes: layout.classes,
            schedule,
            attention_head_channels: layout.head_channels,
            resblock_updown: layout.resblock_updown,
            decoding: Default::default(),
        };
        config.validate()?;
        Ok(config)
    }
}

/// What the heads on the levels of a network's attention are wide, such as "64" or "32, 48, 64".
fn heads(config: &ModelConfig) -> String {
    let levels =
        (0..config.levels()).filter(|level| config.level_has_attention(*level) || level + 1 == config.levels());
    let mut widths: Vec<String> = levels
        .map(|level| config.level_channels(level))
        .map(|channels| (channels / config.heads(channels)).to_string())
        .collect();
    widths.dedup();
    widths.join(", ")
}

/// The timestep of a schedule whose signal-to-noise ratio is nearest to that of the linear schedule at `timestep`.
fn same_noise(timestep: usize, schedule: &ScheduleConfig) -> usize {
    let wanted = NoiseSchedule::new(&ScheduleConfig::default()).alpha_bar(timestep);
    let schedule = NoiseSchedule::new(schedule);
    (1..=schedule.timesteps())
        .min_by(|a, b| {
            let distance = |t: usize| (schedule.alpha_bar(t) - wanted).abs();
            distance(*a).total_cmp(&distance(*b))
        })
        .unwrap_or(timestep)
}
