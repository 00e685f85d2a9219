use super::*;
use crate::engine::mask;
use crate::pixels::layout::tests::layout;
use gstreamer_video::VideoFormat;

fn map() -> RegionMap {
    mask::tests::map(3, 2, 1, &[0.5, 0.0, 0.25, 1.0, 0.25, 0.0])
}

#[test]
fn tint_mixes_the_colours_of_the_chosen_regions() {
    let layout = layout(VideoFormat::Rgb, 4, 2);
    let colors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let layer = tint(&map(), &[true, false, true], &colors, 0.8, &layout);
    let red = layer.colors[0].as_ref().unwrap();
    assert!((red.keep[0] - (1.0 - 0.8 * 0.75)).abs() < 1e-6);
    assert!((red.add[0] - 0.8 * 0.5 * 255.0).abs() < 1e-3);
    assert_eq!((red.keep[1], red.add[1]), (1.0, 0.0));
    let green = layer.colors[1].as_ref().unwrap();
    assert_eq!(green.add, [0.0, 0.0]);
}

#[test]
fn cut_out_uses_the_opacity_where_there_is_one() {
    let is_foreground = [false, true, false];
    let opaque = cut_out(
        &map(),
        &is_foreground,
        ([0.0, 0.0, 1.0], 0.0),
        &layout(VideoFormat::Bgr, 4, 2),
    );
    assert_eq!(opaque.alpha, None);
    let blue = opaque.colors[2].as_ref().unwrap();
    assert_eq!(blue.keep, [0.25, 1.0]);
    assert!((blue.add[0] - 0.75 * 255.0).abs() < 1e-3 && blue.add[1] == 0.0);
    for opacity in [0.0, 0.5, 1.0] {
        let seen = cut_out(
            &map(),
            &is_foreground,
            ([0.0; 3], opacity),
            &layout(VideoFormat::Bgra, 4, 2),
        );
        let alpha = seen.alpha.unwrap();
        assert_eq!(alpha.keep, [0.25, 1.0]);
        assert_eq!(alpha.add, [0.75 * 255.0 * opacity, 0.0]);
        for color in seen.colors.map(Option::unwrap) {
            // Shown above anything, colours weigh by their own opacity: 0.25 of the frame's, 0.75 of the other's.
            let expected = 0.25 / (0.25 + 0.75 * opacity);
            assert!((color.keep[0] - expected).abs() < 0.05, "{}", color.keep[0]);
            assert_eq!((color.keep[1], color.add[1]), (1.0, 0.0));
        }
    }
    // What nobody sees has the background's colour all the same.
    let nothing = cut_out(
        &map(),
        &[false; 3],
        ([0.0, 1.0, 0.0], 0.0),
        &layout(VideoFormat::Bgra, 4, 2),
    );
    assert_eq!(nothing.colors[1].as_ref().unwrap().add, [255.0; 2]);
}

#[test]
fn a_stronger_blur_leaves_less_of_the_background() {
    let layout = layout(VideoFormat::Gray8, 64, 64);
    let averages: Vec<f32> = (0..16 * 16)
        .map(|cell| f32::from(u8::from(cell % 16 / 4 % 2 == 0)) * 255.0)
        .collect();
    let map = mask::tests::map(2, 16, 16, &[vec![0.0; 256], vec![1.0; 256]].concat());
    let contrast = [6, 12, 25, 100].map(|strength| {
        let layer = blur_background(&map, &[true, false], &averages, strength, &layout);
        let grey = &layer.colors[0].as_ref().unwrap().add;
        grey.iter().copied().fold(0.0, f32::max) - grey.iter().copied().fold(255.0, f32::min)
    });
    assert!(contrast.is_sorted_by(|weak, strong| weak > strong), "{contrast:?}");
    assert!(contrast[0] > 150.0 && contrast[3] < 1.0, "{contrast:?}");
}

#[test]
fn the_blurred_background_has_no_halo_of_the_foreground() {
    // A white object on black: the background stays black up to its edge.
    let layout = layout(VideoFormat::Gray8, 64, 64);
    let (width, height) = (16, 16);
    let inside: Vec<f32> = (0..width * height)
        .map(|cell| {
            let (x, y) = (cell % width, cell / width);
            f32::from(u8::from((5..11).contains(&x) && (5..11).contains(&y)))
        })
        .collect();
    let averages: Vec<f32> = inside.iter().map(|p| p * 255.0).collect();
    let mut probabilities = inside.clone();
    probabilities.extend(inside.iter().map(|p| 1.0 - p));
    let map = mask::tests::map(2, width, height, &probabilities);
    let layer = blur_background(&map, &[true, false], &averages, 2, &layout);
    let grey = layer.colors[0].as_ref().unwrap();
    assert_eq!(grey.keep, inside);
    for (cell, inside) in inside.iter().enumerate() {
        if *inside == 0.0 {
            assert!(grey.add[cell] < 1.0, "cell {cell}: {}", grey.add[cell]);
        }
    }
}

/// An edge in the background has the same width in the frame, however fine the mask is.
#[test]
fn a_blur_does_not_depend_on_how_fine_the_mask_is() {
    let width_of_an_edge = |(width, height): (usize, usize), strength| {
        let map = crate::engine::mask::tests::map(1, width, height, &vec![1.0; width * height]);
        let step = |at: usize| if at % width < width / 2 { 0.0 } else { 1.0 };
        let averages: Vec<f32> = (0..width * height).map(step).collect();
        let blurred = blurred_background(&map, &vec![0.0; width * height], &averages, strength).remove(0);
        let row = &blurred[height / 2 * width..][..width];
        row.iter().filter(|value| (0.1..0.9).contains(*value)).count() as f64 / height as f64
    };
    for strength in [6, 12] {
        let coarse = width_of_an_edge((112, 64), strength);
        let fine = width_of_an_edge((336, 192), strength);
        assert!((coarse / fine - 1.0).abs() < 0.15, "{strength}: {coarse} {fine}");
        // From a tenth to nine tenths a Gaussian takes 2.6 deviations.
        let deviations = 100.0 * fine / strength as f64;
        assert!((2.2..3.2).contains(&deviations), "{strength}: {deviations}");
    }
}
