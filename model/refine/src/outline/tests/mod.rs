use super::*;

#[test]
fn runs_go_down_the_columns_and_begin_outside() {
    // 1 1 0
    // 0 1 0
    let regions = [1, 1, 0, 0, 1, 0];
    assert_eq!(runs(&regions, 3, 1), [0, 1, 1, 2, 2]);
    assert_eq!(runs(&regions, 3, 0), [1, 1, 2, 2]);
    assert_eq!(runs(&regions, 3, 5), [6]);
}

#[test]
fn polygons_go_around_pieces_by_their_corners() {
    // 1 0 0
    // 0 1 1
    let regions = [1, 0, 0, 0, 1, 1];
    assert_eq!(
        polygons(&regions, 3, 1),
        [vec![1, 0, 1, 1, 0, 1, 0, 0], vec![3, 1, 3, 2, 1, 2, 1, 1]]
    );
    assert_eq!(polygons(&[], 0, 1), [[0usize; 0]; 0]);
}

/// Whether the centre of a pixel lies within a polygon: a ray from it to the left crosses it an odd number of times.
fn holds(polygon: &[usize], x: usize, y: usize) -> bool {
    let corners: Vec<(f64, f64)> = polygon.chunks(2).map(|at| (at[0] as f64, at[1] as f64)).collect();
    let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
    let crossed = |from: &(f64, f64), to: &(f64, f64)| from.0 == to.0 && from.0 < x && (from.1 > y) != (to.1 > y);
    let around = corners.iter().zip(corners.iter().cycle().skip(1));
    around.filter(|(from, to)| crossed(from, to)).count() % 2 == 1
}

#[test]
fn polygons_hold_the_pixels_of_a_region_and_of_its_holes_and_no_others() {
    // A simple generator of numbers; half of the pixels are set, so that pieces touch by corners and have holes.
    let (width, height) = (23, 17);
    let mut state = 1u32;
    for _ in 0..50 {
        let labels: Vec<u8> = (0..width * height)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 31) as u8
            })
            .collect();
        let polygons = polygons(&labels, width, 1);
        // Outside is what can be reached from beyond the border, by corners too.
        let mut outside = vec![false; labels.len()];
        for _ in 0..labels.len() {
            for at in 0..labels.len() {
                let (x, y) = (at % width, at / width);
                let border = x == 0 || y == 0 || x + 1 == width || y + 1 == height;
                let near = |at: usize| {
                    let (x, y) = (at % width, at / width);
                    (y.max(1) - 1..=(y + 1).min(height - 1))
                        .flat_map(move |y| (x.max(1) - 1..=(x + 1).min(width - 1)).map(move |x| y * width + x))
                };
                outside[at] = labels[at] == 0 && (outside[at] || border || near(at).any(|other| outside[other]));
            }
            // Rows in turn from above and below reach everything after a few rounds.
            if (0..labels.len()).all(|at| labels[at] == 1 || outside[at]) {
                break;
            }
        }
        for at in 0..labels.len() {
            let around = polygons
                .iter()
                .filter(|polygon| holds(polygon, at % width, at / width))
                .count();
            assert_eq!(
                around > 0,
                labels[at] == 1 || !outside[at],
                "{} {}",
                at % width,
                at / width
            );
        }
    }
}
