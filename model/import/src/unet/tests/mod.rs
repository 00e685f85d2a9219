use super::*;

#[test]
fn heads_are_put_side_by_side() {
    // Two heads of two channels: q0 q0 q1 q1 k0 k0 k1 k1 v0 v0 v1 v1.
    for heads in [Heads::Count(2), Heads::Channels(2)] {
        assert_eq!(side_by_side(12, heads), [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]);
    }
    assert_eq!(
        transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3),
        [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
    );
}
