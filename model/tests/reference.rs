//! The network and the diffusion process against an independent PyTorch and NumPy implementation
//! (`tests/reference/`, which also says how the fixtures were made).

use std::path::PathBuf;

use burn::tensor::{Int, Tensor, TensorData};
use burn_flex::{Flex, FlexDevice};
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::{CheckpointSource, InputImage, NoiseSchedule, RegionMap, ScheduleConfig};
use factorseg_refine::ColorModel;
use safetensors::SafeTensors;

const TOLERANCE: f32 = 1e-4;

fn fixture_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/reference/fixtures")
        .join(name)
}

struct Fixture {
    checkpoint: Checkpoint,
    bytes: Vec<u8>,
}

impl Fixture {
    fn open(name: &str) -> Self {
        let path = fixture_path(name);
        Self {
            checkpoint: Checkpoint::open(&CheckpointSource::from_path(&path)).unwrap(),
            bytes: std::fs::read(path).unwrap(),
        }
    }

    fn floats<const D: usize>(&mut self, name: &str) -> Tensor<Flex, D> {
        let shape = self.shape(name);
        let values = self.checkpoint.read(name).unwrap();
        Tensor::from_data(TensorData::new(values, shape), &FlexDevice)
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().shape().to_vec()
    }

    fn indices(&self, name: &str) -> Option<Tensor<Flex, 1, Int>> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).ok()?;
        let values: Vec<i32> = tensor
            .data()
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        Some(Tensor::from_ints(values.as_slice(), &FlexDevice))
    }
}

fn assert_close<const D: usize>(actual: Tensor<Flex, D>, expected: Tensor<Flex, D>, what: &str) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    // A fixture of zeros would hide every error.
    let spread = expected.clone().abs().max().into_scalar();
    assert!(spread > 1e-2, "{what}: the fixture is trivial ({spread})");
    let difference = (actual - expected).abs().max().into_scalar();
    assert!(difference < TOLERANCE, "{what}: differs by {difference}");
}

fn check_parity(name: &str) {
    let mut fixture = Fixture::open(name);
    let network = fixture.checkpoint.load::<Flex>(&FlexDevice).unwrap();
    let segmenting = fixture.checkpoint.load_mask_network::<Flex>(&FlexDevice).unwrap();
    let x_t: Tensor<Flex, 4> = fixture.floats("fixture.x_t");
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

#[test]
fn the_diffusion_process_agrees() {
    let json = std::fs::read_to_string(fixture_path("schedule.json")).unwrap();
    let fixture: serde_json::Value = serde_json::from_str(&json).unwrap();
    let config: ScheduleConfig = serde_json::from_value(fixture["schedule"].clone()).unwrap();
    let schedule = NoiseSchedule::new(&config);

    let rows = |name: &str| fixture[name].as_array().unwrap().clone();
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let timestep = |row: &serde_json::Value| row["t"].as_u64().unwrap() as usize;
    let pixels = |value: &serde_json::Value| {
        let values: Vec<f32> = value.as_array().unwrap().iter().map(|v| number(v) as f32).collect();
        let shape = [1, 1, 1, values.len()];
        Tensor::<Flex, 4>::from_data(TensorData::new(values, shape), &FlexDevice)
    };

    for row in rows("alpha_bar") {
        let actual = schedule.alpha_bar(timestep(&row));
        assert!((actual - number(&row["value"])).abs() < 1e-12, "{row}: {actual}");
    }
    for row in rows("add_noise") {
        let x_t = schedule.add_noise(pixels(&row["x_0"]), pixels(&row["noise"]), &[timestep(&row)]);
        assert_close(x_t, pixels(&row["x_t"]), &format!("Eq. 1: {row}"));
    }
    for row in rows("ddpm_step") {
        let previous = schedule.denoise(
            pixels(&row["x_t"]),
            pixels(&row["noise"]),
            pixels(&row["z"]),
            timestep(&row),
        );
        assert_close(previous, pixels(&row["x_previous"]), &format!("Eq. 9: {row}"));
    }
}

#[test]
fn colours_judge_as_in_the_reference() {
    #[derive(serde::Deserialize)]
    struct Case {
        regions: usize,
        width: usize,
        height: usize,
        picture: Vec<f32>,
        before: Vec<f32>,
        after: Vec<f32>,
    }
    let json = std::fs::read_to_string(fixture_path("color_model.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&json).unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let image = InputImage {
            width: case.width,
            height: case.height,
            data: case.picture,
        };
        let mut map = RegionMap {
            regions: case.regions,
            width: case.width,
            height: case.height,
            probabilities: case.before.clone(),
        };
        ColorModel::default().refine(&image, &mut map);
        let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far(&case.before, &case.after) > 0.1);
        let error = far(&map.probabilities, &case.after);
        assert!(error < TOLERANCE, "{} regions: {error}", case.regions);
    }
}
