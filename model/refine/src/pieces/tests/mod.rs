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
