//! Checkpoints: what is written is read back, and whatever else a file may hold is one clear error.

use std::path::{Path, PathBuf};

use factorseg_model::checkpoint::{Checkpoint, DecoderTraining, WeightType, save, write_atomically};
use factorseg_model::noise::standard_normal;
use factorseg_model::{CheckpointError, CheckpointInfo, CheckpointSource, ClassLabel, ModelConfig, Preset, WeightKind};
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

fn config() -> ModelConfig {
    ModelConfig {
        base_channels: 8,
        channel_multipliers: vec![1, 2],
        attention_resolutions: vec![16],
        norm_groups: 4,
        classes: 2,
        ..ModelConfig::preset(Preset::Tiny)
    }
}

/// Weights none of which are zero.
fn weights() -> Vec<f32> {
    let count = config().parameters().last().unwrap().range().end;
    standard_normal(3, count).into_iter().map(|value| 0.1 * value).collect()
}

fn info() -> CheckpointInfo {
    CheckpointInfo {
        classes: vec![ClassLabel::from_folder("n02123045"), ClassLabel::from_folder("horse")],
        step: 7,
        dataset: "pictures".into(),
        weights: WeightKind::Raw,
        foreground_regions: vec![2],
        decoder: Some(trained(true, 1000)),
    }
}

fn trained(masked: bool, last: usize) -> DecoderTraining {
    DecoderTraining {
        masked,
        timesteps: (1, last),
        steps: 5,
    }
}

fn saved(directory: &TempDir, weight_type: WeightType) -> (PathBuf, Vec<f32>) {
    let path = directory.path().join("model.safetensors");
    save(&path, &weights(), &config(), &info(), weight_type).unwrap();
    (path, weights())
}

fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(&CheckpointSource::from_path(path))
}

#[test]
fn a_checkpoint_is_read_as_it_was_written() {
    let directory = TempDir::new().unwrap();
    let (path, weights) = saved(&directory, WeightType::F32);
    // By file and by directory.
    for path in [path.as_path(), directory.path()] {
        let mut checkpoint = open(path).unwrap();
        assert_eq!(*checkpoint.config(), config());
        assert_eq!(*checkpoint.info(), info());
        assert!(checkpoint.has_decoder());
        assert_eq!(checkpoint.load().unwrap(), weights);
        // By name: what lies where.
        for parameter in config().parameters() {
            assert_eq!(checkpoint.read(&parameter.name).unwrap(), weights[parameter.range()]);
        }
    }
    // Nothing but the checkpoint is left behind.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// Only a decoder that was trained under the network's masks over the whole schedule draws pictures.
#[test]
fn a_checkpoint_says_whether_it_generates() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("model.safetensors");
    for (decoder, reason) in [
        (None, Some("was not trained under its masks")),
        (Some(trained(false, 1000)), Some("under uniform masks")),
        (Some(trained(true, 700)), Some("for t = 1 to 700 of 1000")),
        (Some(trained(true, 1000)), None),
    ] {
        let info = CheckpointInfo { decoder, ..info() };
        save(&path, &weights(), &config(), &info, WeightType::F32).unwrap();
        let refused = open(&path)
            .unwrap()
            .check_generates()
            .err()
            .map(|error| error.to_string());
        let expected = |reason: &str| {
            refused
                .as_ref()
                .is_some_and(|said| said.contains(reason) && said.contains("--recipe decoder"))
        };
        assert!(reason.map_or(refused.is_none(), expected), "{refused:?}");
    }
    let embedded = Checkpoint::open(&CheckpointSource::Embedded).unwrap();
    let message = embedded.check_generates().unwrap_err().to_string();
    assert!(
        message.contains("embedded checkpoint") && message.contains("holds no decoder"),
        "{message}"
    );
}

#[test]
fn half_precision_files_are_half_the_size_and_close() {
    let directory = TempDir::new().unwrap();
    let full = std::fs::metadata(saved(&directory, WeightType::F32).0).unwrap().len();
    for (weight_type, precision) in [(WeightType::Bf16, 0.004), (WeightType::F16, 0.0005)] {
        let (path, weights) = saved(&directory, weight_type);
        assert!(std::fs::metadata(&path).unwrap().len() < full * 6 / 10);
        for (a, b) in open(&path).unwrap().load().unwrap().iter().zip(weights) {
            assert!((a - b).abs() <= b.abs() * precision + 1e-6, "{a} {b}");
        }
    }
}

