use super::*;

/// A red square on green, `side` pixels wide, of `[from, to)`.
fn square(side: usize, from: usize, to: usize) -> InputImage {
    let inside = |pixel: usize| {
        let (x, y) = (pixel % side, pixel / side);
        (from..to).contains(&x) && (from..to).contains(&y)
    };
    let plane = |channel: usize| {
        (0..side * side).map(move |pixel| match (channel, inside(pixel)) {
            (0, true) | (1, false) => 0.8,
            _ => -0.7,
        })
    };
    InputImage {
        width: side,
        height: side,
        data: (0..3).flat_map(plane).collect(),
    }
}

fn rough(side: usize, foreground: impl Fn(usize, usize) -> f32) -> RegionMap {
    let plane: Vec<f32> = (0..side * side).map(|at| foreground(at % side, at / side)).collect();
    RegionMap {
        regions: 2,
        width: side,
        height: side,
        probabilities: plane.iter().map(|p| 1.0 - p).chain(plane.iter().copied()).collect(),
    }
}

#[test]
fn a_rough_mask_takes_the_shape_of_the_colours() {
    let (side, image) = (32, square(32, 8, 20));
    // A blob that lies beside the square and is twice as large.
    let mut map = rough(side, |x, y| {
        if (6..24).contains(&x) && (10..26).contains(&y) {
            0.8
        } else {
            0.3
        }
    });
    ColorModel::default().refine(&image, &mut map, &[]);
    let foreground = &map.probabilities[side * side..];
    for (at, p) in foreground.iter().enumerate() {
        let (x, y) = (at % side, at / side);
        let depth = |v: usize| {
            if (8..20).contains(&v) {
                (v - 7).min(20 - v) as isize
            } else {
                -1
            }
        };
        // A pixel next to the edge is the blur's.
        if depth(x) > 1 && depth(y) > 1 {
            assert!(*p > 0.5, "{x} {y}: {p}");
        }
        if !(7..21).contains(&x) || !(7..21).contains(&y) {
            assert!(*p < 0.5, "{x} {y}: {p}");
        }
    }
}

/// What is in the middle of a red square on green that the network takes for a whole one: a hole of a colour, judged.
fn middle_of_a_ring(hole: [f32; 3], fill_holes: FillHoles) -> bool {
    let side = 32;
    let mut image = square(side, 6, 26);
    for (channel, value) in hole.into_iter().enumerate() {
        for at in (12..20).flat_map(|y| (12..20).map(move |x| y * side + x)) {
            image.data[channel * side * side + at] = value;
        }
    }
    let mut map = rough(side, |x, y| {
        let inside = |from: usize, to: usize| (from..to).contains(&x) && (from..to).contains(&y);
        if inside(6, 26) && !inside(12, 20) { 0.8 } else { 0.02 }
    });
    let mut colors = ColorModel {
        fill_holes,
        ..ColorModel::default()
    };
    colors.refine(&image, &mut map, &[]);
    let object = |x: usize, y: usize| map.probabilities[side * side + y * side + x] > 0.5;
    assert!(object(8, 8) && object(24, 16) && !object(2, 2), "the ring is an object");
    object(16, 16)
}

#[test]
fn gaps_of_the_background_s_colours_stay_and_other_holes_are_filled() {
    let (background, other) = ([-0.7, 0.8, -0.7], [-0.7, -0.7, 0.9]);
    let with = |fill_holes| [background, other].map(|hole| middle_of_a_ring(hole, fill_holes));
    assert_eq!(with(FillHoles::Auto), [false, true]);
    assert_eq!(with(FillHoles::All), [true, true]);
    assert_eq!(with(FillHoles::None), [false, false]);
}

#[test]
fn probabilities_stay_probabilities() {
    for regions in 1..5 {
        let (width, height) = (12, 8);
        let mut map = RegionMap {
            regions,
            width,
            height,
            probabilities: vec![0.0; regions * width * height],
        };
        // Certain ones, and a pixel that no region claims.
        for pixel in 1..width * height {
            map.probabilities[pixel % regions * width * height + pixel] = 1.0;
        }
        let image = InputImage {
            width,
            height,
            data: (0..3 * width * height).map(|at| (at % 17) as f32 / 4.0 - 2.0).collect(),
        };
        let before = map.clone();
        ColorModel::default().refine(&image, &mut map, &[]);
        if regions == 1 {
            assert_eq!(map, before);
            continue;
        }
        for pixel in 0..width * height {
            let each = (0..regions).map(|k| map.probabilities[k * width * height + pixel]);
            assert!(each.clone().all(|p| (0.0..=1.0).contains(&p)));
            assert!((each.sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn without_colours_the_network_decides() {
    let side = 16;
    let image = InputImage {
        width: side,
        height: side,
        data: vec![0.1; 3 * side * side],
    };
    let mut map = rough(side, |x, _| if x < 8 { 0.9 } else { 0.2 });
    ColorModel::default().refine(&image, &mut map, &[]);
    for row in map.probabilities[side * side..].chunks_exact(side) {
        assert!(row.is_sorted_by(|left, right| left >= right), "{row:?}");
        assert!(row[0] > row[15] + 0.05, "{row:?}");
    }
}

#[test]
fn histograms_keep_their_sum_and_blur_alike_in_all_directions() {
    let mut histogram = ColorHistogram::default();
    let cells = ColorHistogram::cells(&[-1.0, 1.0, 0.01, -1.0, 1.0, 0.01, -1.0, 1.0, 0.01]);
    assert_eq!(cells[..2], [0, (CUBE - 1) as u16]);
    histogram.count(&cells, [1.0, 2.0, 4.0]);
    assert!((histogram.cube.iter().sum::<f32>() - 7.0).abs() < 1e-4);
    let middle = cells[2];
    let steps = [1, CELLS as u16, (CELLS * CELLS) as u16].map(|step| histogram.at(middle + step));
    assert!((steps[0] - steps[1]).abs() < 1e-6 && (steps[0] - steps[2]).abs() < 1e-6);
    assert!(steps[0] < histogram.at(middle) && steps[0] > 0.0);
}
