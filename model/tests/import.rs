//! An imported U-Net computes what the original computes: `trainer/tests/reference/unet.py` wrote weights and outputs.

use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use burn_flex::{Flex, FlexDevice};
use factorseg_import::state_dict::StateDict;
use factorseg_import::unet::{Heads, Hints, import};
use factorseg_model::checkpoint::{Checkpoint, WeightType, save_tensors};
use factorseg_model::{CheckpointInfo, CheckpointSource, ModelConfig, ScheduleConfig};
use safetensors::SafeTensors;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("import/tests/fixtures")
        .join(name)
}

fn parity(name: &str, heads: usize, new_attention_order: bool) {
    let mut state = StateDict::open(&fixture(&format!("{name}.pt"))).unwrap();
    let hints = Hints {
        heads: Heads::Count(heads),
        new_attention_order,
        regions: 1,
    };
    let (layout, tensors) = import(&mut state, hints).unwrap();
    let config = ModelConfig {
        image_size: 16,
        base_channels: layout.base_channels,
        channel_multipliers: layout.channel_multipliers,
        residual_blocks: layout.residual_blocks,
        attention_resolutions: layout.attention_levels.iter().map(|level| 16 >> level).collect(),
        attention_heads: layout.heads,
        norm_groups: 32,
        regions: 1,
        classes: layout.classes,
        schedule: ScheduleConfig::default(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imported.safetensors");
    save_tensors(&path, tensors, &config, &CheckpointInfo::default(), WeightType::F32).unwrap();
    let network = Checkpoint::open(&CheckpointSource::from_path(&path))
        .unwrap()
        .load::<Flex>(&FlexDevice)
        .unwrap();

    let bytes = std::fs::read(fixture(&format!("{name}.outputs.safetensors"))).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| {
        let view = file.tensor(name).unwrap();
        let values = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        Tensor::<Flex, 4>::from_data(
            TensorData::new(values.collect::<Vec<_>>(), view.shape().to_vec()),
            &FlexDevice,
        )
    };
    let integers = |name: &str| {
        let view = file.tensor(name).ok()?;
        let values: Vec<i32> = view
            .data()
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        Some(Tensor::<Flex, 1, Int>::from_ints(values.as_slice(), &FlexDevice))
    };
    let prediction = network.predict_noise(floats("x_t"), integers("timestep").unwrap(), integers("class"));
    let expected = floats("noise");
    let spread = expected.clone().abs().max().into_scalar();
    assert!(spread > 0.5, "the fixture is trivial ({spread})");
    let difference = (prediction.noise - expected).abs().max().into_scalar();
    assert!(difference < 1e-4, "{name} differs by {difference}");
}

#[test]
fn improved_diffusion_with_learned_sigma() {
    parity("improved", 4, false);
}

#[test]
fn guided_diffusions_attention_order_with_classes() {
    parity("attention-order", 2, true);
}
