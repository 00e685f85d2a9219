//! The diffusion process: noising (Eq. 1) and one step of denoising (Eq. 9 and 10).

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::config::ScheduleConfig;

/// The tables behind Eq. 1, 9 and 10, in double precision.
///
/// Timesteps have the paper's numbering: `1..=T` are noised, 0 is the clean image.
#[derive(Clone, Debug)]
pub struct NoiseSchedule {
    betas: Vec<f64>,
    /// `alpha_bar[t]`, with `alpha_bar[0] = 1`.
    alpha_bars: Vec<f64>,
}

impl NoiseSchedule {
    /// `beta` linear in `t` (Section 4).
    pub fn new(config: &ScheduleConfig) -> Self {
        let last = config.timesteps.saturating_sub(1).max(1) as f64;
        let betas: Vec<f64> = (0..config.timesteps)
            .map(|i| config.beta_start + (config.beta_end - config.beta_start) * i as f64 / last)
            .collect();
        let mut alpha_bars = vec![1.0];
        let mut alpha_bar = 1.0;
        for beta in &betas {
            alpha_bar *= 1.0 - beta;
            alpha_bars.push(alpha_bar);
        }
        Self { betas, alpha_bars }
    }

    /// Number of timesteps, `T`.
    pub fn timesteps(&self) -> usize {
        self.betas.len()
    }

    /// `beta_t`, for `t` in `1..=T`.
    pub fn beta(&self, timestep: usize) -> f64 {
        self.betas[timestep - 1]
    }

    /// The product of `1 - beta` up to `t`, for `t` in `0..=T`.
    pub fn alpha_bar(&self, timestep: usize) -> f64 {
        self.alpha_bars[timestep]
    }

    /// Weights of image and noise in `x_t` (Eq. 1): `(sqrt(alpha_bar), sqrt(1 - alpha_bar))`.
    pub fn mix(&self, timestep: usize) -> (f64, f64) {
        let alpha_bar = self.alpha_bar(timestep);
        (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt())
    }

    /// Eq. 1: noises images, each with its own timestep.
    ///
    /// `x_0` and `noise` are `[batch, channels, height, width]`, `timesteps` has one entry for each image.
    pub fn add_noise<B: Backend>(&self, x_0: Tensor<B, 4>, noise: Tensor<B, 4>, timesteps: &[usize]) -> Tensor<B, 4> {
        let device = x_0.device();
        let column = |weights: Vec<f32>| {
            let length = weights.len();
            Tensor::<B, 4>::from_data(TensorData::new(weights, [length, 1, 1, 1]), &device)
        };
        let (image, noise_weights) = timesteps
            .iter()
            .map(|&timestep| {
                let (image, noise) = self.mix(timestep);
                (image as f32, noise as f32)
            })
            .unzip();
        x_0 * column(image) + noise * column(noise_weights)
    }

    /// Eq. 9: the image at `t - 1` from the image at `t` and the predicted noise. `z` is standard normal noise; it is
    /// not used at `t = 1` (Eq. 10). `sigma_t^2` is `beta_t`.
    pub fn denoise<B: Backend>(
        &self,
        x_t: Tensor<B, 4>,
        predicted_noise: Tensor<B, 4>,
        z: Tensor<B, 4>,
        timestep: usize,
    ) -> Tensor<B, 4> {
        let beta = self.beta(timestep);
        let (_, noise_weight) = self.mix(timestep);
        let mean = (x_t - predicted_noise * (beta / noise_weight)) / (1.0 - beta).sqrt();
        match timestep {
            1 => mean,
            _ => mean + z * beta.sqrt(),
        }
    }
}
