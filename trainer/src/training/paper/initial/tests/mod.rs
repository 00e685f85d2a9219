use super::*;
use crate::training::testing::config;

#[test]
fn weights_have_the_spread_of_their_kind_and_come_from_the_seed() {
    let model = config();
    let weights = initial_weights(&model, 3);
    assert_eq!(weights, initial_weights(&model, 3));
    assert_ne!(weights, initial_weights(&model, 4));
    let deviation = |name: &str| {
        let parameter = model.parameters().into_iter().find(|one| one.name == name).unwrap();
        let values = &weights[parameter.range()];
        let square: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
        (square / values.len() as f64).sqrt()
    };
    // A uniform number within b has the deviation b / sqrt(3).
    let first = deviation("encoder.conv_in.weight");
    assert!((first - 1.0 / (3.0 * 27.0f64).sqrt()).abs() < 0.01, "{first}");
    let linear = deviation("time_embedding.linear_2.weight");
    assert!((linear - 1.0 / (3.0 * 32.0f64).sqrt()).abs() < 0.01, "{linear}");
    assert!((deviation("class_embedding.weight") - 1.0).abs() < 0.15);
    assert_eq!(deviation("middle.residual_1.norm_1.gamma"), 1.0);
    for zero in [
        "middle.residual_1.conv_2.weight",
        "middle.attention.project.weight",
        "mask_generator.conv_out.weight",
        "decoder.conv_out.bias",
    ] {
        assert_eq!(deviation(zero), 0.0, "{zero}");
    }
}
