//! Two regions compete for the picture: the branches' pictures, their losses, and what follows for the masks. See
//! [`Competition`]. Everything but the network itself, on the CPU, for every device.

use factorseg_model::NoiseSchedule;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::data::batch::{MicroBatch, normal};
use crate::recipe::Competition;

/// Regions that compete: background and foreground.
pub const REGIONS: usize = 2;
/// The region that is the foreground.
pub const FOREGROUND: usize = 1;
/// Width of the band around the threshold whose logits move it, in mean distances from it.
const BAND: f32 = 0.3;

/// The foreground's logit at every pixel, standardised: `z = (s - threshold) / scale` with `s` half the difference of the two
/// regions' logits, `threshold` such that the foreground has its share of the batch, and `scale` the mean distance from it.
#[derive(Debug, Clone)]
pub struct Foreground {
    /// z, `[images, pixels]`.
    z: Vec<f32>,
    scale: f32,
    temperature: f32,
}

impl Foreground {
    /// Of logits `[images, 2, pixels]`.
    pub fn new(logits: &[f32], pixels: usize, share: f64, temperature: f64) -> Self {
        let mut z = half_differences(logits, pixels);
        let (threshold, scale) = threshold_and_scale(&z, share);
        z.iter_mut().for_each(|value| *value = (*value - threshold) / scale);
        Self {
            z,
            scale,
            temperature: temperature as f32,
        }
    }

    /// Probability of the foreground, `[images, pixels]`.
    pub fn probabilities(&self) -> Vec<f32> {
        self.z
            .iter()
            .map(|z| 1.0 / (1.0 + (-2.0 * z / self.temperature).exp()))
            .collect()
    }

    /// Masks of both regions, `[images, 2, pixels]`.
    pub fn masks(&self, pixels: usize) -> Vec<f32> {
        let both = |plane: &[f32]| {
            plane
                .iter()
                .map(|p| 1.0 - p)
                .chain(plane.iter().copied())
                .collect::<Vec<_>>()
        };
        self.probabilities().chunks_exact(pixels).flat_map(both).collect()
    }

    /// From the gradient by the probabilities to that by the logits, `[images, 2, pixels]`.
    pub fn logit_slopes(&self, mut slopes: Vec<f32>, pixels: usize) -> Vec<f32> {
        for ((slope, p), z) in slopes.iter_mut().zip(self.probabilities()).zip(&self.z) {
            *slope *= 2.0 * p * (1.0 - p) / self.temperature;
            debug_assert!(z.is_finite() || !slope.is_finite());
        }
        // Through the scale, the mean of |s - threshold|.
        let count = self.z.len() as f64;
        let along: f64 = slopes
            .iter()
            .zip(&self.z)
            .map(|(g, z)| f64::from(*g) * f64::from(*z))
            .sum();
        for (slope, z) in slopes.iter_mut().zip(&self.z) {
            let sign = if *z > 0.0 { 1.0 } else { -1.0 };
            *slope = (*slope - sign * (along / count) as f32) / self.scale;
        }
        // Through the threshold, which moves with the logits near it.
        let near: Vec<f32> = self.z.iter().map(|z| (-(z / BAND).powi(2)).exp()).collect();
        let weight: f64 = near.iter().map(|value| f64::from(*value)).sum::<f64>().max(1e-12);
        let total: f64 = slopes.iter().map(|slope| f64::from(*slope)).sum();
        for (slope, near) in slopes.iter_mut().zip(&near) {
            *slope -= (f64::from(*near) / weight * total) as f32;
        }
        let both = |plane: &[f32]| {
            let background = plane.iter().map(|slope| -0.5 * slope);
            background
                .chain(plane.iter().map(|slope| 0.5 * slope))
                .collect::<Vec<_>>()
        };
        slopes.chunks_exact(pixels).flat_map(both).collect()
    }
}

/// Half of region 1's logit less region 0's, `[images, pixels]`, of `[images, 2, pixels]`.
fn half_differences(logits: &[f32], pixels: usize) -> Vec<f32> {
    logits
        .chunks_exact(REGIONS * pixels)
        .flat_map(|image| {
            let (background, foreground) = image.split_at(pixels);
            background.iter().zip(foreground).map(|(b, f)| (f - b) / 2.0)
        })
        .collect()
}

