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
mod tests {
    use super::*;

    /// By Python in double precision, of x = 0.5, predicted noise -0.3 and fresh noise 0.7.
    #[test]
    fn a_step_over_several_timesteps_is_one_of_their_noise() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default());
        for (steps, with_noise, without) in [
            ((500, 250), 2.622652430, 1.827902883),
            ((20, 0), 0.524300821, 0.524300821),
            ((1000, 999), 0.610132259, 0.508122098),
        ] {
            let mut x = [0.5];
            schedule.denoise(&mut x, &[-0.3], &[0.7], steps);
            assert!((f64::from(x[0]) - with_noise).abs() < 1e-6, "{steps:?}: {x:?}");
            let mut x = [0.5];
            schedule.denoise_without_noise(&mut x, &[-0.3], steps);
            assert!((f64::from(x[0]) - without).abs() < 1e-5, "{steps:?}: {x:?}");
        }
    }

    #[test]
    fn noise_is_bound_where_its_picture_leaves_the_range() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default());
        for timestep in [1, 300, 1000] {
            let x_t = [0.3, 2.0, -2.0];
            let clean = [0.25, 1.5, -7.0];
            let (image, noise) = schedule.mix(timestep);
            let predicted = |clean: &[f32; 3]| -> Vec<f32> {
                let both = x_t.iter().zip(clean);
                both.map(|(x, clean)| ((f64::from(*x) - image * f64::from(*clean)) / noise) as f32)
                    .collect()
            };
            let mut found = predicted(&clean);
            schedule.bound(&x_t, &mut found, timestep);
            for (found, expected) in found.iter().zip(predicted(&[0.25, 1.0, -1.0])) {
                assert!(
                    (found - expected).abs() < 1e-3 * expected.abs(),
                    "{timestep}: {found} {expected}"
                );
            }
        }
    }

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
