//! What phases of a recipe do.

use super::*;
use crate::training::paper::initial_weights;

#[test]
fn rates_of_zero_freeze_a_part() {
    for (mask_generator_factor, denoiser_factor, encoder_factor) in [(1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (0.0, 1.0, 0.0)]
    {
        let mut recipe = recipe(MaskHead::Released { std: Some(0.1) });
        recipe.gradient_clip = Some(1e-5);
        recipe.phases[0].mask_generator_factor = mask_generator_factor;
        recipe.phases[0].denoiser_factor = denoiser_factor;
        recipe.phases[0].encoder_factor = encoder_factor;
        {
            let mut learner = learner(&config(), &scrambled(&config(), true));
            learner.enter(0, &recipe.phases[0]).unwrap();
            let before = learner.snapshot().unwrap();
            first_step(&mut learner, &recipe, &[4]);
            let after = learner.snapshot().unwrap();
            for (index, one) in learner.parameter_list().iter().enumerate() {
                let factor = match one.name.split('.').next() {
                    Some("mask_generator") => mask_generator_factor,
                    Some("decoder") => denoiser_factor,
                    _ => denoiser_factor * encoder_factor,
                };
                let learns = factor > 0.0;
                assert!(
                    learns || before.raw[one.range()] == after.raw[one.range()],
                    "{}",
                    one.name
                );
                assert_eq!(after.moments[index].is_some(), learns, "{}", one.name);
            }
            assert!(before.raw != after.raw);
            // The limit is one for what learns.
            let norm = whole(&gradients(&learner));
            assert!((norm - 1e-5).abs() < 1e-8, "{norm}");
        }
    }
}

#[test]
fn parts_of_a_region_learn_in_the_head_alone_and_against_each_other() {
    let mut recipe = recipe(MaskHead::Trained);
    recipe.gradient_clip = Some(1e-5);
    recipe.phases[0].masks.parts = Some(2);
    let model = ModelConfig { regions: 4, ..config() };
    let weights = scrambled(&model, false);
    let mut learner = Learner::new(&model, &recipe, 1, &weights, Device::Cpu, 1, Precision::F32).unwrap();
    let before = learner.snapshot().unwrap();
    first_step(&mut learner, &recipe, &[4]);
    let after = learner.snapshot().unwrap();
    for one in learner.parameter_list() {
        let range = one.range();
        let (before, after) = (&before.raw[range.clone()], &after.raw[range]);
        if !one.name.starts_with(MASK_GENERATOR) {
            continue;
        }
        assert_eq!(before != after, one.name.starts_with(MASK_HEAD), "{}", one.name);
        if one.name.starts_with(MASK_HEAD) {
            let row = before.len() / 4;
            for place in (0..row).chain(2 * row..3 * row) {
                let sum = |values: &[f32]| values[place] + values[place + row];
                let moved = sum(after) - sum(before);
                assert!(moved.abs() < 1e-6, "{} {place}: {moved}", one.name);
            }
        }
    }
    let norm = whole(&gradients(&learner));
    assert!((norm - 1e-5).abs() < 1e-8, "{norm}");
}

#[test]
fn a_release_draws_the_head_and_forgets_the_mask_generator() {
    let recipe = recipe(MaskHead::Released { std: Some(0.02) });
    {
        let mut learner = learner(&config(), &scrambled(&config(), true));
        first_step(&mut learner, &recipe, &[4]);
        learner.enter(0, &recipe.phases[0]).unwrap();
        let snapshot = learner.snapshot().unwrap();
        let list = learner.parameter_list();
        let values = list
            .iter()
            .map(|one| (one.name.clone(), snapshot.raw[one.range()].to_vec()));
        let all: std::collections::HashMap<_, _> = values.collect();
        let head = &all["mask_generator.conv_out.weight"];
        let deviation = (head.iter().map(|v| v * v).sum::<f32>() / head.len() as f32).sqrt();
        assert!((deviation - 0.02).abs() < 0.004, "{deviation}");
        assert!(all["mask_generator.conv_out.bias"].iter().all(|v| *v == 0.0));
        for (index, one) in list.iter().enumerate() {
            let new = one.name.starts_with(MASK_GENERATOR);
            // The average has the new mask generator too, and Adam forgets the old one.
            let same = snapshot.average[one.range()] == snapshot.raw[one.range()];
            assert!(!new || same, "{}", one.name);
            assert_eq!(snapshot.moments[index].is_none(), new, "{}", one.name);
        }
    }
}

#[test]
fn training_lowers_the_loss() {
    let recipe = recipe(MaskHead::Released { std: None });
    {
        let mut learner = learner(&config(), &initial_weights(&config(), 1));
        learner.enter(0, &recipe.phases[0]).unwrap();
        let losses: Vec<f32> = (0..25).map(|_| first_step(&mut learner, &recipe, &[4])).collect();
        assert!(losses[24] < 0.9 * losses[0], "{losses:?}");
    }
}

/// What competes learns from what it sees, through both passes under way.
#[test]
fn competing_lowers_the_loss() {
    let mut recipe = recipe(MaskHead::Trained);
    recipe.phases[0].competition = Some(Competition::default());
    let model = ModelConfig { regions: 2, ..config() };
    let mut learner = Learner::new(
        &model,
        &recipe,
        1,
        &scrambled(&model, false),
        Device::Cpu,
        1,
        Precision::F32,
    )
    .unwrap();
    let losses: Vec<f32> = (0..15).map(|_| first_step(&mut learner, &recipe, &[3, 1])).collect();
    assert!(losses[14] < 0.95 * losses[0], "{losses:?}");
}

/// Another network's passes leave the learner as it was.
#[test]
fn passes_of_other_weights_leave_the_learner_as_it_was() {
    let mut learner = learner(&config(), &initial_weights(&config(), 1));
    let before = learner.snapshot().unwrap();
    let weights = scrambled(&config(), false);
    let noised = [batch(&[4]).parts[0].noised.clone(), batch(&[4]).parts[0].noised.clone()].concat();
    // More images than a batch of the learner, and no multiple of it.
    let (noised, timesteps) = (&noised[..7 * 192], [30, 1, 500, 60, 90, 1000, 7]);
    let classes: Vec<i32> = (0..7).map(|image| image % 3).collect();
    let logits = learner.mask_logits(&weights, noised, &timesteps, &classes).unwrap();
    let single = learner
        .mask_logits(&weights, &noised[6 * 192..], &timesteps[6..], &classes[6..])
        .unwrap();
    assert_eq!(logits.len(), 7 * 3 * 64);
    assert_eq!(logits[6 * 3 * 64..], single[..]);
    let masks = noise(5, 7 * 3 * 64);
    for masks in [None, Some(masks.as_slice())] {
        let predicted = learner.predict(&weights, noised, &timesteps, &classes, masks).unwrap();
        assert_eq!(predicted.len(), noised.len());
    }
    assert!(before == learner.snapshot().unwrap());
}

/// Where the processor multiplies bfloat16 it learns as in 32 bits, and either goes on from what the other has left.
/// Elsewhere it is an error that names the way out.
#[test]
fn bfloat16_learns_as_32_bits_do_and_each_goes_on_with_the_others_state() {
    let recipe = recipe(MaskHead::Trained);
    let weights = scrambled(&config(), false);
    let learner = |precision| Learner::new(&config(), &recipe, 1, &weights, Device::Cpu, 1, precision);
    if !Precision::Bf16.runs_on_this_processor() {
        let message = learner(Precision::Bf16).unwrap_err().to_string();
        assert!(
            message.contains("bf16") && message.contains("--precision f32"),
            "{message}"
        );
        return;
    }
    let mut learners = [Precision::F32, Precision::Bf16].map(|precision| learner(precision).unwrap());
    let steps = |learner: &mut Learner| {
        (0..10)
            .map(|_| first_step(learner, &recipe, &[4]))
            .collect::<Vec<f32>>()
    };
    let alike = |[exact, rounded]: &[Vec<f32>; 2]| {
        assert_ne!(exact, rounded);
        for (exact, rounded) in exact.iter().zip(rounded) {
            assert!((exact - rounded).abs() < 0.001 * exact, "{exact} {rounded}");
        }
    };
    let first = learners.each_mut().map(steps);
    assert!(first[0][9] < 0.98 * first[0][0], "{first:?}");
    alike(&first);
    let snapshots = learners.each_ref().map(|learner| learner.snapshot().unwrap());
    for (learner, other) in learners.iter_mut().zip(snapshots.iter().rev()) {
        learner.restore(other).unwrap();
        assert!(learner.snapshot().unwrap() == *other);
    }
    let second = learners.each_mut().map(steps);
    assert!(second[0][9] < first[0][9], "{first:?} {second:?}");
    alike(&second);
}

/// What is told to be whole is that part's gradient at the end of the step, in the order in which ranks sum parts up.
#[test]
fn parts_are_told_once_their_gradient_is_whole() {
    let mut kinds = [0; 3].map(|_| recipe(MaskHead::Trained));
    kinds[1].phases[0].competition = Some(Competition::default());
    kinds[2].self_training = Some(SelfTraining::default());
    let expected: [&[&str]; 3] = [
        &[DECODER, MASK_GENERATOR],
        &[DECODER, MASK_GENERATOR],
        &[MASK_GENERATOR],
    ];
    for (recipe, expected) in kinds.iter().zip(expected) {
        let model = ModelConfig { regions: 2, ..config() };
        let weights = scrambled(&model, false);
        let mut learner = Learner::new(&model, recipe, 1, &weights, Device::Cpu, 1, Precision::F32).unwrap();
        let phase = &recipe.phases[0];
        let parts = learner.parts(recipe, phase);
        let mut batch = batch(&[3, 1]);
        for part in &mut batch.parts {
            part.targets = vec![0.5; part.size * 2 * 64];
        }
        let mut told = Vec::new();
        let mut whole = |network: &mut dyn TrainingPass, part: &'static str| {
            let (_, place) = parts.iter().find(|(name, _)| *name == part).unwrap();
            told.push((part, network.gradients(place.clone())?));
            Ok(())
        };
        learner.accumulate(&batch, recipe, phase, 0, &mut whole).unwrap();
        assert_eq!(told.iter().map(|(name, _)| *name).collect::<Vec<_>>(), expected);
        for ((part, gradient), (name, place)) in told.iter().zip(&parts) {
            assert!(part == name && norm(gradient) > 0.0);
            assert!(
                *gradient == learner.network.gradients(place.clone()).unwrap(),
                "{name} was not whole"
            );
        }
        // What is not told is before both; nothing that learns is left out.
        let (name, encoder) = parts.last().unwrap();
        assert!(*name == ENCODER && norm(&learner.network.gradients(encoder.clone()).unwrap()) > 0.0);
        let all: usize = parts.iter().map(|(_, place)| place.len()).sum();
        let learned = learner
            .parameter_list()
            .iter()
            .filter(|one| rate_factor(recipe, phase, &one.name) > 0.0);
        assert_eq!(all, learned.map(|one| one.range().len()).sum::<usize>());
    }
}
