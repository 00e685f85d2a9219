use super::*;
use crate::evaluate::testing::{ByColour, pairs};

fn parts() -> Vec<PartClass> {
    vec!["skin=1-3,7".parse().unwrap(), "hair=4".parse().unwrap()]
}

#[test]
fn classes_gather_map_values() {
    for (value, class) in [(0, 0), (1, 1), (3, 1), (7, 1), (4, 2), (5, 0)] {
        assert_eq!(class_of(value, &parts()), class);
    }
    for wrong in ["skin", "=1", "skin=", "skin=3-1", "skin=1-70000", "skin=a"] {
        assert!(
            wrong.parse::<PartClass>().unwrap_err().contains("skin=1-12,17"),
            "{wrong}"
        );
    }
}

/// Black, a red half that wanders and a green stripe; hair is the green, skin the red.
fn wandering(i: u32, x: u32, y: u32) -> ([u8; 3], u8) {
    if y < 3 {
        ([0, 255, 0], 4)
    } else if (i..i + 6).contains(&x) {
        ([255, 0, 0], 2)
    } else {
        ([0; 3], 0)
    }
}

#[test]
fn a_perfect_segmenter_scores_one_and_a_fixed_map_less() {
    let data = pairs("maps", 10, (16, 8), wandering);
    let open = |maps, limit| PartedImages::open(data.path(), maps, &parts(), limit);
    let report = evaluate(&mut ByColour::new(), &Passes::single(), &open("maps", None).unwrap()).unwrap();
    assert_eq!((report.fitted_images, report.scored_images), (2, 8));
    assert_eq!(report.assignment, [1, 2, 0]);
    assert_eq!((report.model.accuracy, report.model.mean_iou), (1.0, 1.0));
    assert!(report.same_map.accuracy < 0.9 && report.same_map.accuracy > report.one_class.accuracy);
    // Hair is always at the same place.
    assert_eq!(report.same_map.iou[2], 1.0);
    assert!(open("masks", None).is_err());
    let too_few = format!("{:#}", open("maps", Some(1)).unwrap_err());
    assert!(too_few.contains("0 to score"), "{too_few}");
}

#[test]
fn scores_are_those_of_the_confusion() {
    let mut confusion = Confusion::new(2);
    // True classes 0, 0, 0, 1, 1 predicted as 0, 0, 1, 1, 0.
    confusion.add(&[2, 1], 0);
    confusion.add(&[1, 1], 1);
    let scores = confusion.scores();
    assert_eq!((scores.accuracy, scores.iou), (0.6, vec![0.5, 1.0 / 3.0]));
}

#[test]
fn maps_that_do_not_say_their_values_are_refused() {
    let data = pairs("maps", 6, (16, 8), wandering);
    let map = |i: u32| data.path().join(format!("maps/{i:02}.png"));
    let deep = |i, (x, y): (u32, u32)| u16::from(wandering(i, x, y).1) * 1000;
    for i in 0..6 {
        let picture = image::ImageBuffer::from_fn(16, 8, |x, y| image::Luma([deep(i, (x, y))]));
        picture.save(map(i)).unwrap();
    }
    let open = |parts: &[&str]| {
        let parts: Vec<PartClass> = parts.iter().map(|part| part.parse().unwrap()).collect();
        PartedImages::open(data.path(), "maps", &parts, None)
    };
    // Values of 16 bits, of which 8 would say the wrong ones.
    let images = open(&["skin=2000", "hair=4000"]).unwrap();
    let report = evaluate(&mut ByColour::new(), &Passes::single(), &images).unwrap();
    assert_eq!((report.model.accuracy, report.assignment), (1.0, vec![1, 2, 0]));
    assert_eq!(
        open(&["skin=2000"]).unwrap().unnamed.into_iter().collect::<Vec<_>>(),
        [4000]
    );
    let message = |found: Result<PartedImages>| format!("{:#}", found.unwrap_err());
    let nothing = message(open(&["skin=1-12", "hair=13"]));
    assert!(nothing.contains("0, 2000, 4000"), "{nothing}");
    RgbImage::from_fn(16, 8, |x, _| image::Rgb([x as u8 * 10, 0, 90]))
        .save(map(3))
        .unwrap();
    assert!(message(open(&["skin=2000"])).contains("colours"));
}
