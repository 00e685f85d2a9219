//! Regions compete for the picture: the branches' pictures, their losses, and what follows for the masks. See
//! [`Competition`]. [`regions`] makes the masks, [`sight`] says what each branch sees.

pub mod regions;
mod sight;

use anyhow::Result;
use factorseg_kernels::Masks;
use factorseg_model::NoiseSchedule;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::learner::Learner;
use super::watching::timing::{self, Part};
use crate::data::batch::{MicroBatch, normal};
use crate::recipe::Competition;
use regions::Regions;
use sight::Sights;

/// Regions that a recipe with a competition has where nothing else is said: background and foreground.
pub const REGIONS: usize = 2;

/// Forward and backward of one micro-batch: returns its loss times `weight`, whose gradient is added, and the masks.
pub fn pass(
    learner: &mut Learner,
    part: &MicroBatch,
    competition: &Competition,
    temperature: f64,
    weight: f64,
    chance: &mut ChaCha8Rng,
) -> Result<(f64, Option<Vec<f32>>)> {
    timing::start();
    let (network, schedule) = (learner.network.as_mut(), &learner.schedule);
    // The masks' gradient comes from the branches: the masks' pass waits for them.
    network.exchange()?;
    network.encode(&part.noised, &part.timesteps, &part.classes)?;
    let logits = network.mask_logits()?;
    let shares = shares(competition, learner.regions, chance);
    let regions = Regions::new(&logits, part.noised.len() / (3 * part.size), &shares, temperature);
    network.exchange()?;
    let branches = Branches::new(part, &regions, competition, schedule, chance);
    network.encode(&branches.noised, &branches.timesteps, &branches.classes)?;
    let mut found = branches.compare(&network.decode(Masks::Uniform)?, &regions, competition);
    let scale = |slopes: &mut [f32]| slopes.iter_mut().for_each(|slope| *slope *= weight as f32);
    scale(&mut found.slopes);
    timing::lap(Part::Forward);
    network.backward_decode(&found.slopes)?;
    network.backward_encode()?;
    network.exchange()?;
    scale(&mut found.mask_slopes);
    network.backward_masks(&regions.logit_slopes(found.mask_slopes))?;
    network.backward_encode()?;
    network.exchange()?;
    timing::lap(Part::Backward);
    Ok((found.loss * weight, Some(regions.masks().to_vec())))
}

/// Shares of the regions in the next micro-batch.
pub fn shares(competition: &Competition, regions: usize, chance: &mut ChaCha8Rng) -> Vec<f64> {
    let (least, most) = competition.foreground;
    with_foreground(chance.random_range(least..=most), regions)
}

/// Shares of the regions in the head of a finished model.
pub fn exported_shares(competition: &Competition, regions: usize) -> Vec<f64> {
    let (least, most) = competition.foreground;
    with_foreground((least + most) / 2.0, regions)
}

/// The background's share, then equal parts of the foreground's.
fn with_foreground(foreground: f64, regions: usize) -> Vec<f64> {
    let mut shares = vec![foreground / (regions - 1) as f64; regions];
    shares[0] = 1.0 - foreground;
    shares
}

/// Regions that are foreground: all but the first.
pub fn foreground_regions(regions: usize) -> Vec<usize> {
    (1..regions).collect()
}

/// What the branches see and must find: all images of region 0's branch, then those of the next.
#[derive(Debug)]
pub struct Branches {
    /// Pictures whose noise varies from place to place, `[K images, 3, side, side]`.
    pub noised: Vec<f32>,
    /// Noise level of the hidden blocks, `[K images]`.
    pub timesteps: Vec<i32>,
    /// Classes, `[K images]`, or empty.
    pub classes: Vec<i32>,
    /// The noise of the hidden blocks, `[images, 3, pixels]`.
    noise: Vec<f32>,
    /// Whether a pixel is hidden, `[images, pixels]`.
    hidden: Vec<bool>,
}

