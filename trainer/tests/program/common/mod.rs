//! Helpers of the tests that run the program.
#![allow(dead_code, reason = "each test program uses some of them")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use image::{Rgb, RgbImage};
use safetensors::SafeTensors;

/// Network options of the smallest model that has every part.
pub const NETWORK: [&str; 12] = [
    "--preset",
    "tiny",
    "--image-size",
    "16",
    "--base-channels",
    "8",
    "--channel-multipliers",
    "1,2",
    "--residual-blocks",
    "1",
    "--attention-resolutions",
    "8",
];

/// Four phases of 2, 2, 4 and 2 steps that use every kind of mask.
pub const RECIPE: &str = r#"
name = "test"
batch_size = 4
micro_batch = 3
ema_rate = 0.99
label_dropout = 0.2
gradient_clip = 1.0
[augmentation]
crop = "random"
crop_scale = 1.25
[[phases]]
name = "denoiser"
steps = 2
timesteps = [1, 1000]
learning_rate = 1e-3
warmup_steps = 2
mask_head = "uniform"
[[phases]]
name = "cooling"
steps = 2
timesteps = [1, 1000]
learning_rate = 1e-3
final_learning_rate = 5e-4
mask_head = "uniform"
[[phases]]
name = "release"
steps = 4
timesteps = [1, 100]
learning_rate = 1e-3
mask_generator_factor = 4.0
mask_head = { released = { std = 0.05 } }
masks = { temperature = { from = 1.0, to = 0.5 } }
[[phases]]
name = "commit"
steps = 2
timesteps = [1, 100]
learning_rate = 1e-3
final_learning_rate = 1e-4
mask_head = "trained"
masks = { temperature = { from = 0.5, to = 0.5 } }
"#;

/// A scratch folder with 24 images of two classes and the test recipe.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..24u32 {
            let class = folder.path().join(format!("data/n0000000{}", i % 2));
            std::fs::create_dir_all(&class).unwrap();
            RgbImage::from_fn(20, 24, |x, y| {
                Rgb([
                    (x * 12) as u8,
                    (y * 10) as u8,
                    if (x + i) % 7 < 3 { 220 } else { (i * 10) as u8 },
                ])
            })
            .save(class.join(format!("{i:02}.png")))
            .unwrap();
        }
        let scratch = Self { folder };
        scratch.write("recipe.toml", RECIPE);
        scratch
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// `factorseg train` on the scratch data with the smallest network, not started yet.
    pub fn train(&self, run: &str, more: &[&str]) -> Command {
        self.train_on(&self.path("data"), run, more)
    }

    /// The same on another source.
    pub fn train_on(&self, source: &Path, run: &str, more: &[&str]) -> Command {
        let mut command = program();
        command.arg("train").arg(source).arg("--run").arg(self.path(run));
        command.args(NETWORK);
        command.args("--device cpu --threads 1 --held-out 2 --sample-every 4 --seed 3".split(' '));
        if !more.contains(&"--log-every") {
            command.args(["--log-every", "1"]);
        }
        if !more.contains(&"--recipe") {
            command.arg("--recipe").arg(self.path("recipe.toml"));
        }
        command.args(more);
        command
    }

    /// A copy of a run under another name.
    pub fn copy(&self, run: &str, name: &str) -> PathBuf {
        let copied = Command::new("cp")
            .arg("-r")
            .args([self.path(run), self.path(name)])
            .status();
        assert!(copied.unwrap().success());
        self.path(name)
    }

    pub fn resume(&self, run: &str) -> Command {
        let mut command = program();
        command.arg("resume").arg(self.path(run));
        command
    }
}

pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_factorseg"))
}

/// Runs to the end and returns standard error; the exit code must be as expected.
pub fn expect(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(
        status.code(),
        Some(code),
        "{command:?}\n{}\n{stderr}",
        String::from_utf8_lossy(&stdout)
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// Starts a run and waits until its log has a line with these words. Whoever reads the log has to stay.
pub fn start_until(command: &mut Command, words: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the run ended before `{words}`");
    }
    (child, log)
}

/// What `factorseg inspect` says of a checkpoint.
pub fn inspect(model: impl AsRef<Path>) -> serde_json::Value {
    let output = program()
        .args(["inspect", "--json"])
        .arg(model.as_ref())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Values of all tensors of a state file.
pub fn state(run: &Path, step: u64) -> BTreeMap<String, Vec<u8>> {
    let path = run.join(format!("checkpoints/step-{step:09}/state.safetensors"));
    let bytes = std::fs::read(&path).unwrap();
    SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.data().to_vec()))
        .collect()
}

/// The metrics of a run without what depends on the clock.
pub fn metrics(run: &Path) -> Vec<serde_json::Value> {
    std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            for clock in ["images_per_second", "input_wait"] {
                value.as_object_mut().unwrap().remove(clock);
            }
            value
        })
        .collect()
}

/// Steps of the checkpoints in a run.
pub fn checkpoints(run: &Path) -> Vec<u64> {
    let mut steps: Vec<u64> = std::fs::read_dir(run.join("checkpoints"))
        .map(|entries| {
            entries
                .filter_map(|e| e.unwrap().file_name().to_str()?.strip_prefix("step-")?.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    steps.sort_unstable();
    steps
}
