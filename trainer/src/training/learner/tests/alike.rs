//! The kernels and burn's tape learn alike.

use super::*;
use crate::recipe::SelfTraining;
use crate::training::shaping::{Shaping, Softmax, Volume};

/// Every kind of masks and shaping, several steps in micro-batches with clipping, weight decay, average and a part
/// that learns faster: the kernels and the tape give the same losses, gradients and weights.
#[test]
fn kernels_and_tape_learn_alike() {
    let released = MaskHead::Released {
        std: Some(0.3),
        from_decoder: true,
    };
    let shaped = MaskShaping {
        normalise: Normalisation::Batch,
        temperature: Ramp { from: 0.9, to: 0.6 },
        hard: 0.5,
        gumbel: 0.3,
    };
    for (mask_head, masks, middle_dropout) in [
        (MaskHead::Uniform, MaskShaping::default(), 0.0),
        (MaskHead::RandomPartition { softness: 0.5 }, MaskShaping::default(), 0.5),
        (released, MaskShaping::default(), 0.0),
        (MaskHead::Trained, shaped, 0.3),
    ] {
        let mut recipe = recipe(mask_head);
        let phase = &mut recipe.phases[0];
        phase.masks = masks;
        phase.middle_dropout = middle_dropout;
        assert_learn_alike(&config(), recipe);
    }
}

/// The same of a loss that counts by the noise level.
#[test]
fn kernels_and_tape_weight_alike() {
    for mask_head in [MaskHead::Uniform, MaskHead::Trained] {
        let mut recipe = recipe(mask_head);
        recipe.phases[0].noise_weighting = NoiseWeighting::MinSnr { gamma: 2.0 };
        assert_learn_alike(&config(), recipe);
    }
}

/// The same of regions that compete, with what they see by default and by position.
#[test]
fn kernels_and_tape_compete_alike() {
    let mut recipe = recipe(MaskHead::Trained);
    let by_position = Competition {
        frame_edges: FrameEdges::Sides,
        centre: 0.2,
        surroundings: (0.05, 0.3),
        ..Competition::default()
    };
    for (regions, competition) in [
        (2, Competition::default()),
        (3, Competition::default()),
        (3, by_position),
    ] {
        recipe.phases[0].competition = Some(competition);
        let config = ModelConfig { regions, ..config() };
        assert_learn_alike(&config, recipe.clone());
    }
}

/// The same of a teacher's masks; the decoder stays as it is.
#[test]
fn kernels_and_tape_imitate_alike() {
    for regions in [2, 3] {
        let mut recipe = recipe(MaskHead::Trained);
        recipe.self_training = Some(SelfTraining::default());
        assert_learn_alike(&ModelConfig { regions, ..config() }, recipe);
    }
}

/// The same where a part stays as it is: its gradients are not computed, and do not count for the clipping.
#[test]
fn kernels_and_tape_freeze_alike() {
    for (mask_generator_factor, denoiser_factor) in [(0.0, 1.0), (1.0, 0.0)] {
        for competition in [None, Some(Competition::default())] {
            let mut recipe = recipe(MaskHead::Trained);
            recipe.phases[0].competition = competition;
            recipe.phases[0].mask_generator_factor = mask_generator_factor;
            recipe.phases[0].denoiser_factor = denoiser_factor;
            assert_learn_alike(&ModelConfig { regions: 2, ..config() }, recipe);
        }
    }
}

/// The same of a network whose residual blocks change the resolution, with 2 and 4 heads; the tape checks the kernels'
/// gradients here, PyTorch in their own tests.
#[test]
fn kernels_and_tape_learn_alike_with_resblock_updown() {
    let config = updown();
    let network: Network = config.init(&cpu());
    let specs = parameter_specs(&network);
    for (part, change) in [
        ("encoder", "downsample"),
        ("mask_generator", "upsample"),
        ("decoder", "upsample"),
    ] {
        let block = format!("{part}.levels.0.{change}.");
        let names = specs.iter().filter_map(|spec| spec.name.strip_prefix(&block));
        assert!(names.clone().all(|name| name.starts_with("residual.")) && names.count() == 10);
    }
    for mask_head in [MaskHead::Uniform, MaskHead::Trained] {
        assert_learn_alike(&config, recipe(mask_head));
    }
    let mut frozen = recipe(MaskHead::Trained);
    frozen.phases[0].denoiser_factor = 0.0;
    assert_learn_alike(&config, frozen);
    assert_learn_alike(&ModelConfig { regions: 2, ..config }, competing());
}

