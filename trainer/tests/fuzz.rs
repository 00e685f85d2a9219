//! Files that were changed at random are read or refused: no panic, no hang, no memory beyond reason.
//!
//! `FACTORSEG_FUZZ=5200 cargo test -p factorseg-trainer --test fuzz` tries that many instead of some hundreds. A case is told by
//! its kind and number, so that it can be made again. A program of its own: it measures its memory.

#[path = "program/common/mod.rs"]
mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use common::{Scratch, expect, program};
use factorseg_import::state_dict::StateDict;
use factorseg_import::unet::{Hints, import};
use factorseg_model::checkpoint::{Checkpoint, WeightType, save};
use factorseg_model::{
    CheckpointInfo, CheckpointSource, DeviceSpec, Engine, InputImage, LoadOptions, ModelConfig, Preset, Segmenter,
    SegmenterOptions,
};
use factorseg_trainer::data::dataset::DataSet;
use factorseg_trainer::data::labels::LabelMap;
use factorseg_trainer::data::picture::open_picture;
use factorseg_trainer::data::testing::peak_memory;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Most memory that any of them may take; one decoder may have half of it.
const MOST_MEMORY: u64 = 1 << 30;
/// One that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether it was read.
type Reader = fn(&Path) -> bool;

fn checkpoint(path: &Path) -> bool {
    let source = CheckpointSource::from_path(path);
    if let Ok(mut checkpoint) = Checkpoint::open(&source) {
        for (name, ..) in checkpoint.tensors() {
            let _ = checkpoint.read(&name);
        }
    }
    let how = LoadOptions {
        device: DeviceSpec::Cpu,
        threads: 1,
        ..LoadOptions::default()
    };
    let Ok(mut segmenter) = Segmenter::load(&source, how, &SegmenterOptions::default()) else {
        return false;
    };
    let (width, height) = segmenter.input_size(32, 32);
    let data = vec![0.5; 3 * width * height];
    segmenter.segment(&[InputImage { width, height, data }]).is_ok()
}

fn data_set(path: &Path) -> bool {
    let Ok(data) = DataSet::open(path) else { return false };
    for index in 0..data.len().min(40) {
        let _ = (data.name(index), data.class(index), data.read(index, 16));
    }
    true
}

fn picture(path: &Path) -> bool {
    let labels = LabelMap::open(path).is_ok();
    open_picture(path).is_ok() || labels
}

fn state_dictionary(path: &Path) -> bool {
    let Ok(mut state) = StateDict::open(path) else {
        return false;
    };
    let names: Vec<String> = state.names().map(str::to_owned).collect();
    for name in &names {
        let _ = state.read(name);
    }
    let hints = Hints {
        heads: None,
        new_attention_order: false,
        regions: 3,
    };
    let _ = import(&mut state, hints);
    true
}

/// A kind of file: its name, the ending of its files, whole ones, and what reads them.
type Kind = (&'static str, &'static str, Vec<Vec<u8>>, Reader);

fn kinds(scratch: &Scratch) -> [Kind; 5] {
    let read = |name: &str| std::fs::read(scratch.path(name)).unwrap();
    let config = ModelConfig {
        base_channels: 8,
        channel_multipliers: vec![1, 2],
        attention_resolutions: vec![16],
        norm_groups: 4,
        ..ModelConfig::preset(Preset::Tiny)
    };
    let weights = vec![0.01; config.parameters().last().unwrap().range().end];
    for (name, stored) in [("whole", WeightType::F32), ("half", WeightType::F16)] {
        save(
            &scratch.path(name),
            &weights,
            &config,
            &CheckpointInfo::default(),
            stored,
        )
        .unwrap();
    }
    let mut pack = program();
    pack.arg("pack")
        .arg(scratch.path("data"))
        .args(["--size", "16", "--out"]);
    expect(pack.arg(scratch.path("whole.pack")), 0);
    for format in ["gnu", "pax", "ustar"] {
        let mut tar = Command::new("tar");
        tar.arg(format!("--format={format}"))
            .arg("-cf")
            .arg(scratch.path(format));
        assert!(
            tar.arg("-C")
                .arg(scratch.path("data"))
                .arg("n00000000")
                .status()
                .unwrap()
                .success()
        );
    }
    let image: DynamicImage =
        RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 7) as u8, (y * 9) as u8, (x * y) as u8])).into();
    let encoded = |image: &DynamicImage, format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    use ImageFormat::{Bmp, Jpeg, Png, WebP};
    let mut pictures = [Jpeg, Png, Bmp, WebP].map(|format| encoded(&image, format)).to_vec();
    pictures.push(encoded(&image.to_luma16().into(), Png));
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/import/tests/fixtures");
    let states = [
        "containers.pt",
        "containers-nested.pt",
        "containers-old.pt",
        "improved.pt",
        "containers.safetensors",
    ];
    [
        (
            "checkpoint",
            "safetensors",
            vec![read("whole"), read("half")],
            checkpoint,
        ),
        ("pack", "pack", vec![read("whole.pack")], data_set),
        ("archive", "tar", ["gnu", "pax", "ustar"].map(read).to_vec(), data_set),
        ("picture", "png", pictures, picture),
        (
            "state dictionary",
            "pt",
            states.map(|name| std::fs::read(fixtures.join(name)).unwrap()).to_vec(),
            state_dictionary,
        ),
    ]
}

