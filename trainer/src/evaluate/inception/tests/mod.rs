use serde::Deserialize;

use super::*;

/// Numbers that look random, the same here and in `tests/reference/inception.py`: in -0.5..0.5.
fn numbers(count: usize, seed: u64) -> impl Iterator<Item = f32> {
    (0..count as u64).map(move |at| {
        let mixed = (at * 2_654_435_761 + seed * 40_503 + 12_345) % (1 << 32);
        let mixed = (mixed ^ (mixed >> 15)) * 2_246_822_519 % (1 << 32);
        mixed as f32 / (1u64 << 32) as f32 - 0.5
    })
}

#[derive(Deserialize)]
struct Reference {
    /// Layers in the order in which their weights are made.
    layers: Vec<(String, [usize; 4])>,
    width: u32,
    height: u32,
    pixels: Vec<u8>,
    features: Vec<f32>,
}

fn tensors(reference: &Reference) -> HashMap<String, (Vec<usize>, Vec<f32>)> {
    let mut tensors = HashMap::new();
    for (seed, (name, shape)) in reference.layers.iter().enumerate() {
        let (outputs, inputs) = (shape[0], shape[1] * shape[2] * shape[3]);
        let scale = (24.0 / inputs as f32).sqrt();
        let mut put = |part: &str, shape: &[usize], values: Vec<f32>| {
            tensors.insert(format!("{name}.{part}"), (shape.to_vec(), values));
        };
        let seed = seed as u64 * 10;
        let vector =
            |seed, scale: f32, offset: f32| numbers(outputs, seed).map(|v| v * scale + offset).collect::<Vec<f32>>();
        put(
            "conv.weight",
            shape,
            numbers(outputs * inputs, seed).map(|v| v * scale).collect(),
        );
        put("bn.weight", &[outputs], vector(seed + 1, 0.2, 1.0));
        put("bn.bias", &[outputs], vector(seed + 2, 0.2, 0.0));
        put("bn.running_mean", &[outputs], vector(seed + 3, 0.2, 0.0));
        put("bn.running_var", &[outputs], vector(seed + 4, 0.2, 1.0));
    }
    tensors
}

/// Features that PyTorch computed (`tests/reference/inception.py`).
#[test]
fn features_are_those_of_pytorch() {
    let reference: Reference =
        serde_json::from_str(include_str!("../../../../tests/reference/inception.json")).unwrap();
    let mut tensors = tensors(&reference);
    let picture = RgbImage::from_raw(reference.width, reference.height, reference.pixels.clone()).unwrap();
    let network = Inception::of(&tensors).unwrap();
    let features = network.features(&picture).unwrap();
    assert_eq!(features.len(), FEATURES);
    let largest = reference.features.iter().copied().fold(0.0, f32::max);
    let apart = features
        .iter()
        .zip(&reference.features)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    println!("largest feature {largest}, largest difference {apart}");
    assert!(apart < 1e-4 * largest, "{apart} of {largest}");
    tensors.remove("Mixed_6c.branch7x7_2.conv.weight");
    let error = Inception::of(&tensors)
        .unwrap()
        .features(&picture)
        .unwrap_err()
        .to_string();
    assert!(error.contains("Mixed_6c.branch7x7_2"), "{error}");
}

#[test]
fn other_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inception_v3_google-0cc3c7bd.pth");
    std::fs::write(&path, "the weights of another network").unwrap();
    let error = Inception::open(&path).err().unwrap().to_string();
    assert!(
        error.contains("no FID") && error.contains("pt_inception-2015-12-05"),
        "{error}"
    );
}