/// The threshold that `share` of the values exceed, and the mean distance of all values from it.
fn threshold_and_scale(values: &[f32], share: f64) -> (f32, f32) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let above = ((share * sorted.len() as f64).round() as usize).clamp(1, sorted.len() - 1);
    let first = sorted.len() - above;
    let threshold = (sorted[first - 1] + sorted[first]) / 2.0;
    let distance: f64 = values.iter().map(|value| f64::from((value - threshold).abs())).sum();
    (threshold, (distance / values.len() as f64) as f32 + 1e-5)
}

/// Mean and deviation of each region's zero-sum logits that put the threshold of `share` and the scale of all logits
/// `[images, 2, pixels]` into a head: what [`super::step::export`] takes.
pub fn head_statistics(logits: &[f32], pixels: usize, share: f64) -> Vec<(f64, f64)> {
    let (threshold, scale) = threshold_and_scale(&half_differences(logits, pixels), share);
    vec![
        (-f64::from(threshold), f64::from(scale)),
        (f64::from(threshold), f64::from(scale)),
    ]
}

/// The foreground's share of the next micro-batch.
pub fn share(competition: &Competition, chance: &mut ChaCha8Rng) -> f64 {
    chance.random_range(competition.foreground.0..=competition.foreground.1)
}

/// The share of the foreground in the head of a finished model.
pub fn exported_share(competition: &Competition) -> f64 {
    (competition.foreground.0 + competition.foreground.1) / 2.0
}

/// What the two branches see and must find: images of the background branch first, then those of the foreground's.
#[derive(Debug)]
pub struct Branches {
    /// Pictures whose noise varies from place to place, `[2 images, 3, side, side]`.
    pub noised: Vec<f32>,
    /// Noise level of the hidden blocks, `[2 images]`.
    pub timesteps: Vec<i32>,
    /// Classes, `[2 images]`, or empty.
    pub classes: Vec<i32>,
    /// The noise of the hidden blocks, `[images, 3, pixels]`.
    noise: Vec<f32>,
    /// Whether a pixel is hidden, `[images, pixels]`.
    hidden: Vec<bool>,
}

impl Branches {
    /// Of a micro-batch whose masks are `foreground`'s.
    pub fn new(
        part: &MicroBatch,
        foreground: &Foreground,
        competition: &Competition,
        schedule: &NoiseSchedule,
        chance: &mut ChaCha8Rng,
    ) -> Self {
        let images = part.size;
        let pixels = part.noised.len() / (3 * images);
        let side = pixels.isqrt();
        let hidden = hidden_blocks(images, side, competition, chance);
        let frame = in_frame(side, competition.frame);
        let (first, last) = competition.timesteps;
        let last = last.min(schedule.timesteps());
        let timesteps: Vec<i32> = (0..images)
            .map(|_| chance.random_range(first.min(last)..=last) as i32)
            .collect();
        let mut noise = Vec::with_capacity(part.noised.len());
        normal(chance, part.noised.len(), &mut noise);
        let mut noised = Vec::with_capacity(REGIONS * part.noised.len());
        normal(chance, REGIONS * part.noised.len(), &mut noised);
        for image in 0..images {
            let (image_part, noise_part) = schedule.mix(part.timesteps[image] as usize);
            let (hidden_image, hidden_noise) = schedule.mix(timesteps[image] as usize);
            for channel in 0..3 {
                for pixel in 0..pixels {
                    let at = (image * 3 + channel) * pixels + pixel;
                    // The clean picture, from the noise that the mask generator's input was made with.
                    let clean = (f64::from(part.noised[at]) - noise_part * f64::from(part.noise[at])) / image_part;
                    let own = f64::from(noise[at]);
                    let plain = image * pixels + pixel;
                    let seen = [frame[pixel], foreground.z[plain] > 0.0];
                    for (region, seen) in seen.into_iter().enumerate() {
                        let value = &mut noised[region * part.noised.len() + at];
                        if hidden[plain] {
                            *value = (hidden_image * clean + hidden_noise * own) as f32;
                        } else if seen {
                            *value = (image_part * clean + noise_part * own) as f32;
                        }
                    }
                }
            }
        }
        Self {
            noised,
            timesteps: timesteps.repeat(REGIONS),
            classes: part.classes.repeat(REGIONS),
            noise,
            hidden,
        }
    }

