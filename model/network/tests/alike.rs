//! Burn and the kernels compute the same, and what the reference implementation does.

mod passes;

use std::sync::Arc;

use factorseg_kernels::{
    Adam, Architecture, Arithmetic, CpuTraining, Decoding, KernelError, Learned, Masks, Noising, PlanOptions,
    SegmentationPass, SegmentationPlan, Snapshot, Threads, TrainingPass, TrainingSize, Update, WeightLookup,
};
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::noise::standard_normal;
use factorseg_model::softmax::softmax;
use factorseg_model::{CheckpointSource, ModelConfig, Preset};
use passes::{fixture, segmentation, training};
use safetensors::SafeTensors;

const SIDE: usize = 8;
const IMAGES: usize = 3;

/// The smallest network that has every part.
fn plain() -> Architecture {
    ModelConfig {
        image_size: SIDE,
        base_channels: 8,
        channel_multipliers: vec![1, 2],
        residual_blocks: 1,
        attention_resolutions: vec![4],
        classes: 2,
        ..ModelConfig::preset(Preset::Tiny)
    }
    .architecture()
}

/// Residual blocks that change the resolution, 2 and 4 heads.
fn updown() -> Architecture {
    Architecture {
        attention_levels: vec![true, true],
        attention_head_channels: Some(4),
        resblock_updown: true,
        ..plain()
    }
}

/// The ways to take in the masks that the paper's Table 6 compares, with 2 to 8 regions.
fn ablations() -> Vec<Architecture> {
    let ways = [
        (Decoding::Concatenated, 4),
        (Decoding::MaskedMiddle, 2),
        (Decoding::Unshared, 3),
    ];
    let with = |(decoding, regions)| Architecture {
        decoding,
        regions,
        ..plain()
    };
    let many = Architecture { regions: 8, ..plain() };
    ways.map(with).into_iter().chain([many]).collect()
}

fn size() -> TrainingSize {
    TrainingSize {
        side: SIDE,
        batch: 2 * IMAGES,
        waiting: IMAGES,
    }
}

fn by_burn(architecture: &Architecture, bf16: bool) -> Box<dyn TrainingPass> {
    training(architecture, size(), bf16).unwrap()
}

fn both(architecture: &Architecture) -> [Box<dyn TrainingPass>; 2] {
    let kernels = CpuTraining::new(architecture, size(), Threads::Single, Arithmetic::F32).unwrap();
    let mut both: [Box<dyn TrainingPass>; 2] = [Box::new(kernels), by_burn(architecture, false)];
    for pass in &mut both {
        scramble(pass.as_mut());
    }
    both
}

/// Weights that are all random: fresh heads are zero.
fn scramble(pass: &mut dyn TrainingPass) {
    let count = pass.list().last().unwrap().range().end;
    let values: Vec<f32> = standard_normal(11, count).iter().map(|value| 0.1 * value).collect();
    pass.set_parameters(&values).unwrap();
}

/// What a pass gives on the way: logits, noise, that of each branch, the gradient by the masks.
type Seen = [Vec<f32>; 4];

