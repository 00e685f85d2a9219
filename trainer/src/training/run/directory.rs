//! The folder of a run: what it was started with, what it measured, what it saved.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use factorseg_model::{ClassLabel, ModelConfig, Precision, PrecisionError};
use factorseg_watch::curves::svg;
use factorseg_watch::events::EventWriter;
use factorseg_watch::metrics::Metrics;
use serde::{Deserialize, Serialize};

use crate::data::dataset::DataSet;
use crate::recipe::Recipe;
use crate::training::watching::monitor::MaskFigures;

/// The averaged weights of the best checkpoint, in a run's folder.
pub const BEST: &str = "best.safetensors";
const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.jsonl";
const CURVES: &str = "curves.svg";
const EVENTS: &str = "tensorboard";
const LOCK: &str = "run.lock";

/// Options that change how a run is carried out and watched, not what it computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOptions {
    /// Device or devices, as in `--device`.
    pub device: String,
    /// What passes compute in, as in `--precision`.
    #[serde(default)]
    pub precision: StoredPrecision,
    /// Threads of the CPU device; 0 leaves it to the system.
    pub threads: usize,
    /// Threads that read and decode.
    pub input_threads: usize,
    /// Batches kept ready.
    pub prefetch: usize,
    /// Memory for decoded images in MiB.
    pub cache_mib: usize,
    /// Broken images that are skipped before the run stops.
    pub max_broken: usize,
    /// Steps between lines of the log.
    pub log_every: u64,
    /// Steps between pictures; 0 for none.
    pub sample_every: u64,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// Newest checkpoints kept; the best one stays beside them.
    pub keep: usize,
}

/// A [`Precision`] by its word; runs from before there was a choice have 32 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoredPrecision(pub Precision);

impl TryFrom<String> for StoredPrecision {
    type Error = PrecisionError;

    fn try_from(word: String) -> Result<Self, PrecisionError> {
        word.parse().map(Self)
    }
}

impl From<StoredPrecision> for String {
    fn from(stored: StoredPrecision) -> Self {
        stored.0.to_string()
    }
}

/// The data of a run, and how to tell that it is still the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataDescription {
    /// Absolute path of the folder, archive or packed file.
    pub path: PathBuf,
    /// Whether classes are left out on purpose.
    pub unconditional: bool,
    /// Number of images.
    pub images: usize,
    /// Hash of the images' names.
    pub fingerprint: String,
    /// Classes, in index order.
    pub classes: Vec<ClassLabel>,
    /// Images held out from training.
    pub held_out: usize,
}

impl DataDescription {
    /// Describes a set of images.
    pub fn of(images: &DataSet, unconditional: bool, held_out: usize) -> Self {
        Self {
            path: fs::canonicalize(images.root()).unwrap_or_else(|_| images.root().to_owned()),
            unconditional,
            images: images.len(),
            fingerprint: images.fingerprint(),
            classes: images
                .classes()
                .iter()
                .map(|name| ClassLabel::from_folder(name))
                .collect(),
            held_out,
        }
    }
}

/// Names that say which part of a data set something is, not which data set.
const PARTS: [&str; 11] = [
    "train",
    "training",
    "trainval",
    "val",
    "valid",
    "validation",
    "test",
    "dev",
    "unlabeled",
    "images",
    "data",
];

/// What data at `path` is called in a checkpoint: its own name, behind that of its folder where it is only the name of a
/// part, as in `animals/train`.
pub fn data_name(path: &Path) -> String {
    let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
    let Some(name) = path.file_name().map(text) else {
        return String::new();
    };
    let stem = path.file_stem().map(text).unwrap_or_default().to_lowercase();
    match path.parent().and_then(Path::file_name) {
        Some(folder) if PARTS.contains(&stem.as_str()) => format!("{}/{name}", text(folder)),
        _ => name,
    }
}

/// Everything a run was started with (`config.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Version of the program that started the run.
    pub version: String,
    /// Seed of all random numbers.
    pub seed: u64,
    /// The data.
    pub data: DataDescription,
    /// The network.
    pub model: ModelConfig,
    /// Checkpoint that the weights came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Checkpoint whose masks are learned, in self-training. The run's folder has a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// The schedule.
    pub recipe: Recipe,
    /// The rest.
    pub options: RunOptions,
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Metric {
    /// Means since the line before.
    Train {
        /// Finished steps.
        step: u64,
        /// Name of the phase.
        phase: String,
        /// Mean squared error of the noise; in self-training the cross entropy with the teacher's masks.
        loss: f64,
        /// Learning rate of the last step.
        learning_rate: f64,
        /// Softmax temperature of the last step.
        temperature: f64,
        /// Images trained on per second.
        images_per_second: f64,
        /// Part of the time spent waiting for input, 0 to 1.
        input_wait: f64,
        /// Broken images so far.
        broken_images: usize,
        /// Figures of the last masks; absent while they are uniform by rule.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        masks: Option<MaskFigures>,
    },
    /// Figures of the averaged model's masks on the held-out images.
    HeldOut {
        /// Finished steps.
        step: u64,
        /// The figures.
        masks: MaskFigures,
    },
    /// A checkpoint's score on the held-out images.
    Checkpoint {
        /// Finished steps.
        step: u64,
        /// The phase's loss.
        loss: f64,
        /// Whether the masks have collapsed.
        collapsed: bool,
        /// Whether it is the best so far.
        best: bool,
    },
}

