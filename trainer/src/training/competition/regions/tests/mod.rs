use super::*;
use crate::training::testing::noise;

fn share(regions: &Regions, region: usize) -> f64 {
    let all = regions.ranks.len();
    (0..all).filter(|at| regions.label(*at) == region).count() as f64 / all as f64
}

#[test]
fn every_region_has_its_share_of_the_batch() {
    for shares in [
        vec![0.8, 0.2],
        vec![0.5, 0.5],
        vec![0.2, 0.5, 0.3],
        vec![0.1, 0.2, 0.3, 0.4],
    ] {
        let count = shares.len();
        let mut logits = noise(1, 3 * count * 256);
        // One region is far ahead of the others.
        logits.chunks_exact_mut(256).step_by(count).for_each(|plane| {
            plane.iter_mut().for_each(|value| *value += 3.0);
        });
        let regions = Regions::new(&logits, 256, &shares, 1.0);
        for (region, wanted) in shares.iter().enumerate() {
            let found = share(&regions, region);
            assert!((found - wanted).abs() < 3e-3, "{shares:?}: region {region} has {found}");
        }
        for at in 0..256 {
            let sum: f32 = (0..count).map(|k| regions.masks()[k * 256 + at]).sum();
            assert!((sum - 1.0).abs() < 1e-6);
            let most =
                (0..count).max_by(|a, b| regions.masks()[a * 256 + at].total_cmp(&regions.masks()[b * 256 + at]));
            assert_eq!(most, Some(regions.label(at)));
        }
    }
}

#[test]
fn the_head_reproduces_the_masks() {
    let (logits, shares) = (noise(9, 2 * 3 * 64), [0.5, 0.2, 0.3]);
    let regions = Regions::new(&logits, 64, &shares, 1.0);
    let head = head_statistics(&logits, 64, &shares);
    let values: Vec<f32> = zero_sum(&logits, 3, 64)
        .chunks_exact(64)
        .enumerate()
        .flat_map(|(plane, values)| {
            let (mean, deviation) = head[plane % 3];
            values
                .iter()
                .map(move |value| ((f64::from(*value) - mean) / deviation) as f32)
        })
        .collect();
    for (found, expected) in softmax(&values, 3, 64, 1.0).iter().zip(regions.masks()) {
        assert!((found - expected).abs() < 1e-5);
    }
}

#[test]
fn what_all_logits_share_gets_no_gradient() {
    for shares in [vec![0.7, 0.3], vec![0.3, 0.3, 0.4]] {
        let count = shares.len();
        let regions = Regions::new(&noise(2, 2 * count * 64), 64, &shares, 0.7);
        let slopes = regions.logit_slopes(noise(3, 2 * count * 64));
        // Nothing moves the offsets of a region, nor those of a pixel.
        for region in 0..count {
            let planes = slopes.chunks_exact(64).skip(region).step_by(count);
            let sum: f64 = planes.flatten().map(|value| f64::from(*value)).sum();
            assert!(sum.abs() < 1e-4, "{shares:?}: {sum}");
        }
        let pixel: f32 = (0..count).map(|k| slopes[k * 64 + 5]).sum();
        assert!(pixel.abs() < 1e-5);
        // Nor, nearly, their size: moving along the logits themselves changes little.
        let along = |function: fn(f64) -> f64| -> f64 {
            let each = slopes.iter().zip(&regions.z);
            each.map(|(slope, z)| function(f64::from(*slope) * f64::from(*z))).sum()
        };
        assert!(along(|x| x).abs() < 0.03 * along(f64::abs), "{shares:?}");
    }
}

/// Against finite differences, the offsets held (they are step functions of the logits).
#[test]
fn the_gradient_is_that_of_the_masks() {
    for shares in [vec![0.7, 0.3], vec![0.3, 0.3, 0.4]] {
        let count = shares.len();
        let (logits, weights) = (noise(4, count * 64), noise(5, count * 64));
        let (offsets, _) = offsets_and_scale(&zero_sum(&logits, count, 64), 64, &shares);
        let value = |logits: &[f32]| -> f64 {
            let mut shifted = zero_sum(logits, count, 64);
            for (values, offset) in shifted.chunks_exact_mut(64).zip(&offsets) {
                values.iter_mut().for_each(|value| *value += offset);
            }
            let margin: f64 = (0..64)
                .map(|at| {
                    let [a, b] = ranks(&shifted, count, 64, at).map(usize::from);
                    f64::from(shifted[a * 64 + at] - shifted[b * 64 + at])
                })
                .sum();
            let scale = (margin / 128.0) as f32 + 1e-5;
            shifted.iter_mut().for_each(|value| *value /= scale);
            let masks = softmax(&shifted, count, 64, 0.7);
            masks.iter().zip(&weights).map(|(m, w)| f64::from(m * w)).sum()
        };
        let held = Regions::new(&logits, 64, &shares, 0.7);
        let direct: Vec<f64> = (0..count * 64)
            .map(|at| {
                let mut moved = [logits.clone(), logits.clone()];
                moved[0][at] += 1e-2;
                moved[1][at] -= 1e-2;
                (value(&moved[0]) - value(&moved[1])) / 2e-2
            })
            .collect();
        let full = held.logit_slopes(weights.clone());
        let close = |at: usize| {
            let [a, b] = held.places(at % 64);
            (held.z[a] - held.z[b]).abs() < 0.1
        };
        let expected_total: Vec<f64> = (0..count).map(|k| direct[k * 64..][..64].iter().sum()).collect();
        let mut laplacian = vec![vec![0.0; count]; count];
        let near = |regions: &Regions, at: usize| {
            let [a, b] = regions.places(at);
            f64::from((-((regions.z[a] - regions.z[b]) / 2.0 / BAND).powi(2)).exp())
        };
        for at in 0..64 {
            let [a, b] = held.ranks[at].map(usize::from);
            let weight = near(&held, at);
            for (row, column, sign) in [(a, a, 1.0), (b, b, 1.0), (a, b, -1.0), (b, a, -1.0)] {
                laplacian[row][column] += sign * weight;
            }
        }
        let potential = solve_grounded(laplacian.clone(), expected_total.clone());
        for (row, wanted) in laplacian.iter().zip(&expected_total).skip(1) {
            let found: f64 = row.iter().zip(&potential).map(|(a, x)| a * x).sum();
            assert!((found - wanted).abs() < 1e-6 * (1.0 + wanted.abs()));
        }
        for at in 0..64 {
            // A logit within a finite step of a boundary changes sides.
            if close(at) {
                continue;
            }
            let [a, b] = held.ranks[at].map(usize::from);
            for region in 0..count {
                let mut expected = direct[region * 64 + at];
                let pull = near(&held, at) * (potential[a] - potential[b]);
                expected -= pull * f64::from(i8::from(region == a) - i8::from(region == b));
                let found = f64::from(full[region * 64 + at]);
                assert!(
                    (found - expected).abs() < 2e-2 * (1.0 + expected.abs()),
                    "{shares:?} {region} {at}: {found} {expected}"
                );
            }
        }
    }
}
