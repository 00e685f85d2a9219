use super::*;
use crate::evaluate::metrics::Truth;
use image::Rgb;

fn inside(x: u32, y: u32) -> bool {
    (50..110).contains(&x) && (20..60).contains(&y)
}

/// 160 by 80: an orange box on a background that goes from blue to green.
fn picture() -> RgbImage {
    RgbImage::from_fn(160, 80, |x, y| {
        if inside(x, y) {
            Rgb([230, 140, 30])
        } else {
            Rgb([10, x as u8, 160 - x as u8])
        }
    })
}

fn truth() -> TruthMask<'static> {
    let pixels = (0..160 * 80).map(|at| Truth::from(inside(at % 160, at / 160)));
    TruthMask {
        width: 160,
        height: 80,
        pixels: pixels.collect(),
    }
}

fn iou(mask: Vec<bool>) -> f64 {
    truth().scores(mask).iou
}

#[test]
fn colours_that_the_frame_lacks_are_the_object() {
    let ranks = Ranks::unlike_the_frame(&picture());
    let share = Ranks::best_share(std::slice::from_ref(&ranks), &[truth()], |scores| scores.iou);
    // The box is 0.1875 of the picture.
    assert!((share - 0.2).abs() < 1e-9, "{share}");
    assert!(iou(ranks.mask(share, 160, 80)) > 0.75);
}

#[test]
fn a_blob_takes_the_shape_of_the_colours() {
    let picture = RgbImage::from_fn(160, 80, |x, y| {
        Rgb(if inside(x, y) { [230, 140, 30] } else { [30, 60, 90] })
    });
    let found = iou(Ranks::blob(&picture).mask(0.5, 160, 80));
    assert!(found > 0.85, "{found}");
    let plain = iou(Ranks::blob(&RgbImage::new(160, 80)).mask(0.5, 160, 80));
    assert!(plain < 0.7, "{plain}");
}

#[test]
fn the_cluster_on_the_frame_is_background_whether_dark_or_bright() {
    for (object, ground) in [(20, 220), (220, 20)] {
        let picture = RgbImage::from_fn(160, 80, |x, y| Rgb([if inside(x, y) { object } else { ground }; 3]));
        assert!(iou(Ranks::k_means(&picture).mask(0.5, 160, 80)) > 0.9);
    }
}

#[test]
fn pictures_of_any_size_have_masks() {
    for (width, height) in [(1, 1), (1, 200), (3, 2), (64, 64)] {
        let picture = RgbImage::from_pixel(width, height, Rgb([7; 3]));
        for ranks in [Ranks::k_means, Ranks::unlike_the_frame, Ranks::blob].map(|rank| rank(&picture)) {
            assert_eq!(ranks.mask(0.5, 5, 4).len(), 20);
        }
    }
}