#[test]
fn segmentation_needs_no_decoder_in_the_file() {
    let directory = TempDir::new().unwrap();
    let weights = weights();
    let segmenting = config()
        .parameters()
        .into_iter()
        .filter(|parameter| !parameter.is_decoder());
    let tensors = segmenting.map(|one| (one.name.clone(), one.shape.clone(), weights[one.range()].to_vec()));
    let path = directory.path().join("masks.safetensors");
    factorseg_model::checkpoint::save_tensors(&path, tensors.collect(), &config(), &info(), WeightType::F32).unwrap();
    let mut checkpoint = open(&path).unwrap();
    assert!(!checkpoint.has_decoder());
    let segmenting = checkpoint.load_segmentation().unwrap();
    for parameter in config().parameters() {
        let expected = (!parameter.is_decoder()).then(|| &weights[parameter.range()]);
        let found = segmenting.get(&parameter.name).map(|(values, _)| values);
        assert_eq!(found, expected, "{}", parameter.name);
    }
    let error = checkpoint.load().unwrap_err().to_string();
    assert!(error.contains("decoder.") && error.contains("missing"), "{error}");
}

#[test]
fn a_truncated_file_is_an_error_wherever_it_ends() {
    let directory = TempDir::new().unwrap();
    let (path, _) = saved(&directory, WeightType::F32);
    let bytes = std::fs::read(&path).unwrap();
    let cut = directory.path().join("cut.safetensors");
    for length in [0, 1, 7, 8, 9, 100, 3000, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        let error = open(&cut).map(|_| ()).unwrap_err();
        assert!(matches!(error, CheckpointError::Container { .. }), "{length}: {error}");
        assert!(error.to_string().contains("cut.safetensors"), "{error}");
    }
}

#[test]
fn any_flipped_header_byte_is_an_error_or_harmless() {
    let directory = TempDir::new().unwrap();
    let (path, _) = saved(&directory, WeightType::F32);
    let bytes = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let damaged = directory.path().join("damaged.safetensors");
    let mut errors = 0;
    for position in (0..header).step_by(7) {
        let mut bytes = bytes.clone();
        bytes[position] ^= 0x15;
        std::fs::write(&damaged, bytes).unwrap();
        // Whatever it says, it must not panic, and must not take gigabytes.
        let result = open(&damaged).and_then(|mut c| c.load_segmentation().map(|_| ()));
        errors += usize::from(result.is_err());
    }
    assert!(errors > 100, "{errors}");
}

#[test]
fn foreign_and_inconsistent_files_are_named_errors() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("other.safetensors");
    let write = |metadata: &[(&str, String)]| {
        let data = [0u8; 4];
        let view = TensorView::new(Dtype::F32, vec![1], &data).unwrap();
        let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
        let bytes = safetensors::serialize([("encoder.conv_in.weight", view)], Some(metadata)).unwrap();
        std::fs::write(&path, bytes).unwrap();
    };
    let json = |config: &ModelConfig| serde_json::to_string(config).unwrap();
    let huge = ModelConfig {
        base_channels: 1 << 40,
        ..config()
    };
    let two_labels = serde_json::json!({ "classes": [{ "name": "cat" }] }).to_string();
    let no_region = serde_json::json!({ "foreground_regions": [9] }).to_string();
    let format = ("factorseg.format", "1".to_owned());
    let valid = ("factorseg.config", json(&config()));
    for (metadata, expected) in [
        (vec![], "no `factorseg.format`"),
        (vec![("factorseg.format", "99".to_owned())], "format 99"),
        (vec![format.clone()], "no `factorseg.config`"),
        (
            vec![format.clone(), ("factorseg.config", "{}".to_owned())],
            "missing field",
        ),
        (
            vec![format.clone(), ("factorseg.config", json(&huge))],
            "`base_channels`",
        ),
        (
            vec![format.clone(), valid.clone(), ("factorseg.info", two_labels)],
            "1 class labels for 2 classes",
        ),
        (
            vec![format.clone(), valid.clone(), ("factorseg.info", no_region)],
            "region 9 of 3",
        ),
    ] {
        write(&metadata);
        let error = open(&path).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("other.safetensors"),
            "{error}"
        );
    }
    // A header that promises a network which the file does not hold.
    write(&[format, valid]);
    let error = open(&path).unwrap().load().unwrap_err().to_string();
    assert!(error.contains("missing") || error.contains("expected"), "{error}");
}

#[test]
fn a_missing_file_is_an_error_with_its_path() {
    let error = open(Path::new("/nowhere/model.safetensors"))
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere/model.safetensors"), "{error}");
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_other() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("model.safetensors");
    write_atomically(&path, b"old").unwrap();
    // A directory cannot be renamed over.
    let blocked = directory.path().join("blocked");
    std::fs::create_dir(&blocked).unwrap();
    std::fs::write(blocked.join("full"), b"").unwrap();
    assert!(write_atomically(&blocked, b"new").is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    // The device that is always full.
    if Path::new("/dev/full").exists() {
        assert!(std::fs::write("/dev/full", b"new").is_err());
    }
}
