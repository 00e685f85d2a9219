use super::*;
use crate::training::testing::noise;

#[test]
fn the_papers_average_has_one_rate_from_the_first_step() {
    let rates = |name: &str| [0, 990, 10_000_000].map(|step| average_rate(&Recipe::load(name).unwrap(), step));
    assert_eq!(rates("paper-cub"), [0.9999; 3]);
    assert_eq!(rates("decoder"), [0.1, 0.991, 0.999]);
}

#[test]
fn the_softmax_has_the_gradient_of_finite_differences() {
    let (logits, weights) = (noise(1, 72), noise(3, 72));
    let masks = |logits: &[f32]| {
        let mut masks: Vec<f32> = logits.iter().map(|logit| logit / 0.7).collect();
        softmax(&mut masks, 2, 3);
        masks
    };
    let mut slopes = weights.clone();
    softmax_slopes(&masks(&logits), &mut slopes, 3, 3, 12, 0.7);
    for place in (0..72).step_by(5) {
        let moved = |distance: f32| -> f64 {
            let mut logits = logits.clone();
            logits[place] += distance;
            let both = masks(&logits).into_iter().zip(&weights);
            both.map(|(mask, weight)| f64::from(mask) * f64::from(*weight)).sum()
        };
        let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        let found = f64::from(slopes[place]);
        assert!((found - expected).abs() < 2e-3, "{found} for {expected}");
    }
}

#[test]
fn parts_move_against_each_other_while_their_sum_stays() {
    let (logits, weights) = (noise(1, 96), noise(3, 96));
    let masks = |logits: &[f32]| {
        let mut masks = logits.to_vec();
        softmax(&mut masks, 2, 4);
        masks
    };
    let mut slopes = weights.clone();
    softmax_slopes(&masks(&logits), &mut slopes, 4, 2, 12, 1.0);
    // The gradient by what two parts differ in, their sum held: by finite differences of the masks with the sum put back.
    let of_sums = masks(&logits);
    let loss = |logits: &[f32]| -> f64 {
        let moved = masks(logits);
        let mut loss = 0.0;
        for image in 0..2 {
            for region in 0..4 {
                for pixel in 0..12 {
                    let at = |region: usize| (image * 4 + region) * 12 + pixel;
                    let (own, other) = (at(region), at(region ^ 1));
                    let share = moved[own] / (moved[own] + moved[other]);
                    loss += f64::from(weights[own] * share * (of_sums[own] + of_sums[other]));
                }
            }
        }
        loss
    };
    for place in (0..96).step_by(5) {
        let moved = |distance: f32| {
            let mut logits = logits.clone();
            logits[place] += distance;
            loss(&logits)
        };
        let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        let found = f64::from(slopes[place]);
        assert!((found - expected).abs() < 2e-3, "{found} for {expected}");
    }
}