    /// Loss of the branches' predictions `[2 images, 3, side, side]`, its gradient by them, and the gradient by the
    /// foreground's probability `[images, pixels]`.
    ///
    /// The gradient by the probabilities is the difference of the branches' losses, gathered over the neighbourhood, and
    /// scaled so that its mean size does not depend on how well the denoiser does.
    pub fn compare(&self, predicted: &[f32], foreground: &Foreground, competition: &Competition) -> Comparison {
        let (pixels, values) = (
            self.noise.len() / 3 / (self.timesteps.len() / REGIONS),
            self.noise.len(),
        );
        let side = pixels.isqrt();
        let count = self.hidden.iter().filter(|hidden| **hidden).count().max(1) as f64;
        let probabilities = foreground.probabilities();
        let mut loss = 0.0;
        let mut slopes = vec![0.0; predicted.len()];
        let mut evidence = vec![0.0; self.hidden.len()];
        for (plain, _) in self.hidden.iter().enumerate().filter(|(_, hidden)| **hidden) {
            let (image, pixel) = (plain / pixels, plain % pixels);
            for region in 0..REGIONS {
                let weight = f64::from(if region == 1 {
                    probabilities[plain]
                } else {
                    1.0 - probabilities[plain]
                });
                let mut error = 0.0;
                for channel in 0..3 {
                    let at = (image * 3 + channel) * pixels + pixel;
                    let difference = f64::from(predicted[region * values + at] - self.noise[at]);
                    error += difference * difference / 3.0;
                    slopes[region * values + at] = (2.0 * weight * difference / (3.0 * count)) as f32;
                }
                loss += weight * error / count;
                evidence[plain] += if region == 1 { error as f32 } else { -(error as f32) };
            }
        }
        let deviation = competition.smoothing * side as f64;
        if deviation > 0.0 {
            for plane in evidence.chunks_exact_mut(pixels) {
                smooth(plane, side, deviation);
            }
        }
        let hidden = |values: &[f32]| -> f64 {
            let all = values.iter().zip(&self.hidden).filter(|(_, hidden)| **hidden);
            all.map(|(value, _)| f64::from(value.abs())).sum::<f64>() / count
        };
        let unit = (hidden(&evidence) + 1e-6) * count;
        for (value, hidden) in evidence.iter_mut().zip(&self.hidden) {
            *value = if *hidden {
                (f64::from(*value) / unit) as f32
            } else {
                0.0
            };
        }
        Comparison {
            loss,
            slopes,
            probability_slopes: evidence,
        }
    }
}

/// What [`Branches::compare`] finds.
#[derive(Debug)]
pub struct Comparison {
    /// Mean over the hidden pixels of the branches' squared errors, weighted by the masks.
    pub loss: f64,
    /// Its gradient by the predictions, `[2 images, 3, side, side]`.
    pub slopes: Vec<f32>,
    /// Gradient by the foreground's probability, `[images, pixels]`.
    pub probability_slopes: Vec<f32>,
}

/// Blocks of a grid that lies anew in every micro-batch, `[images, pixels]`.
fn hidden_blocks(images: usize, side: usize, competition: &Competition, chance: &mut ChaCha8Rng) -> Vec<bool> {
    let block = ((competition.block * side as f64).round() as usize).clamp(1, side);
    let (left, top) = (chance.random_range(0..block), chance.random_range(0..block));
    let across = side / block + 2;
    let mut hidden = Vec::with_capacity(images * side * side);
    for _ in 0..images {
        let blocks: Vec<bool> = (0..across * across)
            .map(|_| chance.random::<f64>() < competition.hidden)
            .collect();
        for y in 0..side {
            hidden.extend((0..side).map(|x| blocks[(y + top) / block * across + (x + left) / block]));
        }
    }
    hidden
}

/// Whether each pixel lies in the frame, `[pixels]`.
fn in_frame(side: usize, width: f64) -> Vec<bool> {
    let width = ((width * side as f64).round() as usize).max(1);
    let inner = width..side.saturating_sub(width).max(width);
    (0..side * side)
        .map(|pixel| !(inner.contains(&(pixel / side)) && inner.contains(&(pixel % side))))
        .collect()
}

