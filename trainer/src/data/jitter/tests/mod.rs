use super::*;
use crate::data::batch::normal;
use crate::data::order::{Stream, random};

fn picture() -> Vec<f32> {
    let mut values = Vec::new();
    normal(&mut random(3, Stream::Sample, 0), 3 * 16, &mut values);
    values.into_iter().map(|value| (value / 3.0).clamp(-1.0, 1.0)).collect()
}

#[test]
fn no_strength_changes_nothing() {
    let (before, mut after) = (picture(), picture());
    Jitter::random(0.0, &mut random(1, Stream::Sample, 0)).apply(&mut after);
    assert_eq!(before, after);
}

#[test]
fn colours_change_and_stay_in_range() {
    let mut grey = 0;
    for seed in 0..200 {
        let (before, mut after) = (picture(), picture());
        Jitter::random(1.0, &mut random(seed, Stream::Sample, 0)).apply(&mut after);
        assert!(after.iter().all(|value| (-1.0..=1.0).contains(value)));
        assert!(before.iter().zip(&after).any(|(a, b)| (a - b).abs() > 0.01));
        grey += usize::from(Jitter::random(1.0, &mut random(seed, Stream::Sample, 0)).grey == 1.0);
    }
    assert!((8..40).contains(&grey), "{grey}");
}

#[test]
fn a_grey_picture_has_its_luma() {
    let jitter = Jitter {
        grey: 1.0,
        gain: [1.0; 3],
        offset: [0.0; 3],
    };
    let mut picture = vec![1.0, -1.0, 0.0];
    jitter.apply(&mut picture);
    assert!(
        picture.iter().all(|value| (value - (0.299 - 0.587)).abs() < 1e-6),
        "{picture:?}"
    );
}
