//! The folder of a run: what it was started with, what it measured, what it saved.
//!
//! A run exists once its folder holds `config.json`, which is written after the checkpoint of step 0: whatever stops a run
//! then, it can be resumed, and whatever stops it before leaves a folder that the next `train` takes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use factorseg_model::checkpoint::{sync_folder, write_atomically};
use factorseg_watch::curves::svg;
use factorseg_watch::events::EventWriter;
use factorseg_watch::metrics::Metrics;
use serde::{Deserialize, Serialize};

use super::config::RunConfig;
use super::state;
use crate::training::watching::monitor::MaskFigures;

/// The averaged weights of the best checkpoint, in a run's folder.
pub const BEST: &str = "best.safetensors";
const CHECKPOINTS: &str = "checkpoints";
const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.jsonl";
const CURVES: &str = "curves.svg";
const EVENTS: &str = "tensorboard";
const LOCK: &str = "run.lock";

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

/// Folder of the checkpoints of the run in `path`.
pub fn checkpoints(path: &Path) -> PathBuf {
    path.join(CHECKPOINTS)
}

/// The teacher's checkpoint, in self-training.
pub fn teacher(path: &Path) -> PathBuf {
    path.join("teacher.safetensors")
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
    /// If there is a run in it already, or what is left of one.
    pub fn refuse_existing(path: &Path) -> Result<()> {
        if path.join(CONFIG).exists() {
            bail!(
                "{0} already holds a run; go on with `factorseg resume {0}`, or choose another --run",
                path.display()
            );
        }
        if state::newest_step(&path.join(CHECKPOINTS))?.is_some_and(|step| step > 0) {
            bail!(
                "{} holds checkpoints, but no {CONFIG} to go on with; put it back, or choose another --run",
                path.display()
            );
        }
        Ok(())
    }

    /// Creates the folder of a new run, which begins to exist with its first checkpoint and [`Self::store_config`].
    ///
    /// # Errors
    /// If there is a run in it already, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        for folder in [CHECKPOINTS, "samples"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let opened = Self::open_files(path)?;
        // Only now nobody else can begin one.
        Self::refuse_existing(path)?;
        Ok(opened)
    }

    /// Opens the folder of a run that was started before: `None` where it is only read, beside the rank that works in it.
    ///
    /// # Errors
    /// If it holds no run, its configuration is damaged, or another trainer works in it.
    pub fn open(path: &Path, lead: bool) -> Result<(Option<Self>, RunConfig)> {
        let config_path = path.join(CONFIG);
        if !config_path.exists() {
            bail!(
                "{} holds no run (no {CONFIG}); give the folder that `factorseg train --run` made",
                path.display()
            );
        }
        let config = RunConfig::read(&config_path, path)?;
        let opened = if lead { Some(Self::open_files(path)?) } else { None };
        Ok((opened, config))
    }

    fn open_files(path: &Path) -> Result<Self> {
        let lock_path = path.join(LOCK);
        let lock = File::create(&lock_path).with_context(|| format!("cannot create {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another trainer works in {}; stop it first", path.display()),
            // Lustre and some NFS have no locks.
            Err(TryLockError::Error(error)) => eprintln!(
                "warning: {} is on a file system without locks ({error}): nothing but you keeps a second trainer out of it",
                path.display()
            ),
        }
        let flushed = sync_folder(path).with_context(|| format!("cannot flush {}", path.display()))?;
        if !flushed {
            eprintln!(
                "warning: {} is on a file system that cannot flush folders: the newest checkpoint may not outlive a power cut",
                path.display()
            );
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
        let text = serde_json::to_vec_pretty(&config.stored(&self.path))?;
        write_atomically(&path, &text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        checkpoints(&self.path)
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
        teacher(&self.path)
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
        write_atomically(&path, svg(&metrics).as_bytes()).with_context(|| format!("cannot write {}", path.display()))
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
        write_atomically(&path, kept.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        self.metrics = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(())
    }
}
