//! Containers and layouts, from files that PyTorch wrote (`trainer/tests/reference/unet.py`), whole and damaged.

use std::path::{Path, PathBuf};

use factorseg_import::state_dict::StateDict;
use factorseg_import::unet::{Heads, Hints, Layout, import};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

mod made;

const HINTS: Hints = Hints {
    heads: None,
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
        head_channels: None,
        resblock_updown: false,
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
        heads: Some(Heads::Channels(16)),
        new_attention_order: true,
        ..HINTS
    };
    let (layout, tensors) = import(&mut state, by_channels).unwrap();
    assert_eq!((layout.heads, layout.classes, layout.learned_sigma), (2, 5, false));
    // Both levels have as many.
    assert_eq!(layout.head_channels, None);
    let (_, shape, values) = tensors
        .iter()
        .find(|(name, _, _)| name == "class_embedding.weight")
        .unwrap();
    assert_eq!(shape, &[6, 128]);
    let mean = (0..5).map(|row| values[row * 128 + 7]).sum::<f32>() / 5.0;
    assert!((values[5 * 128 + 7] - mean).abs() < 1e-6);
}

#[test]
fn blocks_that_change_the_resolution_are_told_from_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guided.safetensors");
    made::write("guided-64", &path);
    let mut state = StateDict::open(&path).unwrap();
    let hints = Hints {
        heads: Some(Heads::Channels(16)),
        new_attention_order: true,
        regions: 3,
    };
    let (layout, tensors) = import(&mut state, hints).unwrap();
    assert!(layout.resblock_updown);
    let found = |name: &str| tensors.iter().find(|(found, _, _)| found == name);
    let values = |name: &str| found(name).map(|(_, _, values)| values.clone()).unwrap();
    for (ours, theirs) in [
        (
            "encoder.levels.0.downsample.residual.conv_1",
            "input_blocks.4.0.in_layers.2",
        ),
        (
            "encoder.levels.2.downsample.residual.conv_2",
            "input_blocks.12.0.out_layers.3",
        ),
        (
            "encoder.levels.3.blocks.0.residual.conv_1",
            "input_blocks.13.0.in_layers.2",
        ),
        (
            "decoder.levels.0.upsample.residual.conv_1",
            "output_blocks.3.2.in_layers.2",
        ),
        (
            "mask_generator.levels.2.upsample.residual.conv_2",
            "output_blocks.11.2.out_layers.3",
        ),
    ] {
        for part in ["weight", "bias"] {
            let theirs = state.read(&format!("{theirs}.{part}")).unwrap();
            assert_eq!(values(&format!("{ours}.{part}")), theirs, "{ours}");
        }
    }
    // None on the coarsest level and the finest, and nothing but what the channels need.
    for name in [
        "encoder.levels.3.downsample.residual.conv_1.weight",
        "decoder.levels.3.upsample.residual.conv_1.weight",
        "decoder.levels.0.upsample.residual.skip.weight",
        "decoder.levels.0.upsample.conv.weight",
    ] {
        assert!(found(name).is_none(), "{name}");
    }
    // Its heads cannot be guessed: 4 would divide the channels, too.
    let unknown = Hints { heads: None, ..hints };
    let message = import(&mut state, unknown).unwrap_err().to_string();
    assert!(
        message.contains("--head-channels") && message.contains("--heads"),
        "{message}"
    );
}

/// Writes a safetensors file of the given shapes, all zeros.
fn shapes(folder: &Path, tensors: &[(&str, &[usize])]) -> PathBuf {
    let mut end = 0;
    let entries: serde_json::Map<_, _> = tensors
        .iter()
        .map(|(name, shape)| {
            let start = end;
            end += 4 * shape.iter().product::<usize>();
            let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
            (name.to_string(), entry)
        })
        .collect();
    let header = serde_json::to_vec(&entries).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    let path = folder.join("made.safetensors");
    std::fs::write(&path, &bytes).unwrap();
    // What is not written is zero and takes no space.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len((bytes.len() + end) as u64).unwrap();
    path
}

/// Why a network is refused that has the names of `whole`, with the shapes that `edit` gives them or without them, and
/// some more.
fn refusal(
    whole: &StateDict,
    hints: Hints,
    edit: &dyn Fn(&str) -> Option<Vec<usize>>,
    more: &[(&str, &[usize])],
) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors: Vec<(&str, Vec<usize>)> = whole.names().filter_map(|name| Some((name, edit(name)?))).collect();
    tensors.extend(more.iter().map(|(name, shape)| (*name, shape.to_vec())));
    let borrowed: Vec<(&str, &[usize])> = tensors.iter().map(|(name, shape)| (*name, shape.as_slice())).collect();
    let mut state = StateDict::open(&shapes(folder.path(), &borrowed)).unwrap();
    import(&mut state, hints).unwrap_err().to_string()
}