impl Branches {
    /// Of a micro-batch whose masks are those of `regions`.
    pub fn new(
        part: &MicroBatch,
        regions: &Regions,
        competition: &Competition,
        schedule: &NoiseSchedule,
        chance: &mut ChaCha8Rng,
    ) -> Self {
        let images = part.size;
        let pixels = part.noised.len() / (3 * images);
        let side = pixels.isqrt();
        let hidden = hidden_blocks(images, side, competition, chance);
        let sights = Sights::new(competition, side);
        let (first, last) = competition.timesteps;
        let last = last.min(schedule.timesteps());
        let timesteps: Vec<i32> = (0..images)
            .map(|_| chance.random_range(first.min(last)..=last) as i32)
            .collect();
        let mut noise = Vec::with_capacity(part.noised.len());
        normal(chance, part.noised.len(), &mut noise);
        let mut noised = Vec::with_capacity(regions.count() * part.noised.len());
        normal(chance, regions.count() * part.noised.len(), &mut noised);
        for image in 0..images {
            let (image_part, noise_part) = schedule.mix(part.timesteps[image] as usize);
            let (hidden_image, hidden_noise) = schedule.mix(timesteps[image] as usize);
            let seen = sights.of(regions, image);
            for channel in 0..3 {
                for pixel in 0..pixels {
                    let at = (image * 3 + channel) * pixels + pixel;
                    // The clean picture, from the noise that the mask generator's input was made with.
                    let clean = (f64::from(part.noised[at]) - noise_part * f64::from(part.noise[at])) / image_part;
                    let own = f64::from(noise[at]);
                    let plain = image * pixels + pixel;
                    for region in 0..regions.count() {
                        let value = &mut noised[region * part.noised.len() + at];
                        if hidden[plain] {
                            *value = (hidden_image * clean + hidden_noise * own) as f32;
                        } else if seen[region * pixels + pixel] {
                            *value = (image_part * clean + noise_part * own) as f32;
                        }
                    }
                }
            }
        }
        Self {
            noised,
            timesteps: timesteps.repeat(regions.count()),
            classes: part.classes.repeat(regions.count()),
            noise,
            hidden,
        }
    }

    /// Loss of the branches' predictions `[K images, 3, side, side]`, its gradient by them, and the gradient by the masks.
    ///
    /// The gradient by the masks is the branches' losses, gathered over the neighbourhood, and scaled so that its mean size
    /// does not depend on how well the denoiser does.
    pub fn compare(&self, predicted: &[f32], regions: &Regions, competition: &Competition) -> Comparison {
        let (count, values) = (regions.count(), self.noise.len());
        let pixels = values / 3 / (self.timesteps.len() / count);
        let side = pixels.isqrt();
        let hidden = || self.hidden.iter().enumerate().filter(|(_, hidden)| **hidden);
        let total = hidden().count().max(1) as f64;
        let mut loss = 0.0;
        let mut slopes = vec![0.0; predicted.len()];
        let mut errors = vec![0.0; count * self.hidden.len()];
        for (plain, _) in hidden() {
            let (image, pixel) = (plain / pixels, plain % pixels);
            for region in 0..count {
                let place = (image * count + region) * pixels + pixel;
                let mask = f64::from(regions.masks()[place]);
                let mut error = 0.0;
                for channel in 0..3 {
                    let at = (image * 3 + channel) * pixels + pixel;
                    let difference = f64::from(predicted[region * values + at] - self.noise[at]);
                    error += difference * difference / 3.0;
                    slopes[region * values + at] = (2.0 * mask * difference / (3.0 * total)) as f32;
                }
                loss += mask * error / total;
                errors[place] = error as f32;
            }
            // Only differences count: what all branches find hard is no evidence.
            let places = (0..count).map(|region| (image * count + region) * pixels + pixel);
            let mean = places.clone().map(|at| errors[at]).sum::<f32>() / count as f32;
            places.for_each(|at| errors[at] -= mean);
        }
        let deviation = competition.smoothing * side as f64;
        if deviation > 0.0 {
            for plane in errors.chunks_exact_mut(pixels) {
                smooth(plane, side, deviation);
            }
        }
        self.to_unit_size(&mut errors, count, pixels);
        Comparison {
            loss,
            slopes,
            mask_slopes: errors,
        }
    }