/// Changes a file in up to six places; heads and tails, which say how to read it, more often.
fn changed(mut bytes: Vec<u8>, random: &mut ChaCha8Rng) -> Vec<u8> {
    for _ in 0..random.random_range(1..=6) {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        let at = match random.random_range(0..3) {
            0 => random.random_range(0..length.min(1024)),
            1 => length - 1 - random.random_range(0..length.min(1024)),
            _ => random.random_range(0..length),
        };
        let end = (at + random.random_range(1..=64)).min(length);
        match random.random_range(0..8) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => {
                let wild = [0, 1, 0x7fff_ffff, 0x8000_0000, u64::MAX / 2, u64::MAX][random.random_range(0..6)];
                let wild = if random.random() {
                    wild.to_le_bytes()
                } else {
                    wild.to_be_bytes()
                };
                let width = [1, 2, 4, 8][random.random_range(0..4)].min(length - at);
                bytes[at..at + width].copy_from_slice(&wild[..width]);
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let part = bytes[at..end].to_vec();
                let to = random.random_range(0..=length);
                bytes.splice(to..to, part);
            }
            6 => bytes[at..end].fill(random.random()),
            // A number in words: of a JSON header, of an archive's head.
            _ => {
                if let Some(digit) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + random.random_range(0..10u8);
                }
            }
        }
    }
    bytes
}

#[test]
fn changed_files_are_read_or_refused() {
    let cases = std::env::var("FACTORSEG_FUZZ").map_or(1000, |text| text.parse().expect("FACTORSEG_FUZZ is a number"));
    let scratch = Scratch::new();
    let (begin, begun) = channel::<String>();
    let watchdog = std::thread::spawn(move || {
        let mut last = String::new();
        loop {
            match begun.recv_timeout(PATIENCE) {
                Ok(case) => last = case,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{last} hangs");
                    std::process::abort();
                }
            }
        }
    });
    let kinds = kinds(&scratch);
    let mut taken = [0; 5];
    for case in 0..cases {
        let (kind, ending, whole, read) = &kinds[case % kinds.len()];
        let name = format!("{kind} {case}");
        begin.send(name.clone()).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(case as u64);
        let seed = whole[random.random_range(0..whole.len())].clone();
        let path = scratch.path(&format!("changed.{ending}"));
        std::fs::write(&path, changed(seed, &mut random)).unwrap();
        let found = catch_unwind(AssertUnwindSafe(|| read(&path)));
        taken[case % kinds.len()] += usize::from(found.unwrap_or_else(|_| panic!("{name} panics")));
        let peak = peak_memory();
        assert!(peak < MOST_MEMORY, "{name} takes {} MiB", peak >> 20);
    }
    drop(begin);
    watchdog.join().unwrap();
    for ((kind, ..), taken) in kinds.iter().zip(taken) {
        println!("{kind}: {taken} of {} are read", cases / kinds.len());
        // Both happen, or the changes would be too few or too many to say anything.
        assert!(taken > 0 && taken < cases / kinds.len(), "{kind}: {taken}");
    }
    println!("{cases} cases, peak memory {} MiB", peak_memory() >> 20);
}
