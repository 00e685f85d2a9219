use super::*;

fn map(width: usize, height: usize, probabilities: &[f32]) -> RegionMap {
    RegionMap {
        regions: 2,
        width,
        height,
        probabilities: probabilities.to_vec(),
    }
}

#[test]
fn smoothing_follows_changes_and_calms_noise() {
    let old = map(2, 1, &[0.6, 1.0, 0.4, 0.0]);
    let mut new = map(2, 1, &[0.5, 0.0, 0.5, 1.0]);
    smooth(&mut new, &old, 0.8);
    // Distance 0.1: weight 0.8 * 0.81.
    assert!((new.probabilities[0] - (0.5 + 0.1 * 0.648)).abs() < 1e-6);
    // Distance 1: the new value alone.
    assert_eq!(new.probabilities[1], 0.0);
    assert!((new.probabilities[0] + new.probabilities[2] - 1.0).abs() < 1e-6);
    let before = new.clone();
    smooth(&mut new, &map(1, 2, &[0.0; 4]), 0.8);
    assert_eq!(new.probabilities, before.probabilities);
}
