//! What phases of a recipe do.

use super::*;

#[test]
fn rates_of_zero_freeze_a_part() {
    for (mask_generator_factor, denoiser_factor) in [(1.0, 0.0), (0.0, 1.0)] {
        let mut recipe = recipe(MaskHead::Released {
            std: Some(0.1),
            from_decoder: false,
        });
        recipe.gradient_clip = Some(1e-5);
        recipe.phases[0].mask_generator_factor = mask_generator_factor;
        recipe.phases[0].denoiser_factor = denoiser_factor;
        for mut learner in both(&recipe, &scrambled(&config(), true)) {
            learner.enter(0, &recipe.phases[0]);
            let before = learner.snapshot();
            first_step(&mut learner, &recipe, &[4]);
            let after = learner.snapshot();
            for (index, spec) in learner.specs().iter().enumerate() {
                let learns = spec.name.starts_with(MASK_GENERATOR) == (mask_generator_factor > 0.0);
                assert!(learns || before.raw[index] == after.raw[index], "{}", spec.name);
                assert_eq!(after.moments[index].is_some(), learns, "{}", spec.name);
            }
            assert!(before.raw != after.raw);
            // The limit is one for what learns.
            let norm = whole(&gradients(&learner));
            assert!((norm - 1e-5).abs() < 1e-8, "{norm}");
        }
    }
}

#[test]
fn a_release_draws_the_head_and_may_copy_the_decoder() {
    let recipe = recipe(MaskHead::Released {
        std: Some(0.02),
        from_decoder: true,
    });
    let mut snapshots = Vec::new();
    for mut learner in both(&recipe, &scrambled(&config(), true)) {
        first_step(&mut learner, &recipe, &[4]);
        learner.enter(0, &recipe.phases[0]);
        let snapshot = learner.snapshot();
        let names = learner.specs().iter().map(|spec| spec.name.clone());
        let all: std::collections::HashMap<_, _> = names.zip(snapshot.raw.clone()).collect();
        let head = &all["mask_generator.conv_out.weight"];
        let deviation = (head.iter().map(|v| v * v).sum::<f32>() / head.len() as f32).sqrt();
        assert!((deviation - 0.02).abs() < 0.004, "{deviation}");
        assert!(all["mask_generator.conv_out.bias"].iter().all(|v| *v == 0.0));
        let copied = all
            .keys()
            .filter_map(|name| name.strip_prefix(DECODER))
            .filter(|rest| !rest.starts_with("conv_out"))
            .count();
        assert!(copied > 20);
        for (name, values) in &all {
            if let Some(rest) = name.strip_prefix(DECODER).filter(|rest| !rest.starts_with("conv_out")) {
                assert_eq!(values, &all[&format!("{MASK_GENERATOR}{rest}")], "{rest}");
            }
        }
        for (index, spec) in learner.specs().iter().enumerate() {
            let new = spec.name.starts_with(MASK_GENERATOR);
            // The average has the new mask generator too, and Adam forgets the old one.
            assert!(!new || snapshot.average[index] == snapshot.raw[index], "{}", spec.name);
            assert_eq!(snapshot.moments[index].is_none(), new, "{}", spec.name);
        }
        snapshots.push(head.clone());
    }
    assert_eq!(snapshots[0], snapshots[1]);
}

#[test]
fn training_lowers_the_loss() {
    let recipe = recipe(MaskHead::Released {
        std: None,
        from_decoder: false,
    });
    for mut learner in both(&recipe, &config().init(&cpu())) {
        learner.enter(0, &recipe.phases[0]);
        let losses: Vec<f32> = (0..25).map(|_| first_step(&mut learner, &recipe, &[4])).collect();
        assert!(losses[24] < 0.9 * losses[0], "{losses:?}");
    }
}
