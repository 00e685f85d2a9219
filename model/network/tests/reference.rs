//! The network against an independent PyTorch implementation (`tests/reference/`, which also says how the fixtures were made).

mod common;

use std::sync::Arc;

use common::{segmentation, training};
use factorseg_kernels::{Masks, Noising, TrainingSize};
use factorseg_model::CheckpointSource;
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::softmax::softmax;
use safetensors::SafeTensors;

const TOLERANCE: f32 = 1e-4;

/// Numbers of a fixture that count something.
fn integers(bytes: &[u8], name: &str) -> Option<Vec<i32>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensor = file.tensor(name).ok()?;
    let values = tensor.data().chunks_exact(4);
    Some(values.map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect())
}

fn assert_close(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    // A fixture of zeros would hide every error.
    let spread = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    assert!(spread > 1e-2, "{what}: the fixture is trivial ({spread})");
    let apart = actual.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let difference = apart.fold(0.0f32, |most, apart| if apart <= most { most } else { apart });
    assert!(difference < TOLERANCE, "{what}: differs by {difference}");
}

/// Predicted noise and masks by the whole network, and masks by the part that segments.
fn check_parity(name: &str) {
    let path = common::fixture(name);
    let bytes = std::fs::read(&path).unwrap();
    let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path(path)).unwrap();
    let [x_t, noise, masks] = ["x_t", "noise", "masks"].map(|of| checkpoint.read(&format!("fixture.{of}")).unwrap());
    let timesteps = integers(&bytes, "fixture.timestep").unwrap();
    let classes = integers(&bytes, "fixture.class").unwrap_or_default();
    let (config, images) = (checkpoint.config().clone(), timesteps.len());
    let (architecture, side) = (config.architecture(), config.image_size);

    let size = TrainingSize {
        side,
        batch: images,
        waiting: 0,
    };
    let mut whole = training(&architecture, size, false).unwrap();
    let weights = whole.list().iter().map(|one| checkpoint.read(&one.name).unwrap());
    let weights = weights.collect::<Vec<_>>().concat();
    whole.set_parameters(&weights).unwrap();
    whole.encode(&x_t, &timesteps, &classes).unwrap();
    let mut found = whole.mask_logits().unwrap();
    softmax(&mut found, images, config.regions);
    assert_close(&found, &masks, "masks");
    assert_close(&whole.decode(Masks::Given(&found)).unwrap(), &noise, "noise");

    let weights = checkpoint.load_segmentation().unwrap();
    let mut segmenting = segmentation(&architecture, &|name| weights.get(name), false).unwrap();
    let picture = x_t.len() / images;
    let nothing = Arc::new(Noising {
        size: (side, side),
        samples: 1,
        noise: vec![0.0; picture],
        picture_weight: 1.0,
        noise_weight: 0.0,
    });
    let mut found = Vec::new();
    for (image, (x_t, timestep)) in x_t.chunks_exact(picture).zip(timesteps).enumerate() {
        let class = classes.get(image).map_or(config.no_class(), |class| *class as usize);
        segmenting.condition(timestep as usize, class).unwrap();
        found.extend(segmenting.masks(x_t, &nothing).unwrap());
    }
    assert_close(&found, &masks, "masks without decoder");
}

#[test]
fn unconditional_64_agrees() {
    check_parity("unconditional_64.safetensors");
}

#[test]
fn conditional_64_agrees_with_and_without_a_class() {
    check_parity("conditional_64.safetensors");
}

#[test]
fn conditional_128_agrees() {
    check_parity("conditional_128.safetensors");
}

#[test]
fn residual_blocks_that_change_the_resolution_agree() {
    check_parity("residual_64.safetensors");
}

#[test]
fn one_region_agrees() {
    check_parity("single_region_64.safetensors");
}
