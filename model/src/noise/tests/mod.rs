use super::*;

#[test]
fn noise_is_standard_normal_and_a_function_of_the_seed() {
    let noise = standard_normal(7, 100_001);
    let mean = noise.iter().map(|&v| v as f64).sum::<f64>() / noise.len() as f64;
    let variance = noise.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / noise.len() as f64;
    let kurtosis = noise.iter().map(|&v| (v as f64 - mean).powi(4)).sum::<f64>() / noise.len() as f64;
    assert!(mean.abs() < 0.01, "{mean}");
    assert!((variance - 1.0).abs() < 0.02, "{variance}");
    assert!((kurtosis - 3.0).abs() < 0.1, "{kurtosis}");
    assert_eq!(noise, standard_normal(7, 100_001));
    assert_ne!(noise[..8], standard_normal(8, 8)[..]);
}