/// Convolves a square with a Gaussian, its border repeated.
fn smooth(plane: &mut [f32], side: usize, deviation: f64) {
    let reach = (3.0 * deviation).ceil() as isize;
    let weights: Vec<f64> = (-reach..=reach)
        .map(|d| (-((d * d) as f64) / (2.0 * deviation * deviation)).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    let mut line = vec![0.0; side];
    let mut pass = |start: usize, step: usize| {
        for (at, value) in line.iter_mut().enumerate() {
            let sum: f64 = (-reach..=reach)
                .zip(&weights)
                .map(|(d, weight)| {
                    let from = (at as isize + d).clamp(0, side as isize - 1) as usize;
                    weight * f64::from(plane[start + from * step])
                })
                .sum();
            *value = (sum / total) as f32;
        }
        for (at, value) in line.iter().enumerate() {
            plane[start + at * step] = *value;
        }
    };
    for row in 0..side {
        pass(row * side, 1);
    }
    for column in 0..side {
        pass(column, side);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::order::{Stream, random};
    use factorseg_model::ScheduleConfig;

    fn noise(seed: u64, count: usize) -> Vec<f32> {
        let mut values = Vec::new();
        normal(&mut random(seed, Stream::Sample, 0), count, &mut values);
        values
    }

    #[test]
    fn the_foreground_has_its_share_of_the_batch() {
        let logits = noise(1, 3 * 2 * 64);
        for share in [0.2, 0.5] {
            let foreground = Foreground::new(&logits, 64, share, 1.0);
            let above = foreground.z.iter().filter(|z| **z > 0.0).count();
            assert_eq!(above, (share * 192.0).round() as usize);
            let masks = foreground.masks(64);
            assert_eq!(masks.len(), logits.len());
            assert!((masks[5] + masks[64 + 5] - 1.0).abs() < 1e-6);
            // A larger difference of the logits is a larger probability.
            let (least, most) = (0..64).fold((0, 0), |(least, most), at| {
                let difference = |at: usize| logits[64 + at] - logits[at];
                (
                    if difference(at) < difference(least) { at } else { least },
                    if difference(at) > difference(most) { at } else { most },
                )
            });
            assert!(masks[64 + most] > masks[64 + least]);
        }
    }

    #[test]
    fn what_all_logits_share_gets_no_gradient() {
        let foreground = Foreground::new(&noise(2, 2 * 2 * 64), 64, 0.3, 0.7);
        let slopes = foreground.logit_slopes(noise(3, 2 * 64), 64);
        let (background, all): (f64, f64) = slopes.chunks_exact(128).fold((0.0, 0.0), |(b, a), image| {
            let sum = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>();
            (b + sum(&image[..64]), a + sum(image))
        });
        assert!(background.abs() < 1e-4 && all.abs() < 1e-4, "{background} {all}");
        // Nor, nearly, does their size: moving along the logits themselves changes little.
        let along = |function: fn(f64) -> f64| -> f64 {
            slopes
                .chunks_exact(128)
                .zip(foreground.z.chunks_exact(64))
                .flat_map(|(slopes, z)| slopes[64..].iter().zip(z))
                .map(|(slope, z)| function(f64::from(*slope) * f64::from(*z)))
                .sum()
        };
        assert!(along(|x| x).abs() < 0.02 * along(f64::abs));
    }

    /// Against finite differences, the threshold held (it is a step function of the logits).
    #[test]
    fn the_gradient_is_that_of_the_probabilities() {
        let (logits, weights) = (noise(4, 2 * 64), noise(5, 64));
        let (s, _) = (half_differences(&logits, 64), ());
        let (threshold, _) = threshold_and_scale(&s, 0.3);
        let value = |s: &[f32]| -> f64 {
            let scale = s.iter().map(|s| f64::from((s - threshold).abs())).sum::<f64>() / 64.0 + 1e-5;
            let each = s
                .iter()
                .zip(&weights)
                .map(|(s, w)| f64::from(*w) / (1.0 + (-2.0 * f64::from(s - threshold) / scale / 0.7).exp()));
            each.sum()
        };
        let foreground = Foreground::new(&logits, 64, 0.3, 0.7);
        let slopes = foreground.logit_slopes(weights.clone(), 64);
        let near: Vec<f64> = foreground
            .z
            .iter()
            .map(|z| f64::from((-(z / BAND).powi(2)).exp()))
            .collect();
        let direct: Vec<f64> = (0..64)
            .map(|at| {
                let mut moved = [s.clone(), s.clone()];
                moved[0][at] += 1e-2;
                moved[1][at] -= 1e-2;
                (value(&moved[0]) - value(&moved[1])) / 2e-2
            })
            .collect();
        let total: f64 = direct.iter().sum();
        for at in 0..64 {
            let expected = 0.5 * (direct[at] - near[at] / near.iter().sum::<f64>() * total);
            let found = f64::from(slopes[64 + at]);
            // A logit within a finite step of the threshold changes its sign.
            if foreground.z[at].abs() > 0.05 {
                assert!(
                    (found - expected).abs() < 2e-2 * (1.0 + expected.abs()),
                    "{at}: {found} {expected}"
                );
            }
        }
    }

    fn part(images: usize, side: usize) -> MicroBatch {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default());
        let (clean, noise) = (noise(6, images * 3 * side * side), noise(7, images * 3 * side * side));
        let (a, b) = schedule.mix(30);
        MicroBatch {
            size: images,
            noised: clean
                .iter()
                .zip(&noise)
                .map(|(x, e)| (a * f64::from(*x) + b * f64::from(*e)) as f32)
                .collect(),
            noise,
            timesteps: vec![30; images],
            classes: vec![4; images],
        }
    }

    #[test]
    fn branches_see_their_own_region_the_frame_and_hidden_blocks() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default());
        let part = part(2, 16);
        let competition = Competition::default();
        let foreground = Foreground::new(&noise(8, 2 * 2 * 256), 256, 0.3, 1.0);
        let branches = Branches::new(
            &part,
            &foreground,
            &competition,
            &schedule,
            &mut random(1, Stream::Masks, 0),
        );
        let (values, frame) = (part.noised.len(), in_frame(16, competition.frame));
        assert_eq!((branches.noised.len(), &branches.classes), (2 * values, &vec![4; 4]));
        let clean = noise(6, values);
        let (a, b) = schedule.mix(30);
        let mut counts = [0; 4];
        for plain in 0..512 {
            let at = plain / 256 * 768 + plain % 256;
            let weak = (a * f64::from(clean[at]) + b * f64::from(branches.noise[at])) as f32;
            let (background, other) = (branches.noised[at], branches.noised[values + at]);
            let close = |found: f32| (found - weak).abs() < 1e-3;
            if branches.hidden[plain] {
                assert_eq!(background, other);
                counts[0] += 1;
            } else {
                counts[1] += usize::from(frame[plain % 256]);
                counts[2] += usize::from(foreground.z[plain] > 0.0);
                counts[3] += 1;
                assert_eq!(close(background), frame[plain % 256]);
                assert_eq!(close(other), foreground.z[plain] > 0.0);
            }
        }
        assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    }

    #[test]
    fn a_pixel_goes_to_the_branch_that_errs_less() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default());
        let part = part(2, 16);
        let competition = Competition {
            smoothing: 0.0,
            ..Competition::default()
        };
        let foreground = Foreground::new(&noise(8, 2 * 2 * 256), 256, 0.3, 1.0);
        let branches = Branches::new(
            &part,
            &foreground,
            &competition,
            &schedule,
            &mut random(1, Stream::Masks, 0),
        );
        let values = part.noised.len();
        let mut predicted = branches.noise.repeat(2);
        // The foreground branch errs by 1 on the left half of each picture, the background branch on the right.
        for at in 0..values {
            let left = at % 16 < 8;
            predicted[if left { values + at } else { at }] += 1.0;
        }
        let found = branches.compare(&predicted, &foreground, &competition);
        let probabilities = foreground.probabilities();
        let (mut expected, mut count) = (0.0, 0.0);
        for plain in 0..512 {
            let slope = found.probability_slopes[plain];
            if branches.hidden[plain] {
                let left = plain % 16 < 8;
                assert!(if left { slope > 0.0 } else { slope < 0.0 });
                let p = f64::from(probabilities[plain]);
                expected += if left { p } else { 1.0 - p };
                count += 1.0;
            } else {
                assert_eq!(slope, 0.0);
            }
        }
        assert!((found.loss - expected / count).abs() < 1e-6);
        // The gradient by the predictions is that of the loss.
        let at = (0..256).find(|at| branches.hidden[*at] && at % 16 < 8).unwrap();
        let step = 1e-2;
        let mut moved = predicted.clone();
        moved[values + at] += step;
        let change = branches.compare(&moved, &foreground, &competition).loss - found.loss;
        let expected = f64::from(found.slopes[values + at]) * f64::from(step);
        assert!((change - expected).abs() < 0.02 * expected.abs(), "{change} {expected}");
    }

    #[test]
    fn smoothing_keeps_a_constant_and_spreads_a_point() {
        let mut constant = vec![2.0; 64];
        smooth(&mut constant, 8, 1.0);
        assert!(constant.iter().all(|value| (value - 2.0).abs() < 1e-6));
        let mut point = vec![0.0; 81];
        point[40] = 1.0;
        smooth(&mut point, 9, 1.0);
        assert!(point[40] > point[41] && (point[41] - point[31]).abs() < 1e-7 && point[41] > point[42]);
    }
}
