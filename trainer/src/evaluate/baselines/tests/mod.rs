use super::*;

/// An image of 32 by 16 whose foreground is the given part of the coordinates.
fn truth(inside: impl Fn(f64, f64) -> bool) -> Vec<Truth> {
    let mut pixels = Vec::new();
    for y in 0..16 {
        for x in 0..32 {
            let inside = inside((f64::from(x) + 0.5) / 32.0, (f64::from(y) + 0.5) / 16.0);
            pixels.push(if inside { Truth::Foreground } else { Truth::Background });
        }
    }
    pixels
}

#[test]
fn boxes_and_means_are_found() {
    let boxed = truth(|u, v| (u - 0.5).abs() <= 0.25 && (v - 0.5).abs() <= 0.375);
    let sized = |truth: Vec<Truth>| TruthMask {
        width: 32,
        height: 16,
        pixels: truth.into(),
    };
    let masks = [sized(boxed)];
    assert_eq!(
        FixedMask::best_box(&masks, |scores| scores.mean_iou)
            .scores(&masks)
            .mean_iou,
        1.0
    );
    let corner = truth(|u, v| u < 0.5 && v < 0.5);
    let masks = [(); 3].map(|()| sized(corner.clone()));
    let mean = FixedMask::best_mean_mask(&masks, |scores| scores.mean_iou);
    assert_eq!(
        mean.scores(&masks),
        Scores {
            accuracy: 1.0,
            iou: 1.0,
            dice: 1.0,
            mean_iou: 1.0
        }
    );
    assert!(
        FixedMask::best_box(&masks, |scores| scores.mean_iou)
            .scores(&masks)
            .mean_iou
            < 0.7
    );
    let everything = FixedMask::Everything.scores(&masks);
    assert_eq!(
        (everything.accuracy, everything.iou, everything.mean_iou),
        (0.25, 0.25, 0.125)
    );
}
