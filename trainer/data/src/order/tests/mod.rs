use super::*;
use rand::Rng;

#[test]
fn every_epoch_is_another_permutation() {
    let mut order = Order::new(3, 50);
    let epochs: Vec<Vec<usize>> = (0..3)
        .map(|e| (0..50).map(|i| order.image(e * 50 + i)).collect())
        .collect();
    for epoch in &epochs {
        let mut sorted = epoch.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(epochs[1], epochs[2]);
}

#[test]
fn a_position_does_not_depend_on_the_way_there() {
    let mut walked = Order::new(9, 17);
    let all: Vec<usize> = (0..100).map(|p| walked.image(p)).collect();
    let mut jumped = Order::new(9, 17);
    for p in [99, 3, 40, 41, 0] {
        assert_eq!(jumped.image(p), all[p as usize]);
    }
}

#[test]
fn streams_differ() {
    let draw = |seed, stream, position| random(seed, stream, position).random::<u64>();
    let first = draw(1, Stream::Sample, 0);
    assert_eq!(first, draw(1, Stream::Sample, 0));
    assert_ne!(first, draw(1, Stream::HeldOut, 0));
    assert_ne!(first, draw(1, Stream::Sample, 1));
    assert_ne!(first, draw(2, Stream::Sample, 0));
}
