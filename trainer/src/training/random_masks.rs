//! Random partitions of the picture, to train the decoder on before any mask is learned.
//!
//! A decoder that has seen arbitrary regions knows what a branch can and cannot do with its own
//! region alone, so the first gradient that reaches the mask generator is about content.

use rand::Rng;

use crate::data::batch::normal;

/// Sides of the coarse noise that partitions are drawn from: few large regions to many small ones.
const COARSE_SIDES: [usize; 5] = [2, 3, 4, 6, 8];

/// Masks `[images, regions, side, side]`, flat: one-hot partitions from smooth noise plus a random
/// slope, each blended with uniform masks by a weight drawn from `0..=softness`.
pub fn random_masks(random: &mut impl Rng, images: usize, regions: usize, side: usize, softness: f64) -> Vec<f32> {
    let mut masks = Vec::with_capacity(images * regions * side * side);
    for _ in 0..images {
        let coarse = COARSE_SIDES[random.random_range(0..COARSE_SIDES.len())];
        let mut steepness = Vec::new();
        normal(random, 1, &mut steepness);
        let fields: Vec<Vec<f32>> = (0..regions)
            .map(|_| field(random, coarse, side, steepness[0]))
            .collect();
        let blend = (softness * random.random::<f64>()) as f32;
        let (low, high) = (blend / regions as f32, 1.0 - blend + blend / regions as f32);
        for region in 0..regions {
            for pixel in 0..side * side {
                let largest = (0..regions).all(|other| {
                    let (own, other_value) = (fields[region][pixel], fields[other][pixel]);
                    // Of equal fields the first wins.
                    own > other_value || other == region || (own == other_value && region < other)
                });
                masks.push(if largest { high } else { low });
            }
        }
    }
    masks
}

/// Smooth noise with a slope in a random direction, `[side, side]`.
fn field(random: &mut impl Rng, coarse: usize, side: usize, steepness: f32) -> Vec<f32> {
    let mut noise = Vec::new();
    normal(random, coarse * coarse, &mut noise);
    let (down, across) = (std::f32::consts::TAU * random.random::<f32>()).sin_cos();
    let taps: Vec<([usize; 4], [f32; 4])> = (0..side).map(|at| cubic(at, coarse, side)).collect();
    let centred = |at: usize| 2.0 * at as f32 / (side.max(2) - 1) as f32 - 1.0;
    let mut values = Vec::with_capacity(side * side);
    for (y, (rows, row_weights)) in taps.iter().enumerate() {
        for (x, (columns, column_weights)) in taps.iter().enumerate() {
            let mut sum = 0.0;
            for (row, row_weight) in rows.iter().zip(row_weights) {
                for (column, column_weight) in columns.iter().zip(column_weights) {
                    sum += row_weight * column_weight * noise[row * coarse + column];
                }
            }
            values.push(sum + steepness * (across * centred(x) + down * centred(y)));
        }
    }
    values
}

/// The four source positions and weights (Catmull and Rom) of a target position.
fn cubic(at: usize, source: usize, target: usize) -> ([usize; 4], [f32; 4]) {
    let position = (at as f32 + 0.5) * source as f32 / target as f32 - 0.5;
    let first = position.floor();
    let t = position - first;
    let clamp = |offset: i64| (first as i64 + offset).clamp(0, source as i64 - 1) as usize;
    let (t2, t3) = (t * t, t * t * t);
    let weights = [
        -0.5 * t + t2 - 0.5 * t3,
        1.0 - 2.5 * t2 + 1.5 * t3,
        0.5 * t + 2.0 * t2 - 1.5 * t3,
        -0.5 * t2 + 0.5 * t3,
    ];
    ([-1, 0, 1, 2].map(clamp), weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::order::{Stream, random};
    use crate::training::monitor::MaskFigures;

    #[test]
    fn masks_are_partitions_that_differ_between_images() {
        let masks = random_masks(&mut random(1, Stream::Masks, 0), 32, 3, 16, 0.0);
        assert_eq!(masks.len(), 32 * 3 * 256);
        for image in masks.chunks_exact(3 * 256) {
            for pixel in 0..256 {
                let values = [0, 1, 2].map(|region| image[region * 256 + pixel]);
                assert_eq!(values.iter().sum::<f32>(), 1.0);
                assert_eq!(values.iter().filter(|v| **v == 1.0).count(), 1);
            }
        }
        let figures = MaskFigures::of(&masks, 32, 3);
        assert!(
            figures.shares.iter().all(|share| (share - 1.0 / 3.0).abs() < 0.1),
            "{figures:?}"
        );
        assert!(figures.positional.unwrap() < 0.1, "{figures:?}");
    }

    #[test]
    fn regions_are_connected_rather_than_noise() {
        let masks = random_masks(&mut random(2, Stream::Masks, 0), 16, 2, 32, 0.0);
        let changes = masks
            .chunks_exact(32)
            .map(|row| row.windows(2).filter(|pair| pair[0] != pair[1]).count())
            .sum::<usize>();
        assert!(changes < masks.len() / 8, "{changes}");
    }

    #[test]
    fn softness_blends_with_uniform_masks() {
        let masks = random_masks(&mut random(3, Stream::Masks, 0), 64, 2, 4, 1.0);
        let largest: Vec<f32> = masks.chunks_exact(32).map(|image| image[0].max(image[16])).collect();
        assert!(largest.iter().all(|value| (0.5..=1.0).contains(value)));
        let mean = largest.iter().sum::<f32>() / 64.0;
        assert!((mean - 0.75).abs() < 0.06, "{mean}");
    }
}
