//! Gradients, by what must be true of them.

use super::*;
use factorseg_model::softmax::softmax;

/// Masks of pictures of 8x8 pixels, `[images, 3, 64]`.
fn masks(images: usize) -> Vec<f32> {
    let mut masks = noise(9, images * 3 * 64);
    softmax(&mut masks, images, 3);
    masks
}

/// The loss of every kind of training along a parameter's gradient, against central differences.
#[test]
fn gradients_agree_with_finite_differences() {
    let mut imitating = recipe(MaskHead::Trained);
    imitating.self_training = Some(SelfTraining::default());
    for recipe in [recipe(MaskHead::Trained), imitating] {
        let mut started = learner(&config(), &scrambled(&config(), false));
        let before = started.snapshot().unwrap();
        let step = |learner: &mut Learner| {
            let mut batch = batch(&[4]);
            batch.parts[0].targets = masks(4);
            f64::from(Ranks::alone().step(learner, &batch, &recipe, 0, 0).unwrap().loss)
        };
        step(&mut started);
        for (parameter, (name, gradient)) in config().parameters().iter().zip(gradients(&started)) {
            let Some(gradient) = gradient else { continue };
            let slope = norm(&gradient);
            if slope < 1e-3 {
                continue;
            }
            let mut along = |distance: f64| {
                let mut moved = before.clone();
                for (value, gradient) in moved.raw[parameter.range()].iter_mut().zip(&gradient) {
                    *value += (distance / slope) as f32 * gradient;
                }
                started.restore(&moved).unwrap();
                step(&mut started)
            };
            let found = (along(0.02) - along(-0.02)) / 0.04;
            assert!(
                (found - slope).abs() < 0.05 * slope + 2e-5,
                "{name}: {found:e} by differences, {slope:e} by the network"
            );
        }
    }
}

#[test]
fn one_branch_for_uniform_masks_is_the_whole_network() {
    let (short, full) = (recipe(MaskHead::Uniform), recipe(MaskHead::Trained));
    let weights = scrambled(&config(), true);
    let [mut one, mut all] = [0; 2].map(|_| learner(&config(), &weights));
    {
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
    let weights = scrambled(&config(), false);
    {
        let run = |parts: &[usize]| {
            let mut learner = learner(&config(), &weights);
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
