use super::*;

/// Squares of this many pixels on a side at these places of a frame of 40x30.
fn frame(squares: &[(usize, usize, usize)]) -> Vec<bool> {
    let inside = |x: usize, y: usize| {
        let within = |(left, top, side): &(usize, usize, usize)| {
            (*left..left + side).contains(&x) && (*top..top + side).contains(&y)
        };
        squares.iter().any(within)
    };
    (0..30)
        .flat_map(|y| (0..40).map(move |x| (x, y)))
        .map(|(x, y)| inside(x, y))
        .collect()
}

fn at(numbers: &[u8], x: usize, y: usize) -> u8 {
    numbers[y * 40 + x]
}

#[test]
fn pieces_keep_their_numbers_while_they_move() {
    let mut instances = Instances::default();
    let first = instances.follow(&frame(&[(2, 2, 8), (25, 10, 9)]), 40);
    assert_eq!(
        (at(&first, 3, 3), at(&first, 26, 11), at(&first, 15, 3)),
        (2, 1, 0),
        "the largest is the first"
    );
    // Both move, and a third comes that lies before them in the picture.
    let second = instances.follow(&frame(&[(5, 3, 8), (22, 12, 9), (14, 0, 5)]), 40);
    assert_eq!((at(&second, 6, 4), at(&second, 23, 13), at(&second, 15, 1)), (2, 1, 3));
    // One is hidden for a frame, and is there again.
    instances.follow(&frame(&[(22, 12, 9)]), 40);
    let fourth = instances.follow(&frame(&[(6, 4, 8), (20, 13, 9)]), 40);
    assert_eq!((at(&fourth, 7, 5), at(&fourth, 21, 14)), (2, 1));
}

#[test]
fn what_touches_is_one_and_what_comes_apart_is_new() {
    let mut instances = Instances::default();
    instances.follow(&frame(&[(2, 5, 6), (20, 5, 10)]), 40);
    let together = instances.follow(&frame(&[(14, 5, 6), (20, 5, 10)]), 40);
    assert_eq!(
        (at(&together, 15, 6), at(&together, 25, 6)),
        (1, 1),
        "the one that overlaps most"
    );
    let apart = instances.follow(&frame(&[(8, 20, 6), (20, 5, 10)]), 40);
    assert_eq!(
        (at(&apart, 9, 21), at(&apart, 25, 6)),
        (3, 1),
        "far from where the second was seen last"
    );
}

#[test]
fn specks_and_the_twenty_first_have_no_number() {
    let mut instances = Instances::default();
    let many: Vec<_> = (0..24).map(|index| (index % 6 * 6, index / 6 * 7, 3)).collect();
    let numbers = instances.follow(&frame(&many), 40);
    let mut given: Vec<u8> = numbers.iter().copied().filter(|number| *number > 0).collect();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given, (1..=20).collect::<Vec<u8>>());
    assert_eq!(numbers.iter().filter(|number| **number > 0).count(), 20 * 9);
    // All are given, for good.
    assert!(
        instances
            .follow(&frame(&[(34, 25, 4)]), 40)
            .iter()
            .all(|number| *number == 0)
    );
    let mut instances = Instances::default();
    // A thousandth of 120x100 pixels is twelve.
    let mut object = vec![false; 12_000];
    (0..11).for_each(|x| object[x] = true);
    assert!(instances.follow(&object, 120).iter().all(|number| *number == 0));
    object[11] = true;
    assert_eq!(
        instances
            .follow(&object, 120)
            .iter()
            .filter(|number| **number == 1)
            .count(),
        12
    );
    // Of another size: another video.
    assert_eq!(instances.follow(&frame(&[(2, 2, 8)]), 40)[3 * 40 + 3], 1);
}

#[test]
fn nothing_is_followed_through_empty_frames() {
    let mut instances = Instances::default();
    assert_eq!(instances.follow(&[], 0), Vec::<u8>::new());
    assert_eq!(instances.follow(&frame(&[]), 40), vec![0; 1200]);
    assert_eq!(instances.follow(&frame(&[(0, 0, 4)]), 40)[0], 1);
}
