//! The diffusion process: noising (Eq. 1) and one step of denoising (Eq. 9 and 10).

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

    /// Eq. 9: the image at `t - 1` from the image at `t` and the predicted noise, in the place of the first. `z` is standard
    /// normal noise; it is not used at `t = 1` (Eq. 10). `sigma_t^2` is `beta_t`.
    pub fn denoise(&self, x_t: &mut [f32], predicted_noise: &[f32], z: &[f32], timestep: usize) {
        let beta = self.beta(timestep);
        let (_, noise_weight) = self.mix(timestep);
        let (part, scale) = ((beta / noise_weight) as f32, (1.0 - beta).sqrt() as f32);
        let sigma = if timestep == 1 { 0.0 } else { beta.sqrt() as f32 };
        for ((x, predicted), z) in x_t.iter_mut().zip(predicted_noise).zip(z) {
            *x = (*x - predicted * part) / scale + z * sigma;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_respaced_cosine_schedule_has_the_noise_of_every_fourth_step() {
        let of = |timesteps, steps| {
            NoiseSchedule::new(&ScheduleConfig {
                timesteps,
                cosine_steps: Some(steps),
                ..ScheduleConfig::default()
            })
        };
        let (whole, respaced) = (of(4000, 4000), of(1000, 4000));
        assert_eq!((whole.timesteps(), respaced.timesteps()), (4000, 1000));
        for t in [1, 2, 30, 500, 1000] {
            assert_eq!(respaced.alpha_bar(t), whole.alpha_bar(4 * (t - 1) + 1));
        }
        // betas_for_alpha_bar of improved-diffusion, cos((t + 0.008) / 1.008 * pi / 2)^2, by Python in double precision.
        assert!(
            (whole.beta(1) - 9.865_818_813_681_315e-6).abs() < 1e-12,
            "{}",
            whole.beta(1)
        );
        assert!(
            (whole.beta(2000) - 7.883_212_765_981_14e-4).abs() < 1e-12,
            "{}",
            whole.beta(2000)
        );
        assert_eq!(whole.beta(4000), 0.999);
        for t in 1..=1000 {
            let (alpha_bar, before) = (respaced.alpha_bar(t), respaced.alpha_bar(t - 1));
            assert!((before * (1.0 - respaced.beta(t)) - alpha_bar).abs() < 1e-12);
        }
    }
}
