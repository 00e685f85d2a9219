use std::path::Path;

use super::*;
use crate::evaluate::series::Statistics;
use crate::evaluate::testing::{ByColour, davis_layout};

fn evaluate(root: &Path, every: usize, foreground: &str) -> DavisReport {
    evaluate_over_time(root, every, foreground, OverTime::default())
}

fn evaluate_over_time(root: &Path, every: usize, foreground: &str, over_time: OverTime) -> DavisReport {
    let (mut engine, passes) = (ByColour::new(), Passes::single());
    let layout = read_layout(root, every, Frames::AfterFirst).unwrap();
    let fitted = fit(&mut engine, &passes, &layout, &foreground.parse().unwrap()).unwrap();
    assert_eq!(fitted.first_frames.len(), 2);
    score(&mut engine, &passes, &layout, &fitted, over_time, |_| {}).unwrap()
}

#[test]
fn a_perfect_segmenter_scores_one_and_flickers_like_the_annotations() {
    let root = davis_layout(4);
    let report = evaluate(root.path(), 1, "fit");
    assert_eq!((report.fitted_frames, report.scored_frames), (2, 8));
    assert_eq!(
        (report.foreground_regions.as_slice(), report.assignment.as_str()),
        (&[0, 1][..], "fitted")
    );
    let perfect = Statistics {
        mean: 1.0,
        recall: 1.0,
        decay: 0.0,
        start: 1.0,
    };
    for scores in [report.model, report.oracle] {
        assert_eq!(scores, VideoScores { j: perfect, f: perfect });
    }
    // Half of the box stays: the union is one and a half boxes.
    assert!((report.annotation_flicker - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(report.flicker, report.annotation_flicker);
    // Masks that are sure of a change follow it, whatever the smoothing.
    let smoothing = OverTime {
        smoothing: 0.9,
        ..OverTime::default()
    };
    assert_eq!(evaluate_over_time(root.path(), 1, "fit", smoothing).model, report.model);
    assert!((report.baselines[0].scores.j.mean - 64.0 / 1536.0).abs() < 1e-12);
    assert_eq!(report.baselines[0].scores.f.mean, 0.0);
    assert!(report.baselines[2].scores.j.mean < 0.5, "{:?}", report.baselines[2]);
    assert_eq!(
        report.baselines[3].scores.j.mean, 1.0,
        "K-means tells the box from the ground"
    );
}

#[test]
fn one_assignment_holds_for_all_sequences() {
    let root = davis_layout(0);
    // The test engine's checkpoint names green alone, so the red sequence is missed.
    let report = evaluate(root.path(), 2, "checkpoint");
    assert_eq!(
        (report.scored_frames, report.foreground_regions.as_slice()),
        (4, &[1][..])
    );
    assert_eq!(
        (report.sequences[0].model.j.mean, report.sequences[1].model.j.mean),
        (1.0, 0.0)
    );
    assert_eq!((report.model.j.mean, report.oracle.j.mean), (0.5, 1.0));
    assert_eq!((report.flicker, report.annotation_flicker), (0.0, 0.0));
}

/// Annotations of objects by number, with pixels that nobody judged: they count neither for nor against a mask.
#[test]
fn void_pixels_count_for_nothing() {
    let root = davis_layout(4);
    for path in ["green", "red"]
        .iter()
        .flat_map(|name| (0..5).map(move |i| format!("{name}/{i:05}.png")))
    {
        let path = root.path().join("Annotations/480p").join(path);
        let white = image::open(&path).unwrap().into_luma8();
        // The left quarter of each object is void, and so is a corner.
        let first = white.enumerate_pixels().find(|(_, _, pixel)| pixel.0[0] > 0).unwrap().0;
        let label = |x: u32, y: u32| match white.get_pixel(x, y).0[0] {
            0 if x < 4 && y < 4 => 255,
            0 => 0,
            _ if x < first + 2 => 255,
            _ => 3,
        };
        image::GrayImage::from_fn(48, 32, |x, y| image::Luma([label(x, y)]))
            .save(path)
            .unwrap();
    }
    let report = evaluate(root.path(), 1, "fit");
    assert!(
        report.masks_taken_for.contains("255 void"),
        "{}",
        report.masks_taken_for
    );
    assert_eq!((report.model.j.mean, report.model.f.mean), (1.0, 1.0));
    // Everything but the object and void is wrong in a mask of everything.
    let everything = report.baselines[0].scores.j.mean;
    assert!((everything - 48.0 / (1536.0 - 32.0)).abs() < 1e-12, "{everything}");
}

/// Two objects side by side, one of which the engine tells apart: the region is matched with it, and the other has none.
#[test]
fn regions_are_matched_with_objects() {
    let root = davis_layout(0);
    for i in 0..5 {
        let path = |part: &str| root.path().join(part).join(format!("480p/green/{i:05}.png"));
        // A red box of 8 by 8 beside the green one, and a third object that no region has.
        let mut picture = image::open(path("JPEGImages")).unwrap().into_rgb8();
        let mut numbers = image::GrayImage::new(48, 32);
        for (x, y) in (10..18).flat_map(|x| (12..20).map(move |y| (x, y))) {
            numbers.put_pixel(x, y, image::Luma([2]));
            numbers.put_pixel(x + 10, y, image::Luma([1]));
            picture.put_pixel(x + 10, y, image::Rgb([255, 0, 0]));
            numbers.put_pixel(x + 20, y, image::Luma([3]));
        }
        picture.save(path("JPEGImages")).unwrap();
        numbers.save(path("Annotations")).unwrap();
        let red = root.path().join(format!("Annotations/480p/red/{i:05}.png"));
        let white = image::open(&red).unwrap().into_luma8();
        image::GrayImage::from_fn(48, 32, |x, y| image::Luma([white.get_pixel(x, y).0[0] / 255]))
            .save(red)
            .unwrap();
    }
    let report = evaluate(root.path(), 1, "1,2");
    let found: Vec<f64> = report.sequences[0].objects.iter().map(|object| object.j.mean).collect();
    assert_eq!(found, [1.0, 1.0, 0.0]);
    assert_eq!((report.objects, report.by_object.j.mean), (4, 0.75));
}

/// Two objects of one colour are one region and two pieces, which keep their numbers as they move.
#[test]
fn pieces_are_matched_with_objects_that_share_a_region() {
    let root = davis_layout(2);
    for i in 0..5 {
        let path = |part: &str| root.path().join(part).join(format!("480p/green/{i:05}.png"));
        let mut picture = image::open(path("JPEGImages")).unwrap().into_rgb8();
        let white = image::open(path("Annotations")).unwrap().into_luma8();
        let mut numbers = image::GrayImage::from_fn(48, 32, |x, y| image::Luma([white.get_pixel(x, y).0[0] / 255]));
        // A second green box, of 6 by 6, that goes the other way.
        for (x, y) in (30..36).flat_map(|x| (2..8).map(move |y| (x - i, y))) {
            picture.put_pixel(x, y, image::Rgb([0, 255, 0]));
            numbers.put_pixel(x, y, image::Luma([2]));
        }
        picture.save(path("JPEGImages")).unwrap();
        numbers.save(path("Annotations")).unwrap();
        let red = root.path().join(format!("Annotations/480p/red/{i:05}.png"));
        let white = image::open(&red).unwrap().into_luma8();
        image::GrayImage::from_fn(48, 32, |x, y| image::Luma([white.get_pixel(x, y).0[0] / 255]))
            .save(red)
            .unwrap();
    }
    let report = evaluate(root.path(), 1, "1,2");
    let means = |scores: &[VideoScores]| -> Vec<f64> { scores.iter().map(|object| object.j.mean).collect() };
    let green = &report.sequences[0];
    // The region is one box too much for the object that it is matched with.
    assert_eq!(means(&green.objects), [0.64, 0.0]);
    assert_eq!(means(&green.pieces), [1.0, 1.0]);
    assert_eq!(
        (report.objects, report.by_piece.j.mean, report.by_piece.f.mean),
        (3, 1.0, 1.0)
    );
}
