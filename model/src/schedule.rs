//! The diffusion process: noising (Eq. 1) and steps of denoising (Eq. 9 and 10).

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
    /// `beta` linear in `t` (Section 4), or steps of a cosine schedule.
    pub fn new(config: &ScheduleConfig) -> Self {
        match config.cosine_steps {
            None => Self::linear(config),
            Some(steps) => Self::cosine(config.timesteps, steps),
        }
    }

    /// improved-diffusion's cosine schedule over `steps`, of which `timesteps` are used.
    fn cosine(timesteps: usize, steps: usize) -> Self {
        let alpha_bar = |step: usize| {
            let time = step as f64 / steps as f64;
            ((time + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2)
        };
        let every = (steps / timesteps.max(1)).max(1);
        let (mut product, mut betas, mut alpha_bars) = (1.0, Vec::new(), vec![1.0]);
        for step in 0..steps {
            product *= 1.0 - (1.0 - alpha_bar(step + 1) / alpha_bar(step)).min(0.999);
            if step % every == 0 {
                betas.push(1.0 - product / alpha_bars[alpha_bars.len() - 1]);
                alpha_bars.push(product);
            }
        }
        Self { betas, alpha_bars }
    }

    fn linear(config: &ScheduleConfig) -> Self {
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

    /// Eq. 9: the image at the timestep `to` from the image at `from` and the predicted noise, in the place of the first. `z` is
    /// standard normal noise; it is not used where `to` is 0 (Eq. 10). `sigma^2` is `beta`, that of all steps between.
    pub fn denoise(&self, x_t: &mut [f32], predicted_noise: &[f32], z: &[f32], (from, to): (usize, usize)) {
        let beta = 1.0 - self.alpha_bar(from) / self.alpha_bar(to);
        let (_, noise_weight) = self.mix(from);
        let (part, scale) = ((beta / noise_weight) as f32, (1.0 - beta).sqrt() as f32);
        let sigma = if to == 0 { 0.0 } else { beta.sqrt() as f32 };
        for ((x, predicted), z) in x_t.iter_mut().zip(predicted_noise).zip(z) {
            *x = (*x - predicted * part) / scale + z * sigma;
        }
    }

    /// The clean image that an image at a timestep and the noise predicted in it stand for (Eq. 1, solved).
    pub fn clean(&self, x_t: &[f32], predicted_noise: &[f32], timestep: usize) -> Vec<f32> {
        let (image_weight, noise_weight) = self.mix(timestep);
        let both = x_t.iter().zip(predicted_noise);
        both.map(|(x, predicted)| (x - noise_weight as f32 * predicted) / image_weight as f32)
            .collect()
    }

    /// Changes predicted noise that stands for a clean image beyond -1 to 1 to that of the image at the bound, as DDPM's own code does
    /// (`clip_denoised`): an error of the prediction would grow from step to step.
    pub fn bound(&self, x_t: &[f32], predicted_noise: &mut [f32], timestep: usize) {
        let (image_weight, noise_weight) = self.mix(timestep);
        let clean = self.clean(x_t, predicted_noise, timestep);
        for ((x, predicted), clean) in x_t.iter().zip(predicted_noise).zip(clean) {
            if clean.abs() > 1.0 {
                *predicted = (x - image_weight as f32 * clean.signum()) / noise_weight as f32;
            }
        }
    }

    /// As [`Self::denoise`] without fresh noise (Song et al., Eq. 12 with sigma = 0): the clean image under the noise that was predicted.
    pub fn denoise_without_noise(&self, x_t: &mut [f32], predicted_noise: &[f32], (from, to): (usize, usize)) {
        let (image_weight, noise_weight) = self.mix(to);
        let clean = self.clean(x_t, predicted_noise, from);
        for ((x, clean), predicted) in x_t.iter_mut().zip(clean).zip(predicted_noise) {
            *x = image_weight as f32 * clean + noise_weight as f32 * predicted;
        }
    }
}

#[cfg(test)]
mod tests;
