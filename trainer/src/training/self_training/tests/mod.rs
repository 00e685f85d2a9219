use super::*;
use crate::training::testing::noise;

#[test]
fn the_cross_entropy_is_that_of_its_definition_with_its_gradient() {
    let (images, regions, pixels) = (2, 3, 5);
    let logits = noise(1, images * regions * pixels);
    let mut targets: Vec<f32> = noise(2, logits.len()).iter().map(|value| value.exp()).collect();
    let at = |image: usize, region: usize, pixel: usize| (image * regions + region) * pixels + pixel;
    let mut expected = 0.0;
    for image in 0..images {
        for pixel in 0..pixels {
            let sum: f32 = (0..regions).map(|k| targets[at(image, k, pixel)]).sum();
            (0..regions).for_each(|k| targets[at(image, k, pixel)] /= sum);
            let all: f64 = (0..regions).map(|k| f64::from(logits[at(image, k, pixel)]).exp()).sum();
            for k in 0..regions {
                let p = f64::from(logits[at(image, k, pixel)]).exp() / all;
                expected -= f64::from(targets[at(image, k, pixel)]) * p.ln() / (images * pixels) as f64;
            }
        }
    }
    let (loss, slopes) = cross_entropy(&logits, &targets, regions, images);
    assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
    for place in [0, 7, 14, 22] {
        let moved = |step: f32| {
            let mut logits = logits.clone();
            logits[place] += step;
            cross_entropy(&logits, &targets, regions, images).0
        };
        let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!(
            (slope - f64::from(slopes[place])).abs() < 1e-4,
            "{slope} {}",
            slopes[place]
        );
    }
}
