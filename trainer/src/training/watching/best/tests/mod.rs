use super::*;

#[test]
fn a_later_phase_wins_then_whole_masks_then_the_lower_loss_then_the_later_step() {
    let score = |phase, collapsed, loss| Score { phase, collapsed, loss };
    let scored = [
        (1, score(0, false, 0.1)),
        (2, score(1, true, 0.2)),
        (3, score(1, false, 0.9)),
        (4, score(1, false, 0.5)),
        (5, score(1, false, 0.6)),
        (6, score(1, true, 0.1)),
        (7, score(1, false, 0.5)),
    ];
    let found = |count: usize| best(scored.into_iter().take(count)).map(|(step, _)| step);
    let expected = [None, Some(1), Some(2), Some(3), Some(4), Some(4), Some(4), Some(7)];
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(found), expected);
}
