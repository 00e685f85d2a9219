use super::*;

#[test]
fn every_picture_is_mixed_with_every_draw() {
    let noising = Noising {
        size: (2, 1),
        samples: 2,
        noise: (0..12).map(|value| value as f32 * 0.1).collect(),
        picture_weight: 0.75,
        noise_weight: 0.5,
    };
    let noised = noising.noised(&[[0.0; 6], [1.0; 6]].concat());
    assert_eq!(noising.pictures(&[0.0; 12]), 2);
    for (at, value) in noised.iter().enumerate() {
        let clean = if at < 12 { 0.0 } else { 0.75 };
        let expected = clean + 0.5 * noising.noise[at % 12];
        assert!((value - expected).abs() < 1e-6, "{at}");
    }
    assert_eq!(
        noising.mean(2, vec![1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 4.0, 8.0]),
        [2.0, 4.0, 2.0, 4.0]
    );
}