#[test]
fn half_a_network_with_resblock_updown_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guided.safetensors");
    made::write("guided-64", &path);
    let whole = StateDict::open(&path).unwrap();
    let hints = Hints {
        heads: Some(Heads::Channels(16)),
        ..HINTS
    };
    let same = |name: &str| whole.shape(name).map(<[usize]>::to_vec);
    let without = |part: &'static str| move |name: &str| same(name).filter(|_| !name.starts_with(part));
    let refused = |edit: &dyn Fn(&str) -> Option<Vec<usize>>, more: &[_]| refusal(&whole, hints, edit, more);
    // One of the blocks that double the resolution, the first of them, all of them, one that halves it.
    assert!(refused(&without("output_blocks.7.2."), &[]).contains("input_blocks.12 is of another kind"));
    assert!(refused(&without("output_blocks.3.2."), &[]).contains("input_blocks.5 is of another kind"));
    let none = |name: &str| same(name).filter(|_| !name.starts_with("output_blocks.") || !name.contains(".2."));
    assert!(refused(&none, &[]).contains("input_blocks.5 is of another kind"));
    assert!(refused(&without("input_blocks.8.0."), &[]).contains("input_blocks.8 has no weights"));
    let strided = [("input_blocks.8.0.op.weight", &[64, 64, 3, 3][..])];
    assert!(refused(&without("input_blocks.8.0."), &strided).contains("output_blocks in residual blocks"));
    let wider = |name: &str| {
        let shape = same(name)?;
        let part = name.strip_prefix("input_blocks.4.0.");
        Some(match part {
            Some("in_layers.2.weight") => vec![64, 32, 3, 3],
            Some("in_layers.2.bias" | "out_layers.0.weight" | "out_layers.0.bias" | "out_layers.3.bias") => vec![64],
            Some("emb_layers.1.weight") => vec![128, 128],
            Some("emb_layers.1.bias") => vec![128],
            Some("out_layers.3.weight") => vec![64, 64, 3, 3],
            _ => shape,
        })
    };
    let skip: [(&str, &[usize]); 2] = [
        ("input_blocks.4.0.skip_connection.weight", &[64, 32, 1, 1]),
        ("input_blocks.4.0.skip_connection.bias", &[64]),
    ];
    assert!(refused(&wider, &skip).contains("makes 64 channels of 32"));
}

#[test]
fn other_networks_are_refused_with_the_reason() {
    let whole = StateDict::open(&fixture("improved.pt")).unwrap();
    let refused = |edit: &dyn Fn(&str) -> Option<Vec<usize>>, more: &[_]| refusal(&whole, HINTS, edit, more);
    let same = |name: &str| whole.shape(name).map(<[usize]>::to_vec);
    let changed = |part: &'static str, shape: Vec<usize>| {
        move |name: &str| if name == part { Some(shape.clone()) } else { same(name) }
    };
    assert!(refused(&same, &[("extra.weight", &[1])]).contains("the first is `extra.weight`"));
    let without = |part: &'static str| move |name: &str| same(name).filter(|_| !name.contains(part));
    assert!(refused(&without("time_embed"), &[]).contains("improved-diffusion"));
    assert!(refused(&without("output_blocks"), &[]).contains("classifier"));
    assert!(refused(&without(".op."), &[]).contains("conv_resample"));
    assert!(
        refused(&changed("time_embed.0.weight", vec![256, 64]), &[]).contains("channel_mult does not begin with 1")
    );
    assert!(
        refused(&without("middle_block.2.out_layers.3.bias"), &[])
            .contains("`middle_block.2.out_layers.3.bias`: missing")
    );
    assert!(refused(&changed("input_blocks.0.0.weight", vec![32, 6, 3, 3]), &[]).contains("6 channels"));
    assert!(
        refused(&changed("middle_block.0.emb_layers.1.weight", vec![64, 128]), &[]).contains("use_scale_shift_norm")
    );
    assert!(refused(&changed("out.2.weight", vec![5, 32, 3, 3]), &[]).contains("5 output channels"));
    assert!(refused(&changed("out.2.bias", vec![3]), &[]).contains("shape [3], expected [6]"));
    let mut state = StateDict::open(&fixture("improved.pt")).unwrap();
    let wrong = Hints {
        heads: Some(Heads::Count(7)),
        ..HINTS
    };
    assert!(import(&mut state, wrong).unwrap_err().to_string().contains("--heads"));
    let uneven = Hints {
        heads: Some(Heads::Channels(48)),
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
    // An archive that says it has 2^56 members and none of them is there.
    let mut endless = b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0".to_vec();
    endless.extend([1u64 << 56, 1 << 56, 46 << 56, 0].map(u64::to_le_bytes).concat());
    endless.extend(b"PK\x06\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0PK\x05\x06\0\0\0\0");
    endless.extend([0xff; 12]);
    endless.extend([0; 2]);
    for (content, words) in [
        (&endless[..], "not a usable zip archive"),
        (b"", "neither a PyTorch file"),
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

/// A dictionary in which many entries share one long name: it is not copied for each of them.
#[cfg(target_os = "linux")]
#[test]
fn a_long_name_that_entries_share_takes_no_memory_for_each() {
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    };
    // The magic number, the protocol and the system, as PyTorch's older format begins.
    let mut bytes = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    bytes.extend(b"}(X\x40\x42\x0f\0");
    bytes.extend(b"n".repeat(1_000_000));
    bytes.extend(b"q\0N");
    bytes.extend(b"h\0N".repeat(4_000));
    bytes.extend(b"u.].");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.pt");
    std::fs::write(&path, bytes).unwrap();
    let before = peak();
    let error = StateDict::open(&path).unwrap_err().to_string();
    assert!(error.contains("no tensors"), "{error}");
    assert!(peak() - before < 200, "{} MiB", peak() - before);
}