/// A whole pass over `images` with random gradients, forward and backward.
fn pass(pass: &mut dyn TrainingPass, seed: u64, images: usize, uniform: bool) -> Result<Seen, KernelError> {
    let pixels = SIDE * SIDE;
    let random = |salt: u64, planes: usize| standard_normal(seed + salt, images * planes * pixels);
    let timesteps: Vec<i32> = (0..images as i32).map(|image| 10 + 200 * image).collect();
    let classes: Vec<i32> = (0..images as i32).map(|image| image % 3).collect();
    pass.encode(&random(1, 3), &timesteps, &classes)?;
    let logits = pass.mask_logits()?;
    let regions = logits.len() / (images * pixels);
    let mut masks = logits.clone();
    softmax(&mut masks, images, regions);
    let noise = pass.decode(if uniform { Masks::Uniform } else { Masks::Given(&masks) })?;
    let branches = pass.branches()?;
    let by_masks = pass.backward_decode(&random(2, 3))?;
    pass.backward_masks(&random(3, regions))?;
    pass.backward_encode()?;
    Ok([logits, noise, branches, by_masks])
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// The norm of the difference against the norm itself; what is nothing beside `whole` is rounding.
fn assert_same(what: &str, a: &[f32], b: &[f32], whole: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    let difference = norm(a.iter().zip(b).map(|(a, b)| a - b));
    let size = norm(b.iter().copied());
    assert!(
        difference <= 1e-4 * size + 1e-5 * whole,
        "{what}: {difference:e} of {size:e}, all {whole:e}"
    );
}

fn assert_same_gradients([kernels, burn]: &[Box<dyn TrainingPass>; 2], what: &str) {
    let [a, b] = [kernels, burn].map(|one| gradients(one.as_ref()));
    let whole = norm(b.iter().copied());
    assert!(whole > 1e-3, "{what}");
    for one in kernels.list() {
        assert_same(&format!("{what} {}", one.name), &a[one.range()], &b[one.range()], whole);
    }
}

fn gradients(one: &dyn TrainingPass) -> Vec<f32> {
    one.gradients(0..one.list().last().unwrap().range().end).unwrap()
}

const ALL: Learned = Learned {
    encoder: true,
    mask_generator: true,
    decoder: true,
};

/// Every stage and every gradient, with given and with uniform masks, and where a part stays as it is.
#[test]
fn every_stage_and_gradient_is_alike() {
    let all = [plain(), updown()].into_iter().chain(ablations());
    for architecture in all {
        for parts in [7, 5, 2, 4] {
            let learned = Learned {
                encoder: parts & 1 > 0,
                mask_generator: parts & 2 > 0,
                decoder: parts & 4 > 0,
            };
            for uniform in [false, true] {
                let (decoding, regions) = (architecture.decoding, architecture.regions);
                let what = format!("{learned:?}, uniform {uniform}, {decoding:?}, {regions} regions");
                let mut both = both(&architecture);
                let [a, b] = both.each_mut().map(|one| {
                    one.begin(learned);
                    // Gradients add up over micro-batches.
                    pass(one.as_mut(), 50, 1, uniform).unwrap();
                    pass(one.as_mut(), 20, IMAGES, uniform).unwrap()
                });
                for (name, (a, b)) in ["logits", "noise", "branches", "masks' gradient"]
                    .iter()
                    .zip(a.iter().zip(&b))
                {
                    assert_same(&format!("{what}: {name}"), a, b, 0.0);
                }
                assert_same_gradients(&both, &what);
                for one in &both {
                    let gradients = gradients(one.as_ref());
                    for parameter in one.list().iter().filter(|one| !learned.learns(&one.name)) {
                        assert!(gradients[parameter.range()].iter().all(|value| *value == 0.0));
                    }
                }
            }
        }
    }
}

/// One pass waits with its masks while another goes through, as where regions compete.
#[test]
fn a_pass_that_waits_is_alike() {
    let mut both = both(&plain());
    for one in &mut both {
        one.begin(ALL);
        one.exchange().unwrap();
        let x_t = standard_normal(1, IMAGES * 3 * SIDE * SIDE);
        one.encode(&x_t, &[5; IMAGES], &[]).unwrap();
        one.mask_logits().unwrap();
        one.exchange().unwrap();
        pass(one.as_mut(), 30, 2 * IMAGES, true).unwrap();
        one.exchange().unwrap();
        one.backward_masks(&standard_normal(7, IMAGES * 3 * SIDE * SIDE))
            .unwrap();
        one.backward_encode().unwrap();
        one.exchange().unwrap();
    }
    assert_same_gradients(&both, "waiting");
    let mut alone = CpuTraining::new(
        &plain(),
        TrainingSize { waiting: 0, ..size() },
        Threads::Single,
        Arithmetic::F32,
    )
    .unwrap();
    assert!(alone.exchange().is_err());
}

/// Clipping, weight decay, a part that stays and a part that learns faster, over several steps.
#[test]
fn updates_are_alike_and_snapshots_come_back() {
    let mut both = both(&plain());
    let rates: Vec<f64> = plain()
        .parameters()
        .iter()
        .map(|one| match one.name.split('.').next() {
            Some("mask_generator") => 3e-3,
            Some("middle") => 0.0,
            _ => 1e-3,
        })
        .collect();
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for one in &mut both {
        for step in 0..3 {
            one.begin(ALL);
            pass(one.as_mut(), 100 * step, IMAGES, false).unwrap();
            one.update(&Update {
                clip: Some(0.05),
                adam: Adam {
                    beta_1: 0.9,
                    beta_2: 0.99,
                    // Adam divides by the gradient's own size: without this, rounding of a gradient of 0 would be a step.
                    epsilon: 1e-4,
                    weight_decay: 0.1,
                },
                rates: &rates,
                average_rate: 0.9,
            })
            .unwrap();
        }
        snapshots.push(one.snapshot().unwrap());
    }
    let [a, b] = [&snapshots[0], &snapshots[1]];
    for (index, one) in plain().parameters().iter().enumerate() {
        assert_same(&one.name, &a.raw[one.range()], &b.raw[one.range()], 1.0);
        assert_same(&one.name, &a.average[one.range()], &b.average[one.range()], 1.0);
        let updates = [a, b].map(|snapshot| snapshot.moments[index].as_ref().map(|moments| moments.updates));
        let expected = (rates[index] > 0.0).then_some(3);
        assert_eq!(updates, [expected; 2], "{}", one.name);
    }
    assert!(a.raw != a.average);
    // What one saves, the other goes on with.
    let [kernels, burn] = &mut both;
    burn.restore(a).unwrap();
    assert!(burn.snapshot().unwrap() == *a && burn.parameters().unwrap() == a.raw);
    kernels.restore(&burn.snapshot().unwrap()).unwrap();
    assert!(kernels.snapshot().unwrap() == *a);
    // Half of a step from elsewhere.
    for one in [kernels, burn] {
        one.begin(ALL);
        pass(one.as_mut(), 1, IMAGES, false).unwrap();
        let before = gradients(one.as_ref());
        let middle = one.list()[one.list().len() / 2].range().start;
        let twice: Vec<f32> = before.iter().map(|part| 2.0 * part).collect();
        one.set_gradients(middle, &twice[middle..]).unwrap();
        assert!(gradients(one.as_ref()) == [&before[..middle], &twice[middle..]].concat());
        assert!(one.gradients(middle..before.len()).unwrap() == twice[middle..]);
    }
}

/// The optimizer against `torch.optim.AdamW(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0)`: the first step moves every
/// weight by the learning rate, against its gradient's sign.
#[test]
fn a_first_step_has_the_size_of_the_learning_rate() {
    for mut one in both(&plain()) {
        let before = one.parameters().unwrap();
        one.begin(ALL);
        pass(one.as_mut(), 5, IMAGES, false).unwrap();
        let gradients = gradients(one.as_ref());
        one.update(&Update {
            clip: None,
            adam: Adam {
                beta_1: 0.9,
                beta_2: 0.99,
                epsilon: 1e-12,
                weight_decay: 0.0,
            },
            rates: &vec![0.1; one.list().len()],
            average_rate: 0.5,
        })
        .unwrap();
        for ((before, after), gradient) in before.iter().zip(one.parameters().unwrap()).zip(gradients) {
            if gradient.abs() > 1e-6 {
                assert!((after - before + 0.1 * gradient.signum()).abs() < 1e-4, "{gradient}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error_by_both() {
    for mut one in both(&plain()) {
        let x_t = standard_normal(1, 3 * SIDE * SIDE);
        one.begin(ALL);
        assert!(one.encode(&x_t, &[], &[]).is_err());
        assert!(one.encode(&x_t, &[1; 2 * IMAGES + 1], &[]).is_err());
        assert!(one.encode(&x_t[1..], &[1], &[]).is_err());
        assert!(one.encode(&x_t, &[1], &[3]).is_err() && one.encode(&x_t, &[1], &[-1]).is_err());
        one.encode(&x_t, &[1], &[2]).unwrap();
        assert!(one.decode(Masks::Given(&x_t[1..])).is_err());
        one.decode(Masks::Uniform).unwrap();
        assert!(one.backward_decode(&x_t[1..]).is_err() && one.backward_masks(&x_t[1..]).is_err());
    }
}

/// Norms, softmax and sums in 32 bits, weights kept in 32 bits.
#[test]
fn bfloat16_is_32_bits_but_for_rounding() {
    for architecture in [plain(), updown()] {
        let [mut exact, mut rounded] = [false, true].map(|bf16| by_burn(&architecture, bf16));
        let [a, b] = [&mut exact, &mut rounded].map(|one| {
            scramble(one.as_mut());
            one.begin(ALL);
            pass(one.as_mut(), 20, IMAGES, false).unwrap()
        });
        assert!(a[1] != b[1]);
        let (one, other) = (gradients(exact.as_ref()), gradients(rounded.as_ref()));
        let along: f64 = one.iter().zip(&other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let cosine = along / (norm(one.into_iter()) * norm(other.into_iter()));
        assert!(cosine > 0.99 && cosine < 1.0, "cosine of the gradients: {cosine}");
        // A step that bfloat16 could not hold: a part in 256 of a weight.
        let before = rounded.parameters().unwrap();
        rounded
            .update(&Update {
                clip: None,
                adam: Adam {
                    beta_1: 0.9,
                    beta_2: 0.99,
                    epsilon: 1e-4,
                    weight_decay: 0.0,
                },
                rates: &vec![1e-4; rounded.list().len()],
                average_rate: 0.5,
            })
            .unwrap();
        let finer =
            |(before, after): &(&f32, f32)| **before != *after && (*before - after).abs() < before.abs() / 512.0;
        assert!(before.iter().zip(rounded.parameters().unwrap()).filter(finer).count() > 1000);
    }
}

/// Two pictures by both, several draws, levels and sizes; and in bfloat16.
fn check_segmentation(architecture: &Architecture, lookup: &WeightLookup<'_>, side: usize) {
    let mut kernels = SegmentationPlan::compile(architecture, lookup, PlanOptions::new(side, side)).unwrap();
    let [mut burn, mut rounded] = [false, true].map(|bf16| segmentation(architecture, lookup, bf16).unwrap());
    let mut before = Vec::new();
    for (seed, timestep, samples, width) in [
        (0, 30, 3, side),
        (1, 30, 3, side),
        (1, 90, 1, side),
        (1, 90, 1, 2 * side),
    ] {
        let noising = Arc::new(Noising {
            size: (width, side),
            samples,
            noise: standard_normal(seed, samples * 3 * width * side),
            picture_weight: 0.9,
            noise_weight: 0.3,
        });
        let pictures: Vec<f32> = (0..2 * 3 * width * side).map(|i| (i as f32 * 0.013).sin()).collect();
        let passes: [&mut dyn SegmentationPass; 3] = [&mut kernels, burn.as_mut(), rounded.as_mut()];
        let [expected, found, close] = passes.map(|pass| {
            // With classes, a class at first and then none.
            let class = if seed == 0 { 0 } else { architecture.classes };
            pass.condition(timestep, class).unwrap();
            pass.masks(&pictures, &noising).unwrap()
        });
        assert_eq!(found.len(), 2 * architecture.regions * width * side);
        for (a, b) in expected.iter().zip(&found) {
            assert!((a - b).abs() < 1e-4, "{seed} {timestep} {samples}: {a} {b}");
        }
        let rounding = found.iter().zip(&close).map(|(a, b)| (a - b).abs()).sum::<f32>() / found.len() as f32;
        assert!(rounding > 1e-6 && rounding < 0.02, "{rounding}");
        assert!(found != before);
        // A call with the same noise uses what is on the device.
        assert_eq!(burn.masks(&pictures, &noising).unwrap(), found);
        before = found;
    }
    let refused = |name: &str| match name {
        "encoder.conv_in.weight" => None,
        _ => lookup(name),
    };
    let error = segmentation(architecture, &refused, false).err().unwrap();
    assert!(error.to_string().contains("encoder.conv_in.weight"), "{error}");
}

#[test]
fn segmentation_by_the_shipped_checkpoint_is_alike() {
    let mut checkpoint = Checkpoint::open(&CheckpointSource::Embedded).unwrap();
    let (config, weights) = (checkpoint.config().clone(), checkpoint.load_segmentation().unwrap());
    check_segmentation(&config.architecture(), &|name| weights.get(name), config.image_size);
}

/// With random weights.
fn check_network(architecture: &Architecture) {
    let list = architecture.parameters();
    let count = list.last().unwrap().range().end;
    let values: Vec<f32> = standard_normal(11, count).iter().map(|value| 0.1 * value).collect();
    let lookup = |name: &str| {
        let one = list.iter().find(|one| one.name == name)?;
        Some((&values[one.range()], &one.shape[..]))
    };
    check_segmentation(architecture, &lookup, SIDE);
}

#[test]
fn segmentation_by_a_small_network_is_alike() {
    check_network(&plain());
}

#[test]
fn segmentation_by_blocks_that_change_the_resolution_is_alike() {
    check_network(&updown());
}

/// Masks of networks that the independent PyTorch implementation has computed (`tests/reference/`). `reference.rs` compares the whole
/// networks.
fn check_masks(name: &str) {
    let path = fixture(&format!("{name}.safetensors"));
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let integers = |name: &str| -> Option<Vec<usize>> {
        let values = file.tensor(name).ok()?.data().chunks_exact(4);
        Some(
            values
                .map(|b| i32::from_le_bytes(b.try_into().unwrap()) as usize)
                .collect(),
        )
    };
    let [images, _, height, width] = file.tensor("fixture.x_t").unwrap().shape()[..] else {
        panic!("{name} has pictures of another shape");
    };
    let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path(path)).unwrap();
    let [x_t, masks] = ["x_t", "masks"].map(|of| checkpoint.read(&format!("fixture.{of}")).unwrap());
    let timesteps = integers("fixture.timestep").unwrap();
    let architecture = checkpoint.config().architecture();
    let classes = integers("fixture.class").unwrap_or(vec![architecture.classes; images]);
    let weights = checkpoint.load_segmentation().unwrap();
    let mut pass = segmentation(&architecture, &|name| weights.get(name), false).unwrap();
    let noising = Arc::new(Noising {
        size: (width, height),
        samples: 1,
        noise: vec![0.0; 3 * width * height],
        picture_weight: 1.0,
        noise_weight: 0.0,
    });
    let mut found = Vec::new();
    for (index, picture) in x_t.chunks_exact(3 * width * height).enumerate() {
        pass.condition(timesteps[index], classes[index]).unwrap();
        found.extend(pass.masks(picture, &noising).unwrap());
    }
    assert_eq!(found.len(), masks.len(), "{name}");
    for (found, expected) in found.iter().zip(&masks) {
        assert!((found - expected).abs() < 1e-4, "{name}: {found} {expected}");
    }
}

#[test]
fn masks_without_classes_are_those_of_the_reference_implementation() {
    check_masks("unconditional_64");
}

#[test]
fn masks_of_other_networks_are_those_of_the_reference_implementation() {
    for name in ["conditional_64", "residual_64"] {
        check_masks(name);
    }
}