    /// Sets the values of seen pixels to 0 and scales the others so that their sizes sum to 1.
    fn to_unit_size(&self, values: &mut [f32], count: usize, pixels: usize) {
        let mut size = 1e-6;
        for (place, value) in values.iter_mut().enumerate() {
            if self.hidden[place / (count * pixels) * pixels + place % pixels] {
                size += f64::from(value.abs());
            } else {
                *value = 0.0;
            }
        }
        values
            .iter_mut()
            .for_each(|value| *value = (f64::from(*value) / size) as f32);
    }
}

/// What [`Branches::compare`] finds.
#[derive(Debug)]
pub struct Comparison {
    /// Mean over the hidden pixels of the branches' squared errors, weighted by the masks.
    pub loss: f64,
    /// Its gradient by the predictions, `[K images, 3, side, side]`.
    pub slopes: Vec<f32>,
    /// Gradient by the masks, `[images, K, pixels]`.
    pub mask_slopes: Vec<f32>,
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
    use crate::recipe::{FrameEdges, Sight};
    use crate::training::competition::sight::in_frame;
    use crate::training::testing::noise;
    use factorseg_model::ScheduleConfig;

    #[test]
    fn shares_add_up() {
        let competition = Competition {
            foreground: (0.3, 0.6),
            ..Competition::default()
        };
        let mut chance = random(1, Stream::Masks, 0);
        for regions in 2..5 {
            assert_eq!(exported_shares(&competition, regions).len(), regions);
            let all: Vec<Vec<f64>> = (0..50).map(|_| shares(&competition, regions, &mut chance)).collect();
            for shares in &all {
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9 && (0.4..=0.7).contains(&shares[0]));
                assert!(shares.iter().all(|share| *share > 0.0));
            }
            let equal = all.iter().all(|shares| (shares[1] - shares[regions - 1]).abs() < 1e-9);
            assert!(equal);
        }
        assert_eq!(foreground_regions(3), [1, 2]);
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
            targets: Vec::new(),
        }
    }

    /// The pixels of a picture 16 pixels wide that touch one, and itself.
    fn neighbours(plain: usize) -> impl Iterator<Item = usize> {
        let (image, x, y) = (plain / 256, plain % 16, plain / 16 % 16);
        (y.saturating_sub(1)..(y + 2).min(16))
            .flat_map(move |y| (x.saturating_sub(1)..(x + 2).min(16)).map(move |x| image * 256 + y * 16 + x))
    }

    #[test]
    fn branches_see_their_own_region_the_frame_and_hidden_blocks() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default());
        let part = part(2, 16);
        for (background, centre, surroundings, shares) in [
            (Sight::Frame, 0.0, (0.0, 0.0), vec![0.7, 0.3]),
            (Sight::Frame, 0.0, (0.0, 0.0), vec![0.4, 0.3, 0.3]),
            (Sight::Region, 0.0, (0.0, 0.0), vec![0.4, 0.3, 0.3]),
            // Next to the region before: across an edge or a corner.
            (Sight::Frame, 0.2, (0.0, 1.5 / 16.0), vec![0.4, 0.1, 0.2, 0.3]),
        ] {
            let competition = Competition {
                background,
                centre,
                surroundings,
                ..Competition::default()
            };
            let count = shares.len();
            let regions = Regions::new(&noise(8, 2 * count * 256), 256, &shares, 1.0);
            let chance = &mut random(1, Stream::Masks, 0);
            let branches = Branches::new(&part, &regions, &competition, &schedule, chance);
            let (values, frame) = (part.noised.len(), in_frame(16, competition.frame, FrameEdges::All));
            assert_eq!(
                (branches.noised.len(), &branches.classes),
                (count * values, &vec![4; 2 * count])
            );
            let clean = noise(6, values);
            let (a, b) = schedule.mix(30);
            let mut counts = vec![0; count + 1];
            for plain in 0..512 {
                let at = plain / 256 * 768 + plain % 256;
                let weak = |at: usize| (a * f64::from(clean[at]) + b * f64::from(branches.noise[at])) as f32;
                for region in 0..count {
                    let found = branches.noised[region * values + at];
                    if branches.hidden[plain] {
                        assert_eq!(found, branches.noised[at]);
                        counts[count] += 1;
                    } else {
                        let seen = if region == 0 && background == Sight::Frame {
                            frame[plain % 256]
                        } else if region == 1 && centre > 0.0 {
                            let from_middle = |at: usize| (at as f64 + 0.5) / 16.0 - 0.5;
                            from_middle(plain % 16).hypot(from_middle(plain / 16 % 16)) <= centre
                        } else if region > 1 && surroundings.1 > 0.0 {
                            let inner = |label: usize| (1..region).contains(&label);
                            !inner(regions.label(plain)) && neighbours(plain).any(|near| inner(regions.label(near)))
                        } else {
                            regions.label(plain) == region
                        };
                        // In all channels: pure noise may come near in one.
                        let near = |at: usize| (branches.noised[region * values + at] - weak(at)).abs() < 1e-3;
                        assert_eq!([at, at + 256, at + 512].into_iter().all(near), seen);
                        counts[region] += usize::from(seen);
                    }
                }
            }
            assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
        }
    }

    #[test]
    fn a_pixel_goes_to_the_branch_that_errs_less() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default());
        let part = part(2, 16);
        let competition = Competition {
            smoothing: 0.0,
            ..Competition::default()
        };
        for shares in [vec![0.7, 0.3], vec![0.4, 0.3, 0.3]] {
            let count = shares.len();
            let regions = Regions::new(&noise(8, 2 * count * 256), 256, &shares, 1.0);
            let chance = &mut random(1, Stream::Masks, 0);
            let branches = Branches::new(&part, &regions, &competition, &schedule, chance);
            let values = part.noised.len();
            // Every branch errs by 1, but for one: the last on the left half of each picture, the first on the right.
            let good = |at: usize| if at % 16 < 8 { count - 1 } else { 0 };
            let mut predicted = branches.noise.repeat(count);
            for (place, value) in predicted.iter_mut().enumerate() {
                let (region, at) = (place / values, place % values);
                *value += f32::from(u8::from(region != good(at)));
            }
            let found = branches.compare(&predicted, &regions, &competition);
            let (mut expected, mut hidden) = (0.0, 0.0);
            for plain in 0..512 {
                let slope = |region: usize| found.mask_slopes[(plain / 256 * count + region) * 256 + plain % 256];
                if branches.hidden[plain] {
                    let best = (0..count).min_by(|a, b| slope(*a).total_cmp(&slope(*b)));
                    assert_eq!(best, Some(good(plain)));
                    let mask = regions.masks()[(plain / 256 * count + good(plain)) * 256 + plain % 256];
                    expected += 1.0 - f64::from(mask);
                    hidden += 1.0;
                } else {
                    assert!((0..count).all(|region| slope(region) == 0.0));
                }
            }
            assert!((found.loss - expected / hidden).abs() < 1e-6);
            let size: f64 = found.mask_slopes.iter().map(|slope| f64::from(slope.abs())).sum();
            assert!((size - 1.0).abs() < 1e-3);
            // The gradient by the predictions is that of the loss.
            let at = (0..256).find(|at| branches.hidden[*at] && at % 16 >= 8).unwrap();
            let step = 1e-2;
            let mut moved = predicted.clone();
            moved[values + at] += step;
            let change = branches.compare(&moved, &regions, &competition).loss - found.loss;
            let expected = f64::from(found.slopes[values + at]) * f64::from(step);
            assert!((change - expected).abs() < 0.02 * expected.abs(), "{change} {expected}");
        }
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
