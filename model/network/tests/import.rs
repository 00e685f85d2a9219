//! An imported U-Net computes what the original computes: `trainer/tests/reference/unet.py` wrote weights and outputs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use factorseg_import::state_dict::StateDict;
use factorseg_import::unet::{Heads, Hints, Layout, Named, import};
use factorseg_kernels::{
    Arithmetic, InstructionSet, Masks, PlanOptions, SegmentationPlan, Threads, TrainingNetwork, TrainingOptions,
};
use factorseg_model::checkpoint::{Checkpoint, WeightType, save_tensors};
use factorseg_model::{CheckpointInfo, CheckpointSource, ModelConfig, ScheduleConfig};
use networks::{Tested, device};
use safetensors::SafeTensors;

#[path = "../../import/tests/made/mod.rs"]
mod made;
mod networks;

const TOLERANCE: f32 = 1e-4;

/// What the original made of which input.
struct Outputs {
    x_t: Vec<f32>,
    /// `[batch, 3, height, width]`
    shape: [usize; 4],
    timestep: Vec<i32>,
    class: Option<Vec<i32>>,
    noise: Vec<f32>,
}

impl Outputs {
    fn read(name: &str) -> Self {
        let bytes = std::fs::read(made::fixture(name)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let words = |name: &str| -> Option<Vec<[u8; 4]>> {
            let data = file.tensor(name).ok()?.data().chunks_exact(4);
            Some(data.map(|word| word.try_into().unwrap()).collect())
        };
        let floats = |name: &str| words(name).unwrap().into_iter().map(f32::from_le_bytes).collect();
        let integers = |name: &str| Some(words(name)?.into_iter().map(i32::from_le_bytes).collect());
        Self {
            x_t: floats("x_t"),
            shape: file.tensor("x_t").unwrap().shape().try_into().unwrap(),
            timestep: integers("timestep").unwrap(),
            class: integers("class"),
            noise: floats("noise"),
        }
    }

    fn images(&self) -> usize {
        self.shape[0]
    }

    /// Numbers of one image.
    fn image(&self) -> usize {
        self.x_t.len() / self.images()
    }

    fn assert_same(&self, found: &[f32], by: &str) {
        assert_eq!(found.len(), self.noise.len());
        let spread = self.noise.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        assert!(spread > 0.5, "the fixture is trivial ({spread})");
        let difference = difference(found, &self.noise);
        println!("{by}: differs by {difference:e}, of at most {spread}");
        assert!(difference < TOLERANCE, "{by}: differs by {difference}");
    }
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn config(layout: &Layout, image_size: usize) -> ModelConfig {
    ModelConfig {
        image_size,
        base_channels: layout.base_channels,
        channel_multipliers: layout.channel_multipliers.clone(),
        residual_blocks: layout.residual_blocks,
        attention_resolutions: layout
            .attention_levels
            .iter()
            .map(|level| image_size >> level)
            .collect(),
        attention_heads: layout.heads,
        norm_groups: 32,
        regions: 1,
        classes: layout.classes,
        schedule: ScheduleConfig::default(),
        attention_head_channels: layout.head_channels,
        resblock_updown: layout.resblock_updown,
        decoding: Default::default(),
    }
}

/// Imports as the U-Net itself and holds burn's and the kernels' predicted noise, and the segmentation pass, against the
/// original's.
fn parity(name: &str, file: &Path, heads: Heads, new_attention_order: bool, image_size: usize) -> Layout {
    let mut state = StateDict::open(file).unwrap();
    let hints = Hints {
        heads: Some(heads),
        new_attention_order,
        regions: 1,
    };
    let (layout, tensors) = import(&mut state, hints).unwrap();
    let config = config(&layout, image_size);
    config.validate().unwrap();
    let outputs = Outputs::read(name);
    let noise = by_burn(&config, tensors.clone(), &outputs);
    outputs.assert_same(&noise, &format!("{name}, burn"));
    let weights: HashMap<&str, (&[f32], &[usize])> = tensors
        .iter()
        .map(|(name, shape, values)| (name.as_str(), (values.as_slice(), shape.as_slice())))
        .collect();
    outputs.assert_same(&by_kernels(&config, &weights, &outputs), &format!("{name}, kernels"));
    let masks = by_the_segmentation_pass(&config, &weights, &outputs);
    let difference = difference(&masks, &softmax(&outputs));
    println!("{name}, segmentation pass: differs by {difference:e}");
    assert!(
        difference < TOLERANCE,
        "{name}, segmentation pass: differs by {difference}"
    );
    layout
}

/// The noise, through a checkpoint, as every user of an imported network takes it.
fn by_burn(config: &ModelConfig, tensors: Vec<Named>, outputs: &Outputs) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imported.safetensors");
    save_tensors(&path, tensors, config, &CheckpointInfo::default(), WeightType::F32).unwrap();
    let network = networks::whole(&mut Checkpoint::open(&CheckpointSource::from_path(&path)).unwrap());
    let x_t = Tensor::<Tested, 4>::from_data(TensorData::new(outputs.x_t.clone(), outputs.shape), &device());
    let integers = |values: &Vec<i32>| Tensor::<Tested, 1, Int>::from_ints(values.as_slice(), &device());
    let class = outputs.class.as_ref().map(integers);
    let timestep = integers(&outputs.timestep);
    let prediction = network.predict_noise(x_t, timestep, class);
    prediction.noise.into_data().into_vec().unwrap()
}

type Weights<'t> = HashMap<&'t str, (&'t [f32], &'t [usize])>;

/// What the kernels that train predict.
fn by_kernels(config: &ModelConfig, weights: &Weights<'_>, outputs: &Outputs) -> Vec<f32> {
    let options = TrainingOptions {
        height: outputs.shape[2],
        width: outputs.shape[3],
        batch: outputs.images(),
        threads: Threads::Single,
        instructions: InstructionSet::detect(),
        arithmetic: Arithmetic::F32,
    };
    let mut network = TrainingNetwork::new(&config.architecture(), options).unwrap();
    for parameter in network.list().to_vec() {
        let (values, shape) = weights[parameter.name.as_str()];
        assert_eq!(shape, parameter.shape, "{}", parameter.name);
        network.parameters_mut()[parameter.range()].copy_from_slice(values);
    }
    let timesteps: Vec<f32> = outputs.timestep.iter().map(|timestep| *timestep as f32).collect();
    network
        .encode(&outputs.x_t, &timesteps, outputs.class.as_deref())
        .unwrap();
    network.decode(Masks::Uniform).unwrap().to_vec()
}

/// The segmentation pass with the U-Net's last layer for a mask head: its three "regions" are the softmax of the noise.
fn by_the_segmentation_pass(config: &ModelConfig, weights: &Weights<'_>, outputs: &Outputs) -> Vec<f32> {
    let architecture = ModelConfig {
        regions: 3,
        ..config.clone()
    }
    .architecture();
    let lookup = |name: &str| weights.get(name.replace("mask_generator", "decoder").as_str()).copied();
    let [_, _, height, width] = outputs.shape;
    let mut found = vec![0.0; outputs.x_t.len()];
    let image = outputs.image();
    let images = outputs.x_t.chunks_exact(image).zip(found.chunks_exact_mut(image));
    let mut plan = SegmentationPlan::compile(&architecture, lookup, PlanOptions::new(height, width)).unwrap();
    for (index, (x_t, found)) in images.enumerate() {
        let class = outputs
            .class
            .as_ref()
            .map_or(config.classes, |classes| classes[index] as usize);
        plan.condition(outputs.timestep[index] as usize, class).unwrap();
        plan.run(x_t, found).unwrap();
    }
    found
}

/// Softmax over the three channels of each image.
fn softmax(outputs: &Outputs) -> Vec<f32> {
    let pixels = outputs.image() / 3;
    let mut masks = outputs.noise.clone();
    for image in masks.chunks_exact_mut(3 * pixels) {
        for pixel in 0..pixels {
            let places = [pixel, pixels + pixel, 2 * pixels + pixel];
            let total: f32 = places.iter().map(|place| image[*place].exp()).sum();
            places
                .iter()
                .for_each(|place| image[*place] = image[*place].exp() / total);
        }
    }
    masks
}

fn pytorch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../import/tests/fixtures/{name}.pt"))
}

