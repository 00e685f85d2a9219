//! State dictionaries of guided-diffusion's published networks in miniature, with weights that are computed from their
//! names as `trainer/tests/reference/unet.py` computes them: its fixture holds names, shapes and the outputs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// The fixture's path.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("model/import/tests/fixtures"))
        .find(|folder| folder.is_dir())
        .expect("the fixtures lie in the repository")
        .join(format!("{name}.outputs.safetensors"))
}

/// Writes the state dictionary of a fixture as safetensors.
pub fn write(name: &str, path: &Path) {
    let bytes = std::fs::read(fixture(name)).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let shapes = &metadata.metadata().as_ref().unwrap()["shapes"];
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_str(shapes).unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let bytes = weights(&name, &shape).flat_map(f32::to_le_bytes).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn weights(name: &str, shape: &[usize]) -> impl Iterator<Item = f32> {
    // FNV-1a
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let count: usize = shape.iter().product();
    let (offset, scale) = if shape.len() > 1 {
        let fan_in = count / shape[0];
        (0.0, 0.5f32.powi((fan_in.ilog2() / 2) as i32))
    } else if name.ends_with(".weight") {
        (1.0, 0.25)
    } else {
        (0.0, 0.125)
    };
    (1..=count as u64).map(move |index| {
        // splitmix64
        let mut z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let uniform = (z >> 40) as f32 / 8_388_608.0 - 1.0;
        offset + scale * uniform
    })
}