impl Metric {
    /// Finished steps when it was written.
    pub fn step(&self) -> u64 {
        match self {
            Self::Train { step, .. } | Self::HeldOut { step, .. } | Self::Checkpoint { step, .. } => *step,
        }
    }
}

/// An open run folder, locked against a second trainer.
#[derive(Debug)]
pub struct RunDirectory {
    /// The folder.
    pub path: PathBuf,
    metrics: File,
    /// Begun with the first line.
    events: Option<EventWriter>,
    _lock: File,
}

impl RunDirectory {
    /// Checks that a new run may begin in the folder.
    ///
    /// # Errors
    /// If there is a run in it already.
    pub fn refuse_existing(path: &Path) -> Result<()> {
        if path.join(CONFIG).exists() {
            bail!(
                "{0} already holds a run; go on with `factorseg resume {0}`, or choose another --run",
                path.display()
            );
        }
        Ok(())
    }

    /// Creates the folder of a new run and stores its configuration.
    ///
    /// # Errors
    /// If there is a run in it already, or it cannot be written.
    pub fn create(path: &Path, config: &RunConfig) -> Result<Self> {
        Self::refuse_existing(path)?;
        for folder in ["checkpoints", "samples"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let opened = Self::open_files(path)?;
        opened.store_config(config)?;
        Ok(opened)
    }

    /// Opens the folder of a run that was started before.
    ///
    /// # Errors
    /// If it holds no run, its configuration is damaged, or another trainer works in it.
    pub fn open(path: &Path) -> Result<(Self, RunConfig)> {
        let config_path = path.join(CONFIG);
        if !config_path.exists() {
            bail!(
                "{} holds no run (no {CONFIG}); give the folder that `factorseg train --run` made",
                path.display()
            );
        }
        let text =
            fs::read_to_string(&config_path).with_context(|| format!("cannot read {}", config_path.display()))?;
        let config = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a run's configuration", config_path.display()))?;
        Ok((Self::open_files(path)?, config))
    }

    fn open_files(path: &Path) -> Result<Self> {
        let lock_path = path.join(LOCK);
        let lock = File::create(&lock_path).with_context(|| format!("cannot create {}", lock_path.display()))?;
        if lock.try_lock().is_err() {
            bail!("another trainer works in {}; stop it first", path.display());
        }
        let metrics_path = path.join(METRICS);
        let metrics = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&metrics_path)
            .with_context(|| format!("cannot open {}", metrics_path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            metrics,
            events: None,
            _lock: lock,
        })
    }

    /// Stores the configuration.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn store_config(&self, config: &RunConfig) -> Result<()> {
        let path = self.path.join(CONFIG);
        let text = serde_json::to_vec_pretty(config)?;
        factorseg_model::checkpoint::write_atomically(&path, &text)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The averaged weights of the newest checkpoint.
    pub fn newest_model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The averaged weights of the best checkpoint.
    pub fn best_model(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// The teacher's checkpoint, in self-training.
    pub fn teacher(&self) -> PathBuf {
        self.path.join("teacher.safetensors")
    }

    /// Picture of `step`.
    pub fn sample(&self, step: u64) -> PathBuf {
        self.path.join("samples").join(format!("step-{step:09}.png"))
    }

    /// Appends a line to the metrics, and to TensorBoard's events.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn log(&mut self, metric: &Metric) -> Result<()> {
        let value = serde_json::to_value(metric)?;
        let mut line = serde_json::to_vec(metric)?;
        line.push(b'\n');
        self.metrics
            .write_all(&line)
            .with_context(|| format!("cannot write {}", self.path.join(METRICS).display()))?;
        let folder = self.path.join(EVENTS);
        let written = match &mut self.events {
            Some(events) => events.write(&value),
            None => EventWriter::create(&folder).and_then(|events| self.events.insert(events).write(&value)),
        };
        written.with_context(|| format!("cannot write to {}", folder.display()))
    }

    /// Draws the metrics so far as `curves.svg`.
    ///
    /// # Errors
    /// If they cannot be read, or the picture not be written.
    pub fn draw_curves(&self) -> Result<()> {
        let path = self.path.join(CURVES);
        let metrics = Metrics::read(&self.path.join(METRICS)).context("cannot read the metrics")?;
        factorseg_model::checkpoint::write_atomically(&path, svg(&metrics).as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Takes out the lines after `step`: a run that was killed measured steps that it will do again.
    ///
    /// # Errors
    /// If the file cannot be rewritten.
    pub fn rewind(&mut self, step: u64) -> Result<()> {
        let path = self.path.join(METRICS);
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut kept = String::new();
        for line in BufReader::new(file).lines() {
            let line = line.with_context(|| format!("cannot read {}", path.display()))?;
            // A half-written last line is no metric, and goes.
            if serde_json::from_str::<Metric>(&line).is_ok_and(|metric| metric.step() <= step) {
                kept.push_str(&line);
                kept.push('\n');
            }
        }
        factorseg_model::checkpoint::write_atomically(&path, kept.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.metrics = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_called_by_a_name_that_tells_it_apart() {
        for (path, name) in [
            ("/data/photos", "photos"),
            ("/data/animals/train", "animals/train"),
            ("/data/animals/Train.pack", "animals/Train.pack"),
            ("/runs/footage/data.pack", "footage/data.pack"),
            ("/train", "train"),
            ("/", ""),
        ] {
            assert_eq!(data_name(Path::new(path)), name);
        }
    }
}
