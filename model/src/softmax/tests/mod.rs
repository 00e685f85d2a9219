use super::*;

#[test]
fn masks_are_positive_with_sum_1_and_large_logits_are_no_trouble() {
    let mut values = vec![0.0, 1000.0, f32::ln(3.0), 1001.0];
    softmax(&mut values, 1, 2);
    for (found, expected) in values.iter().zip([0.25, 0.268_941_42, 0.75, 0.731_058_6]) {
        assert!((found - expected).abs() < 1e-6, "{values:?}");
    }
}
