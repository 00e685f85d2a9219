use super::*;
use crate::evaluate::testing::{ByColour, pairs};

/// A green and red object that moves, on black.
fn moving(i: u32, x: u32, y: u32) -> ([u8; 3], u8) {
    match (x >= i && x < i + 6 && (4..12).contains(&y), y < 8) {
        (false, _) => ([0; 3], 0),
        (true, true) => ([255, 0, 0], 255),
        (true, false) => ([0, 255, 0], 255),
    }
}

#[test]
fn a_perfect_segmenter_scores_one_with_one_assignment() {
    let data = pairs("masks", 10, (16, 16), moving);
    let images = LabelledImages::open(data.path(), None).unwrap();
    let report = evaluate(
        &mut ByColour::new(),
        &Passes::single(),
        "moving",
        &images,
        &Foreground::Fit,
        &mut |_, _| Ok(()),
        |_| {},
    )
    .unwrap();
    assert_eq!((report.fitted_images, report.scored_images), (2, 8));
    // Red and green together, or the same boundary seen from the other side, never black.
    assert_eq!(report.foreground_regions, [0, 1]);
    let perfect = Scores {
        accuracy: 1.0,
        iou: 1.0,
        dice: 1.0,
        mean_iou: 1.0,
    };
    assert_eq!(
        (report.model, report.model_or_complement, report.oracle),
        (perfect, perfect, perfect)
    );
    assert!((report.baselines[0].scores.iou - 48.0 / 256.0).abs() < 1e-12);
    for line in &report.baselines[..3] {
        assert!(line.scores.mean_iou < 0.75, "{line:?}");
    }
    // The object is unlike the frame, which it does not touch in most images.
    assert!(report.baselines[4].scores.iou > 0.4, "{:?}", report.baselines[4]);
    assert!(report.model_mean_mask.mean_iou < 0.8);
    assert!(report.masks.positional.unwrap() < 0.8);
}

#[test]
fn masks_score_alike_however_they_are_stored() {
    let data = pairs("masks", 10, (16, 16), moving);
    let report = |data: &Path| {
        let images = LabelledImages::open(data, None)?;
        let (mut engine, passes) = (ByColour::new(), Passes::single());
        evaluate(
            &mut engine,
            &passes,
            "moving",
            &images,
            &Foreground::Fit,
            &mut |_, _| Ok(()),
            |_| {},
        )
    };
    let expected = report(data.path()).unwrap();
    let mask = |i: usize| data.path().join(format!("masks/{i:02}.png"));
    let white: Vec<image::GrayImage> = (0..10).map(|i| image::open(mask(i)).unwrap().into_luma8()).collect();
    type Store = fn(&image::GrayImage) -> image::DynamicImage;
    let stores: [(Store, &str); 4] = [
        (
            |white| image::GrayImage::from_fn(16, 16, |x, y| image::Luma([white[(x, y)].0[0] / 255])).into(),
            "1 to 1",
        ),
        (
            |white| image::DynamicImage::from(white.clone()).into_luma16().into(),
            "16 bits, white (65535)",
        ),
        (
            |white| RgbImage::from_fn(16, 16, |x, y| image::Rgb([white[(x, y)].0[0] / 2, 0, 0])).into(),
            "black is the background",
        ),
        (
            |white| image::DynamicImage::from(white.clone()).into_rgb8().into(),
            "white (255)",
        ),
    ];
    for (store, words) in stores {
        for (i, white) in white.iter().enumerate() {
            store(white).save(mask(i)).unwrap();
        }
        let found = report(data.path()).unwrap();
        assert!(found.masks_taken_for.contains(words), "{}", found.masks_taken_for);
        assert_eq!(
            (found.model, found.baselines),
            (expected.model, expected.baselines.clone())
        );
    }
    // A trimap says no background, and a broken mask is named.
    image::GrayImage::from_fn(16, 16, |x, _| image::Luma([1 + (x / 6) as u8]))
        .save(mask(0))
        .unwrap();
    (1..10).for_each(|i| std::fs::copy(mask(0), mask(i)).map(drop).unwrap());
    assert!(format!("{:#}", report(data.path()).unwrap_err()).contains("have no 0"));
    std::fs::write(mask(3), b"\x89PNG\r\n\x1a\n").unwrap();
    assert!(format!("{:#}", report(data.path()).unwrap_err()).contains("03.png"));
}
