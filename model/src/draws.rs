//! The noise that images are segmented under (Eq. 1): drawn once, mixed where the pass runs.

use crate::noise::standard_normal;
use crate::schedule::NoiseSchedule;
use crate::segmenter::{InputImage, SegmenterOptions};

/// Draws of noise for images of one size, and how they are mixed.
#[derive(Debug, PartialEq)]
pub(crate) struct Draws {
    /// Width and height.
    pub(crate) size: (usize, usize),
    /// Draws for each image.
    pub(crate) samples: usize,
    /// `[samples, 3, height, width]`.
    pub(crate) noise: Vec<f32>,
    /// What an image counts.
    pub(crate) image_weight: f32,
    /// What the noise counts.
    pub(crate) noise_weight: f32,
}

impl Draws {
    pub(crate) fn new(options: &SegmenterOptions, schedule: &NoiseSchedule, size: (usize, usize)) -> Self {
        let (image_weight, noise_weight) = schedule.mix(options.timestep);
        Self {
            size,
            samples: options.samples,
            noise: standard_normal(options.seed, options.samples * 3 * size.0 * size.1),
            image_weight: image_weight as f32,
            noise_weight: noise_weight as f32,
        }
    }

    /// The noised images, `[images, samples, 3, height, width]`.
    pub(crate) fn noised(&self, images: &[InputImage]) -> Vec<f32> {
        let mut noised = Vec::with_capacity(images.len() * self.noise.len());
        for image in images {
            for noise in self.noise.chunks_exact(image.data.len()) {
                let both = image.data.iter().zip(noise);
                noised.extend(both.map(|(image, noise)| self.image_weight * image + self.noise_weight * noise));
            }
        }
        noised
    }

    /// The mean over the draws, `[images, ...]` of `[images, samples, ...]`.
    pub(crate) fn mean(&self, images: usize, values: Vec<f32>) -> Vec<f32> {
        if self.samples == 1 {
            return values;
        }
        let length = values.len() / (images * self.samples);
        let scale = 1.0 / self.samples as f32;
        let mut means = Vec::with_capacity(images * length);
        for draws in values.chunks_exact(self.samples * length) {
            means.extend((0..length).map(|at| scale * draws[at..].iter().step_by(length).sum::<f32>()));
        }
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleConfig;

    #[test]
    fn every_image_is_mixed_with_every_draw() {
        let options = SegmenterOptions {
            samples: 2,
            timestep: 40,
            seed: 3,
            ..SegmenterOptions::default()
        };
        let schedule = NoiseSchedule::new(&ScheduleConfig::default());
        let draws = Draws::new(&options, &schedule, (2, 1));
        let image = |value: f32| InputImage {
            width: 2,
            height: 1,
            data: vec![value; 6],
        };
        let noised = draws.noised(&[image(0.0), image(1.0)]);
        let noise = standard_normal(3, 12);
        let (image_weight, noise_weight) = schedule.mix(40);
        for (at, value) in noised.iter().enumerate() {
            let clean = if at < 12 { 0.0 } else { image_weight };
            let expected = clean + noise_weight * f64::from(noise[at % 12]);
            assert!((f64::from(*value) - expected).abs() < 1e-6, "{at}");
        }
        assert_eq!(
            draws.mean(2, vec![1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 4.0, 8.0]),
            [2.0, 4.0, 2.0, 4.0]
        );
    }
}
