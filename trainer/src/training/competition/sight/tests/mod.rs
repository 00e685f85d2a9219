use super::*;

#[test]
fn a_ring_is_what_lies_within_reach() {
    let side = 9;
    let inner: Vec<bool> = (0..81).map(|at| at == 40 || at == 41 || at == 0).collect();
    for (from, to) in [(0.0, 2.3), (1.0, 2.3), (1.5, 20.0)] {
        let found = ring(&inner, side, from, to);
        for at in 0..81usize {
            let distance = |other: usize| {
                let (dx, dy) = ((at % 9).abs_diff(other % 9), (at / 9).abs_diff(other / 9));
                ((dx * dx + dy * dy) as f64).sqrt()
            };
            let nearest = [40, 41, 0].map(distance).into_iter().fold(f64::MAX, f64::min);
            assert_eq!(found[at], nearest > from && nearest <= to, "{at}");
        }
    }
    assert!(!ring(&[false; 81], side, 0.0, 4.0).contains(&true));
    assert!(!ring(&[true; 81], side, 0.0, 4.0).contains(&true));
}

#[test]
fn a_disc_lies_in_the_middle() {
    let found = disc(8, 0.2);
    let expected = [
        [2, 3],
        [2, 4],
        [3, 2],
        [3, 3],
        [3, 4],
        [3, 5],
        [4, 2],
        [4, 3],
        [4, 4],
        [4, 5],
        [5, 3],
        [5, 4],
    ];
    for at in 0..64 {
        assert_eq!(found[at], expected.contains(&[at / 8, at % 8]), "{at}");
    }
    assert!(!disc(8, 0.0).contains(&true));
}

#[test]
fn a_frame_has_the_edges_that_are_asked_for() {
    let at = |x: usize, y: usize| y * 16 + x;
    for (edges, above, below) in [
        (FrameEdges::All, true, true),
        (FrameEdges::Sides, false, false),
        (FrameEdges::SidesAndBottom, false, true),
    ] {
        let frame = in_frame(16, 0.125, edges);
        assert!(frame[at(1, 8)] && frame[at(14, 8)] && !frame[at(2, 8)] && !frame[at(13, 8)]);
        assert_eq!((frame[at(8, 1)], frame[at(8, 14)]), (above, below), "{edges:?}");
        assert!(!frame[at(8, 2)] && !frame[at(8, 13)]);
    }
}
