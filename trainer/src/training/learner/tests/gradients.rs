//! Gradients, by what must be true of them.

use super::*;

/// The loss along a parameter's gradient, against central differences.
#[test]
fn gradients_agree_with_finite_differences() {
    let recipe = recipe(MaskHead::Trained);
    let network = scrambled(&config(), false);
    let mut started = native(&recipe, &network);
    let before = started.snapshot();
    first_step(&mut started, &recipe, &[4]);
    for (index, (name, gradient)) in gradients(&started).into_iter().enumerate() {
        let gradient = gradient.unwrap();
        let slope = norm(&gradient);
        if slope < 1e-3 {
            continue;
        }
        let mut along = |distance: f64| {
            let mut moved = before.clone();
            for (value, gradient) in moved.raw[index].iter_mut().zip(&gradient) {
                *value += (distance / slope) as f32 * gradient;
            }
            started.restore(moved);
            f64::from(first_step(&mut started, &recipe, &[4]))
        };
        let found = (along(0.02) - along(-0.02)) / 0.04;
        assert!(
            (found - slope).abs() < 0.05 * slope + 2e-5,
            "{name}: {found:e} by differences, {slope:e} by the network"
        );
    }
}

/// One image at a time, so that each has one weight: loss and gradients are the unweighted ones times it.
#[test]
fn the_noise_level_scales_loss_and_gradients() {
    let network = scrambled(&config(), false);
    let plain = recipe(MaskHead::Trained);
    let mut weighted = plain.clone();
    weighted.phases[0].noise_weighting = NoiseWeighting::MinSnr { gamma: 2.0 };
    let schedule = NoiseSchedule::new(&config().schedule);
    let mut part = batch(&[1]);
    part.parts[0].timesteps = vec![40];
    let weight = weighted.phases[0].noise_weighting.weight(&schedule, 40);
    assert!(weight > 0.01 && weight < 0.5, "{weight}");
    for (mut a, mut b) in both(&plain, &network).into_iter().zip(both(&weighted, &network)) {
        let loss = |learner: &mut Learner, recipe: &Recipe| {
            let outcome = learner.step(&part, recipe, &recipe.phases[0], 0).unwrap();
            f64::from(outcome.loss.value())
        };
        let (one, other) = (loss(&mut a, &plain), loss(&mut b, &weighted));
        assert!((one * weight - other).abs() < 1e-5 * one, "{one} {other} {weight}");
        let (one, other) = (gradients(&a), gradients(&b));
        let whole = whole(&other);
        for ((name, a), (_, b)) in one.iter().zip(&other) {
            let scaled: Vec<f32> = a.as_ref().unwrap().iter().map(|g| g * weight as f32).collect();
            assert_same(name, &scaled, b.as_ref().unwrap(), 1e-3, whole);
        }
    }
}

#[test]
fn one_branch_for_uniform_masks_is_the_whole_network() {
    let (short, full) = (recipe(MaskHead::Uniform), recipe(MaskHead::Trained));
    let network = scrambled(&config(), true);
    for (mut one, mut all) in both(&short, &network).into_iter().zip(both(&full, &network)) {
        let (a, b) = (first_step(&mut one, &short, &[4]), first_step(&mut all, &full, &[4]));
        assert!((a - b).abs() < 1e-5, "{a} {b}");
        let (one, all) = (gradients(&one), gradients(&all));
        let whole = whole(&all);
        for ((name, a), (_, b)) in one.iter().zip(&all) {
            let b = b.as_ref().unwrap();
            match a {
                Some(a) => assert_same(name, a, b, 1e-3, whole),
                // The saddle: nothing but rounding reaches the mask generator.
                None => assert!(
                    name.starts_with(MASK_GENERATOR) && norm(b) < 1e-5 * whole,
                    "{name} {:e}",
                    norm(b)
                ),
            }
        }
    }
}

#[test]
fn micro_batches_give_the_gradient_of_the_batch() {
    let recipe = recipe(MaskHead::Trained);
    let network = scrambled(&config(), false);
    for kind in 0..2 {
        let run = |parts: &[usize]| {
            let mut learner = both(&recipe, &network).into_iter().nth(kind).unwrap();
            let loss = first_step(&mut learner, &recipe, parts);
            (loss, gradients(&learner))
        };
        let ((a, one), (b, sum)) = (run(&[4]), run(&[1, 3]));
        assert!((a - b).abs() < 1e-5, "{a} {b}");
        let whole = whole(&one);
        for ((name, a), (_, b)) in one.iter().zip(&sum) {
            assert_same(name, a.as_ref().unwrap(), b.as_ref().unwrap(), 1e-3, whole);
        }
    }
}
