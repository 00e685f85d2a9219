//! The network against an independent PyTorch implementation (`tests/reference/`, which also says how the fixtures were made).

mod networks;

use burn::tensor::{Int, Tensor, TensorData};
use factorseg_model::CheckpointSource;
use factorseg_model::checkpoint::Checkpoint;
use networks::{Tested, device, masks, whole};
use safetensors::SafeTensors;

const TOLERANCE: f32 = 1e-4;

struct Fixture {
    checkpoint: Checkpoint,
    bytes: Vec<u8>,
}

impl Fixture {
    fn open(name: &str) -> Self {
        let path = networks::fixture(name);
        Self {
            checkpoint: Checkpoint::open(&CheckpointSource::from_path(&path)).unwrap(),
            bytes: std::fs::read(path).unwrap(),
        }
    }

    fn floats<const D: usize>(&mut self, name: &str) -> Tensor<Tested, D> {
        let shape = self.shape(name);
        let values = self.checkpoint.read(name).unwrap();
        Tensor::from_data(TensorData::new(values, shape), &device())
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().shape().to_vec()
    }

    fn indices(&self, name: &str) -> Option<Tensor<Tested, 1, Int>> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).ok()?;
        let values: Vec<i32> = tensor
            .data()
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        Some(Tensor::from_ints(values.as_slice(), &device()))
    }
}

fn assert_close<const D: usize>(actual: Tensor<Tested, D>, expected: Tensor<Tested, D>, what: &str) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    // A fixture of zeros would hide every error.
    let spread = expected.clone().abs().max().into_scalar();
    assert!(spread > 1e-2, "{what}: the fixture is trivial ({spread})");
    let difference = (actual - expected).abs().max().into_scalar();
    assert!(difference < TOLERANCE, "{what}: differs by {difference}");
}

fn check_parity(name: &str) {
    let mut fixture = Fixture::open(name);
    let network = whole(&mut fixture.checkpoint);
    let segmenting = masks(&mut fixture.checkpoint);
    let x_t: Tensor<Tested, 4> = fixture.floats("fixture.x_t");
    let timestep = fixture.indices("fixture.timestep").unwrap();
    let class = fixture.indices("fixture.class");

    let prediction = network.predict_noise(x_t.clone(), timestep.clone(), class.clone());
    assert_close(prediction.noise, fixture.floats("fixture.noise"), "noise");
    assert_close(prediction.masks, fixture.floats("fixture.masks"), "masks");
    let masks = segmenting.masks(x_t, timestep, class);
    assert_close(masks, fixture.floats("fixture.masks"), "masks without decoder");
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
