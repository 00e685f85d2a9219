//! Containers and layouts, from files that PyTorch wrote (`trainer/tests/reference/unet.py`), whole and damaged.

use std::path::{Path, PathBuf};

use factorseg_import::state_dict::StateDict;
use factorseg_import::unet::{Heads, Hints, Layout, import};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

const HINTS: Hints = Hints {
    heads: Heads::Count(4),
    new_attention_order: false,
    regions: 3,
};

#[test]
fn every_container_holds_the_same_tensors() {
    for name in [
        "containers.pt",
        "containers-nested.pt",
        "containers-old.pt",
        "containers.safetensors",
    ] {
        let mut state = StateDict::open(&fixture(name)).unwrap();
        assert_eq!(
            state.names().collect::<Vec<_>>(),
            ["bfloat", "double", "half", "shared", "view"],
            "{name}"
        );
        assert_eq!(state.shape("view"), Some(&[3, 4][..]), "{name}");
        let expected: [(&str, &[f32]); 5] = [
            (
                "view",
                &[1.0, 7.0, 13.0, 19.0, 2.0, 8.0, 14.0, 20.0, 3.0, 9.0, 15.0, 21.0],
            ),
            ("shared", &[12.0, 13.0, 14.0, 15.0, 16.0, 17.0]),
            ("half", &[1.5, -2.0]),
            ("bfloat", &[3.0, -0.125]),
            ("double", &[0.1]),
        ];
        for (tensor, values) in expected {
            assert_eq!(state.read(tensor).unwrap(), values, "{name} {tensor}");
        }
        assert!(state.read("none").unwrap_err().to_string().contains("`none`: missing"));
    }
}

#[test]
fn the_network_is_told_from_its_tensors() {
    let mut state = StateDict::open(&fixture("improved.pt")).unwrap();
    let (layout, tensors) = import(&mut state, HINTS).unwrap();
    let expected = Layout {
        base_channels: 32,
        channel_multipliers: vec![1, 2],
        residual_blocks: 1,
        attention_levels: vec![1],
        heads: 4,
        classes: 0,
        learned_sigma: true,
    };
    assert_eq!(layout, expected);
    let shape = |name: &str| &tensors.iter().find(|(found, _, _)| found == name).unwrap().1;
    assert_eq!(shape("decoder.conv_out.weight"), &[3, 32, 3, 3]);
    assert_eq!(shape("mask_generator.conv_out.weight"), &[3, 32, 3, 3]);
    let mut names: Vec<_> = tensors.iter().map(|(name, _, _)| name).collect();
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));

    let mut state = StateDict::open(&fixture("attention-order.pt")).unwrap();
    let by_channels = Hints {
        heads: Heads::Channels(16),
        new_attention_order: true,
        ..HINTS
    };
    let (layout, tensors) = import(&mut state, by_channels).unwrap();
    assert_eq!((layout.heads, layout.classes, layout.learned_sigma), (2, 5, false));
    let (_, shape, values) = tensors
        .iter()
        .find(|(name, _, _)| name == "class_embedding.weight")
        .unwrap();
    assert_eq!(shape, &[6, 128]);
    let mean = (0..5).map(|row| values[row * 128 + 7]).sum::<f32>() / 5.0;
    assert!((values[5 * 128 + 7] - mean).abs() < 1e-6);
}

/// Writes a safetensors file of the given shapes, all zeros.
fn shapes(folder: &Path, tensors: &[(&str, &[usize])]) -> PathBuf {
    use safetensors::tensor::{Dtype, TensorView};
    let longest = tensors
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .max()
        .unwrap();
    let zeros = vec![0u8; longest * 4];
    let views = tensors.iter().map(|(name, shape)| {
        let bytes = &zeros[..shape.iter().product::<usize>() * 4];
        (
            name.to_string(),
            TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap(),
        )
    });
    let path = folder.join("made.safetensors");
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn other_networks_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let whole = StateDict::open(&fixture("improved.pt")).unwrap();
    let refused = |edit: &dyn Fn(&str) -> Option<Vec<usize>>, more: &[(&str, &[usize])]| {
        let mut tensors: Vec<(&str, Vec<usize>)> = whole.names().filter_map(|name| Some((name, edit(name)?))).collect();
        tensors.extend(more.iter().map(|(name, shape)| (*name, shape.to_vec())));
        let borrowed: Vec<(&str, &[usize])> = tensors.iter().map(|(name, shape)| (*name, shape.as_slice())).collect();
        let mut state = StateDict::open(&shapes(folder.path(), &borrowed)).unwrap();
        import(&mut state, HINTS).unwrap_err().to_string()
    };
    let same = |name: &str| whole.shape(name).map(<[usize]>::to_vec);
    assert!(refused(&same, &[("output_blocks.1.2.in_layers.0.weight", &[64])]).contains("resblock_updown"));
    assert!(refused(&same, &[("extra.weight", &[1])]).contains("the first is `extra.weight`"));
    let without = |part: &'static str| move |name: &str| same(name).filter(|_| !name.contains(part));
    assert!(refused(&without("time_embed"), &[]).contains("improved-diffusion"));
    assert!(
        refused(&without("middle_block.2.out_layers.3.bias"), &[])
            .contains("`middle_block.2.out_layers.3.bias`: missing")
    );
    let changed = |part: &'static str, shape: Vec<usize>| {
        move |name: &str| if name == part { Some(shape.clone()) } else { same(name) }
    };
    assert!(refused(&changed("input_blocks.0.0.weight", vec![32, 6, 3, 3]), &[]).contains("6 channels"));
    assert!(
        refused(&changed("middle_block.0.emb_layers.1.weight", vec![64, 128]), &[]).contains("use_scale_shift_norm")
    );
    assert!(refused(&changed("out.2.weight", vec![5, 32, 3, 3]), &[]).contains("5 output channels"));
    assert!(refused(&changed("out.2.bias", vec![3]), &[]).contains("shape [3], expected [6]"));
    let mut state = StateDict::open(&fixture("improved.pt")).unwrap();
    let wrong = Hints {
        heads: Heads::Count(7),
        ..HINTS
    };
    assert!(import(&mut state, wrong).unwrap_err().to_string().contains("--heads"));
    let uneven = Hints {
        heads: Heads::Channels(48),
        ..HINTS
    };
    assert!(
        import(&mut state, uneven)
            .unwrap_err()
            .to_string()
            .contains("--head-channels")
    );
}

#[test]
fn damage_is_an_error_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pt");
    for name in ["containers.pt", "containers-old.pt", "containers.safetensors"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        // Cut anywhere, and every byte changed: never a panic, and never tensors out of nothing.
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            if let Ok(mut state) = StateDict::open(&path) {
                let names: Vec<String> = state.names().map(str::to_owned).collect();
                names.iter().for_each(|name| drop(state.read(name)));
            }
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(mut state) = StateDict::open(&path) {
                let names: Vec<String> = state.names().map(str::to_owned).collect();
                names.iter().for_each(|name| drop(state.read(name)));
            }
        }
    }
    for (content, words) in [
        (&b""[..], "neither a PyTorch file"),
        (b"hello, this is no checkpoint at all", "neither a PyTorch file"),
        (b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "no data.pkl"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = StateDict::open(&path).unwrap_err().to_string();
        assert!(error.contains("damaged.pt") && error.contains(words), "{error}");
    }
    assert!(
        StateDict::open(Path::new("none.pt"))
            .unwrap_err()
            .to_string()
            .contains("none.pt")
    );
}
