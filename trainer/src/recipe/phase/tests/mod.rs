use super::*;

fn phase() -> Phase {
    Phase {
        name: "only".into(),
        steps: 101,
        timesteps: (1, 1000),
        learning_rate: 2e-4,
        final_learning_rate: None,
        warmup_steps: 0,
        mask_generator_factor: 1.0,
        denoiser_factor: 1.0,
        encoder_factor: 1.0,
        mask_head: MaskHead::Trained,
        masks: MaskShaping::default(),
        competition: None,
    }
}

#[test]
fn learning_rate_warms_up_and_decays() {
    let warm = Phase {
        warmup_steps: 4,
        ..phase()
    };
    assert_eq!(
        [0, 1, 3, 4, 50].map(|s| warm.learning_rate_at(s)),
        [0.5e-4, 1e-4, 2e-4, 2e-4, 2e-4]
    );
    let decaying = Phase {
        final_learning_rate: Some(0.0),
        ..phase()
    };
    assert_eq!(decaying.learning_rate_at(0), 2e-4);
    assert!((decaying.learning_rate_at(50) - 1e-4).abs() < 1e-12);
    assert!(decaying.learning_rate_at(100).abs() < 1e-12);
}

#[test]
fn temperature_moves_geometrically() {
    let ramp = Ramp { from: 4.0, to: 1.0 };
    assert_eq!([0, 50, 100, 500].map(|s| ramp.at(s, 101)), [4.0, 2.0, 1.0, 1.0]);
    assert_eq!(Ramp::constant(0.5).at(7, 10), 0.5);
}