#[test]
fn improved_diffusion_with_learned_sigma() {
    let layout = parity("improved", &pytorch("improved"), Heads::Count(4), false, 16);
    assert!(layout.learned_sigma && !layout.resblock_updown);
}

#[test]
fn guided_diffusions_attention_order_with_classes() {
    let layout = parity(
        "attention-order",
        &pytorch("attention-order"),
        Heads::Count(2),
        true,
        16,
    );
    assert_eq!(layout.classes, 5);
}

/// guided-diffusion's published 64x64 network but for its width: residual blocks that change the resolution, 2 to 8 heads,
/// the new order, classes, variances.
#[test]
fn guided_diffusion_64() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("64x64_diffusion.safetensors");
    made::write("guided-64", &path);
    let layout = parity("guided-64", &path, Heads::Channels(16), true, 64);
    let expected = Layout {
        base_channels: 32,
        channel_multipliers: vec![1, 2, 3, 4],
        residual_blocks: 3,
        attention_levels: vec![1, 2, 3],
        heads: 8,
        head_channels: Some(16),
        resblock_updown: true,
        classes: 10,
        learned_sigma: true,
    };
    assert_eq!(layout, expected);
}

/// The same of its unconditional one for 256x256.
#[test]
fn guided_diffusion_256() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("256x256_diffusion_uncond.safetensors");
    made::write("guided-256", &path);
    let layout = parity("guided-256", &path, Heads::Channels(16), false, 256);
    let expected = Layout {
        base_channels: 32,
        channel_multipliers: vec![1, 1, 2, 2, 4, 4],
        residual_blocks: 2,
        attention_levels: vec![3, 4, 5],
        heads: 8,
        head_channels: Some(16),
        resblock_updown: true,
        classes: 0,
        learned_sigma: true,
    };
    assert_eq!(layout, expected);
}