fn updown() -> ModelConfig {
    ModelConfig {
        attention_resolutions: vec![8, 4],
        attention_head_channels: Some(4),
        resblock_updown: true,
        ..config()
    }
}

fn assert_learn_alike(config: &ModelConfig, mut recipe: Recipe) {
    recipe.gradient_clip = Some(0.05);
    recipe.micro_batch = Some(3);
    recipe.adam.weight_decay = 0.1;
    // Adam divides by the gradient's own size: without this, rounding of a gradient of 0 would be a step.
    recipe.adam.epsilon = 1e-4;
    recipe.phases[0].mask_generator_factor *= 3.0;
    let mask_head = recipe.phases[0].mask_head;
    let [mut kernels, mut tape] = both_of(config, &recipe, &scrambled(config, false));
    for learner in [&mut kernels, &mut tape] {
        learner.enter(0, &recipe.phases[0]);
    }
    for step in 0..3 {
        let mut part = Batch { step, ..batch(&[3, 1]) };
        if recipe.self_training.is_some() {
            for part in &mut part.parts {
                part.targets = masks(part.size, config.regions);
            }
        }
        let [a, b] = [&mut kernels, &mut tape].map(|learner| {
            let outcome = learner.step(&part, &recipe, &recipe.phases[0], step).unwrap();
            let figures = outcome.masks.map(MaskBatch::figures);
            (outcome.loss.value(), figures.map(|figures| figures.entropy))
        });
        assert!((a.0 - b.0).abs() < 1e-4 * b.0, "{mask_head:?}: loss {a:?} {b:?}");
        assert_eq!(a.1.is_some(), b.1.is_some());
        if let (Some(a), Some(b)) = (a.1, b.1) {
            assert!((a - b).abs() < 1e-3, "{mask_head:?}: entropy {a} {b}");
        }
        if step == 0 {
            let (one, all) = (gradients(&kernels), gradients(&tape));
            let whole = whole(&all);
            for ((name, a), (_, b)) in one.iter().zip(&all) {
                match (a, b) {
                    (Some(a), Some(b)) => assert_same(name, a, b, 1e-4, whole),
                    (a, b) => assert!(a.is_none() && b.is_none(), "{name}"),
                }
            }
        }
    }
    let (a, b) = (kernels.snapshot(), tape.snapshot());
    for (index, spec) in kernels.specs().iter().enumerate() {
        assert_same(&spec.name, &a.raw[index], &b.raw[index], 1e-4, 1.0);
        assert_same(&spec.name, &a.average[index], &b.average[index], 1e-4, 1.0);
        let updates = |snapshot: &Snapshot| snapshot.moments[index].as_ref().map(|moments| moments.updates);
        assert_eq!(updates(&a), updates(&b), "{}", spec.name);
    }
}

/// Masks of pictures of 8x8 pixels, `[images, regions, 64]`.
fn masks(images: usize, regions: usize) -> Vec<f32> {
    let mut masks = Volume {
        values: noise(9, images * regions * 64),
        images,
        regions,
    };
    Softmax::default().forward(&mut masks);
    masks.values
}

/// What one kind saves, the other goes on with.
#[test]
fn a_snapshot_comes_back() {
    let recipe = recipe(MaskHead::Trained);
    let [mut kernels, mut tape] = both(&recipe, &scrambled(&config(), false));
    first_step(&mut kernels, &recipe, &[4]);
    let snapshot = kernels.snapshot();
    tape.restore(snapshot.clone());
    assert!(tape.snapshot() == snapshot);
    first_step(&mut kernels, &recipe, &[4]);
    kernels.restore(tape.snapshot());
    assert!(kernels.snapshot() == snapshot);
}

