use super::*;

fn mask(rows: &[&str]) -> Vec<bool> {
    rows.iter()
        .flat_map(|row| row.chars())
        .map(|pixel| pixel == '#')
        .collect()
}

#[test]
fn specks_go_and_holes_are_filled() {
    let object = mask(&[
        "#......#", // a speck in either corner
        ".####...", ".#..#...", ".####.#.", // a speck that touches the object by a corner only
        ".....#..",
    ]);
    let evidence = vec![1.0; object.len()];
    let wrong = misplaced(&object, &evidence, 8, |_| true);
    let expected = mask(&["#......#", "........", "..##....", "......#.", ".....#.."]);
    assert_eq!(wrong, expected);
}

#[test]
fn small_pieces_are_specks() {
    let object = mask(&["##..#", "##.#.", "....#"]);
    assert_eq!(specks(&object, 5, 2), mask(&["....#", "...#.", "....#"]));
    assert_eq!(specks(&object, 5, 5), object);
    assert_eq!(specks(&object, 5, 1), [false; 15]);
}

#[test]
fn evidence_counts_not_size() {
    let object = mask(&["##..#", "##..."]);
    let weigh = |speck: f32| [0.5, 0.5, 0.0, 0.0, speck, 0.5, 0.5, 0.0, 0.0, 0.0];
    assert!(misplaced(&object, &weigh(0.59), 5, |_| true)[4]);
    assert_eq!(misplaced(&object, &weigh(0.61), 5, |_| true), [false; 10]);
}

#[test]
fn a_hole_in_what_goes_is_not_filled_and_nothing_is_nothing() {
    let object = mask(&["###.....", "#.#.####", "###.####"]);
    let evidence: Vec<f32> = (0..24).map(|at| if at % 8 < 3 { 0.1 } else { 1.0 }).collect();
    assert_eq!(
        misplaced(&object, &evidence, 8, |_| true),
        mask(&["###.....", "#.#.....", "###....."])
    );
    assert_eq!(misplaced(&[false; 6], &[1.0; 6], 3, |_| true), [false; 6]);
    assert_eq!(misplaced(&[true; 6], &[0.0; 6], 3, |_| true), [false; 6]);
    assert!(misplaced(&[], &[], 0, |_| true).is_empty());
}

#[test]
fn crumbs_become_what_borders_on_them_most() {
    // A region of 0 with an eye of 2, one of 1, and one of 2 that is too large.
    let width = 12;
    let mut region_of = vec![0; 12 * 12];
    region_of[13] = 2;
    (0..12).for_each(|y| (6..12).for_each(|x| region_of[y * width + x] = 1));
    (4..12).for_each(|y| (8..12).for_each(|x| region_of[y * width + x] = 2));
    // On the border of 0 and 1, with more of 1 around it.
    region_of[5 * width + 6] = 2;
    assert_eq!(crumbs(&region_of, 3, width), [(13, 0), (5 * width + 6, 1)]);
    // Four of 32 are more than a twentieth.
    (1..5).for_each(|x| region_of[9 * width + x] = 2);
    assert_eq!(crumbs(&region_of, 3, width).len(), 2);
    assert_eq!(crumbs(&[0; 4], 3, 2), []);
}

/// The pieces by filling from each pixel that has none yet, and which of them touch the border.
fn filled(values: &[u8], width: usize) -> (Vec<usize>, Vec<bool>) {
    let (mut piece_of, mut open): (Vec<Option<usize>>, Vec<bool>) = (vec![None; values.len()], Vec::new());
    for start in 0..values.len() {
        if piece_of[start].is_some() {
            continue;
        }
        let (piece, mut next) = (open.len(), vec![start]);
        open.push(false);
        while let Some(at) = next.pop() {
            if piece_of[at].replace(piece).is_some() {
                continue;
            }
            let (x, y) = ((at % width) as isize, (at / width) as isize);
            for (x, y) in [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)] {
                if (0..width as isize).contains(&x) && (0..(values.len() / width) as isize).contains(&y) {
                    let other = y as usize * width + x as usize;
                    if values[other] == values[start] && piece_of[other].is_none() {
                        next.push(other);
                    }
                } else {
                    open[piece] = true;
                }
            }
        }
    }
    (piece_of.into_iter().map(Option::unwrap).collect(), open)
}

#[test]
fn pieces_are_what_a_fill_finds() {
    let mut state = 1u32;
    for (width, height) in [(1, 1), (1, 7), (9, 1), (2, 2), (13, 8), (24, 31)] {
        for kinds in 1..4 {
            let values: Vec<u8> = (0..width * height)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8 % kinds
                })
                .collect();
            let pieces = Pieces::of(&values, width);
            let (piece_of, open) = filled(&values, width);
            assert_eq!(pieces.of_pixel, piece_of);
            assert_eq!(pieces.open, open);
            assert!((0..values.len()).all(|at| pieces.value[piece_of[at]] == values[at]));
        }
    }
    assert_eq!(Pieces::of(&[0u8; 0], 0).count(), 0);
}
