use super::*;
use crate::training::testing::{config, learner, noise, scrambled};

#[test]
fn no_class_is_the_mean_of_the_classes() {
    let (list, weights) = (config().parameters(), scrambled(&config(), false));
    let mut exported = weights.clone();
    mean_class(&list, &mut exported);
    let range = list.iter().find(|one| one.name == CLASSES).unwrap().range();
    let width = range.len() / 3;
    for (at, (before, after)) in weights.iter().zip(&exported).enumerate() {
        let expected = match at.checked_sub(range.start + 2 * width).filter(|column| *column < width) {
            Some(column) => (weights[range.start + column] + weights[range.start + width + column]) / 2.0,
            None => *before,
        };
        assert!((after - expected).abs() < 1e-6, "{at}");
    }
}

#[test]
fn an_exported_head_needs_nothing_between_logits_and_masks() {
    let weights = scrambled(&config(), false);
    let mut learner = learner(&config(), &weights);
    let x_t = noise(12, 4 * 192);
    let mut logits = |weights: &[f32]| learner.mask_logits(weights, &x_t, &[30; 4], &[]).unwrap();
    let statistics = [(0.3, 2.0), (-0.1, 0.5), (0.0, 1.5)];
    let mut exported = weights.clone();
    export(&config().parameters(), &mut exported, 0.5, Some(&statistics));
    let (before, after) = (logits(&weights), logits(&exported));
    for image in 0..4 {
        for pixel in 0..64 {
            let at = |region: usize| (image * 3 + region) * 64 + pixel;
            let mean = (0..3).map(|region| before[at(region)]).sum::<f32>() / 3.0;
            for (region, (offset, scale)) in statistics.iter().enumerate() {
                let expected = (before[at(region)] - mean - *offset as f32) / *scale as f32 / 0.5;
                let found = after[at(region)];
                assert!(
                    (expected - found).abs() < 1e-3 * (1.0 + expected.abs()),
                    "{expected} {found}"
                );
            }
        }
    }
}