/// Another network's passes leave the learner as it was.
#[test]
fn passes_of_another_network_are_the_same_by_both() {
    let recipe = recipe(MaskHead::Trained);
    let network = scrambled(&config(), false);
    let noised = [batch(&[4]).parts[0].noised.clone(), batch(&[4]).parts[0].noised.clone()].concat();
    let classes: Vec<i32> = (0..8).map(|image| image % 3).collect();
    let timesteps = [30, 1, 500, 60, 90, 1000, 7];
    let masks = noise(5, 7 * 3 * 64);
    let [a, b] = both(&recipe, &config().init(&cpu())).map(|mut learner| {
        let before = learner.snapshot();
        // More images than a batch of the learner, and no multiple of it.
        let (noised, classes) = (&noised[..7 * 192], &classes[..7]);
        let mut passes = learner.mask_logits(&network, noised, &timesteps, classes).unwrap();
        assert_eq!(passes.len(), 7 * 3 * 64);
        for masks in [None, Some(masks.as_slice())] {
            let predicted = learner.predict(&network, noised, &timesteps, classes, masks).unwrap();
            assert_eq!(predicted.len(), noised.len());
            passes.extend(predicted);
        }
        assert!(before == learner.snapshot());
        passes
    });
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} {b}");
    }
}

/// What burn computes on CUDA in bfloat16, computed by burn on the CPU: norms, softmax and loss in 32 bits, weights kept in
/// 32 bits.
#[test]
fn bfloat16_learns_as_32_bits_but_for_rounding() {
    let refused = Learner::new(
        &config(),
        &recipe(MaskHead::Trained),
        1,
        scrambled(&config(), false),
        &cpu(),
        1,
        Precision::Bf16,
    );
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("bf16") && message.contains("--precision f32"),
        "{message}"
    );
    for (mut recipe, config) in [
        (recipe(MaskHead::Uniform), config()),
        (recipe(MaskHead::Trained), config()),
        (recipe(MaskHead::Trained), updown()),
        (competing(), ModelConfig { regions: 2, ..config() }),
    ] {
        recipe.adam.epsilon = 1e-4;
        let competes = recipe.phases[0].competition.is_some();
        let network = scrambled(&config, false);
        let [mut exact, mut rounded] = [Precision::F32, Precision::Bf16]
            .map(|precision| Learner::with_tape(&config, &recipe, 1, network.clone(), &cpu(), precision));
        let before = rounded.snapshot();
        let (a, b) = (
            first_step(&mut exact, &recipe, &[3, 1]),
            first_step(&mut rounded, &recipe, &[3, 1]),
        );
        assert!(a != b && (a - b).abs() < 0.02 * a, "{a} {b}");
        let (one, other) = (gradients(&exact), gradients(&rounded));
        let (mut along, mut norms) = (0.0, [0.0, 0.0]);
        for ((name, a), (_, b)) in one.iter().zip(&other) {
            assert_eq!(a.is_some(), b.is_some(), "{name}");
            for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
                let (a, b) = (f64::from(*a), f64::from(*b));
                along += a * b;
                norms[0] += a * a;
                norms[1] += b * b;
            }
        }
        let cosine = along / (norms[0] * norms[1]).sqrt();
        // A pixel at the threshold of the foreground may be rounded to its other side.
        let least = if competes { 0.9 } else { 0.99 };
        assert!(cosine > least && cosine < 1.0, "cosine of the gradients: {cosine}");
        // Steps that bfloat16 could not hold: a part in 256 of a weight.
        let after = rounded.snapshot();
        let finer = |before: &f32, after: &f32| before != after && (before - after).abs() < before.abs() / 512.0;
        let weights = before.raw.iter().flatten().zip(after.raw.iter().flatten());
        assert!(weights.filter(|(before, after)| finer(before, after)).count() > 1000);
        let losses: Vec<f32> = (0..15).map(|_| first_step(&mut rounded, &recipe, &[4])).collect();
        assert!(losses[14] < losses[0], "{losses:?}");
    }
}

fn competing() -> Recipe {
    let mut recipe = recipe(MaskHead::Trained);
    recipe.phases[0].competition = Some(Competition::default());
    recipe
}
