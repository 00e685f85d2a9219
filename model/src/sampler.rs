//! Generation: images and their regions from noise (Algorithm 2).

use std::fmt;
use std::str::FromStr;

use factorseg_kernels::{KernelError, Masks, TrainingPass};

use crate::config::ModelConfig;
use crate::noise::standard_normal;
use crate::schedule::NoiseSchedule;
use crate::softmax::softmax;

/// How an image gets from one timestep to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Eq. 9, with fresh noise at every step: the paper's.
    #[default]
    Ddpm,
    /// Without noise (Song et al., 2021, eta = 0): good with fewer steps.
    Ddim,
}

/// A word that names no method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no sampler `{0}`; use ddpm or ddim")]
pub struct MethodError(String);

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "ddpm" => Ok(Self::Ddpm),
            "ddim" => Ok(Self::Ddim),
            _ => Err(MethodError(word.to_owned())),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ddpm => "ddpm",
            Self::Ddim => "ddim",
        })
    }
}

/// The way from noise to images.
#[derive(Clone, Debug)]
pub struct Sampler {
    schedule: NoiseSchedule,
    method: Method,
    /// Timesteps at which the network is asked, falling.
    timesteps: Vec<usize>,
    side: usize,
    regions: usize,
}

/// Images on their way, as a step finds them.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The paper's t.
    pub timestep: usize,
    /// `x_t`, `[images, 3, side, side]`.
    pub images: &'a [f32],
    /// The noise in them as the network predicts it, same shape.
    pub noise: &'a [f32],
    /// Their masks, `[images, K, side, side]`.
    pub masks: &'a [f32],
}

impl Sampler {
    /// For a network of a configuration, in `steps` steps spread evenly over the timesteps from `from` (T: from pure noise) down to 1.
    pub fn new(config: &ModelConfig, method: Method, from: usize, steps: usize) -> Self {
        let schedule = NoiseSchedule::new(&config.schedule);
        let from = from.clamp(1, schedule.timesteps());
        let steps = steps.clamp(1, from);
        let apart = (from - 1) as f64 / (steps - 1).max(1) as f64;
        let at = |step: usize| from - (apart * step as f64).round() as usize;
        Self {
            timesteps: (0..steps).map(at).collect(),
            schedule,
            method,
            side: config.image_size,
            regions: config.regions,
        }
    }

    /// Timesteps at which the network is asked, falling.
    pub fn timesteps(&self) -> &[usize] {
        &self.timesteps
    }

    /// The noise schedule.
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// Standard normal noise of one image, for a seed: what generation starts from.
    pub fn noise(&self, seed: u64) -> Vec<f32> {
        standard_normal(seed, 3 * self.side * self.side)
    }

    /// Takes `images` (`[images, 3, side, side]`, as many as a pass of the network at most) from the first timestep to 0. Each
    /// has a seed of its own, so that it does not depend on what it is generated with; `classes` are one an image, or empty.
    /// `watch` sees every step before it is made, and stops the whole with `false`: then the result is `None`. Else it is the masks of
    /// the last step, `[images, K, side, side]`.
    ///
    /// # Errors
    /// If the images do not fit the network, or its device fails.
    pub fn denoise(
        &self,
        network: &mut dyn TrainingPass,
        images: &mut [f32],
        classes: &[i32],
        seeds: &[u64],
        mut watch: impl FnMut(&Moment<'_>, &mut dyn TrainingPass) -> bool,
    ) -> Result<Option<Vec<f32>>, KernelError> {
        let mut masks = Vec::new();
        for (index, &timestep) in self.timesteps.iter().enumerate() {
            network.encode(images, &vec![timestep as i32; seeds.len()], classes)?;
            masks = match self.regions {
                1 => vec![1.0; seeds.len() * self.side * self.side],
                _ => network.mask_logits()?,
            };
            let given = match self.regions {
                1 => Masks::Uniform,
                regions => {
                    softmax(&mut masks, seeds.len(), regions);
                    Masks::Given(&masks)
                }
            };
            let mut noise = network.decode(given)?;
            self.schedule.bound(images, &mut noise, timestep);
            let moment = Moment {
                timestep,
                images,
                noise: &noise,
                masks: &masks,
            };
            if !watch(&moment, network) {
                return Ok(None);
            }
            let next = self.timesteps.get(index + 1).copied().unwrap_or(0);
            match self.method {
                Method::Ddpm => {
                    // One stream of noise for each image and timestep.
                    let stream = |seed: &u64| self.noise(seed ^ (timestep as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                    let fresh: Vec<f32> = seeds.iter().flat_map(stream).collect();
                    self.schedule.denoise(images, &noise, &fresh, (timestep, next));
                }
                Method::Ddim => self.schedule.denoise_without_noise(images, &noise, (timestep, next)),
            }
        }
        Ok(Some(masks))
    }
}
