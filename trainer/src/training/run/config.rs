//! What a run was started with (`config.json`), and what it may be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use factorseg_model::{ClassLabel, DeviceSpec, ModelConfig, Precision, PrecisionError};
use serde::{Deserialize, Serialize};

use crate::data::dataset::DataSet;
use crate::recipe::Recipe;

/// Options that change how a run is carried out and watched, not what it computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOptions {
    /// Device, as in `--device`.
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

/// The packed file that a run makes of videos and URLs, in its own folder.
pub const OWN_DATA: &str = "data.pack";

/// The data of a run, and how to tell that it is still the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataDescription {
    /// Absolute path of the folder, archive or packed file. In `config.json` what lies in the run's own folder is relative
    /// to it, so that the folder may move.
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
            path: absolute(images.root()),
            unconditional,
            images: images.len(),
            fingerprint: images.fingerprint(),
            classes: ClassLabel::from_folders(images.classes()),
            held_out,
        }
    }
}

/// An absolute path without links; with them where there is no such file, as for `shard-{000..127}.tar`.
fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
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

/// Most threads of a kind.
pub const MOST_THREADS: usize = 1024;
/// Most batches that are kept ready.
pub const MOST_PREFETCH: usize = 1024;
/// Largest cache in MiB: 16 TiB.
pub const MOST_CACHE_MIB: usize = 1 << 24;

impl RunOptions {
    /// # Errors
    /// Names the first one that is out of range.
    fn validate(&self) -> Result<()> {
        self.device.parse::<DeviceSpec>()?;
        for (name, value, most) in [
            ("threads", self.threads, MOST_THREADS),
            ("input_threads", self.input_threads, MOST_THREADS),
            ("prefetch", self.prefetch, MOST_PREFETCH),
            ("cache_mib", self.cache_mib, MOST_CACHE_MIB),
        ] {
            ensure!(value <= most, "options.{name} is {value}; expected at most {most}");
        }
        Ok(())
    }
}

impl RunConfig {
    /// Reads `config.json` at `path`, in the folder `run`, and checks it as a new run's is checked.
    ///
    /// # Errors
    /// If it cannot be read, holds something that this version does not know, or a value is out of range.
    pub fn read(path: &Path, run: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config: Self =
            serde_json::from_str(&text).map_err(|error| Self::unreadable(path, run, &text, &error))?;
        config
            .validate()
            .with_context(|| format!("{} cannot be used", path.display()))?;
        let own = absolute(run);
        if config.data.path.is_relative() {
            config.data.path = own.join(&config.data.path);
        } else if !config.data.path.exists() && config.data.path.file_name() == Some(OWN_DATA.as_ref()) {
            // Older versions stored where their own data was before the folder moved.
            let here = own.join(OWN_DATA);
            if here.exists() {
                config.data.path = here;
            }
        }
        Ok(config)
    }

    /// Why a configuration cannot be read, and the way out.
    fn unreadable(path: &Path, run: &Path, text: &str, error: &serde_json::Error) -> anyhow::Error {
        let message = error.to_string();
        // The field is what matters; serde adds all that could stand there.
        let reason = match message.split_once(", expected ") {
            Some((field, _)) if message.starts_with("unknown field") => field,
            _ => &message,
        };
        let written = serde_json::from_str::<serde_json::Value>(text).ok();
        let version = written.as_ref().and_then(|config| config.get("version")?.as_str());
        match version {
            Some(version) => anyhow!(
                "{} was written by factorseg {version} and holds what this one, {}, does not read: {reason}. Resume with the \
                 version that wrote it, or start a new run from its weights with `factorseg train DATA --run NEW --init-from {}`",
                path.display(),
                env!("CARGO_PKG_VERSION"),
                run.join("model.safetensors").display()
            ),
            None => anyhow!("{} is not a run's configuration: {reason}", path.display()),
        }
    }

    /// As it is stored in the folder `run`.
    pub fn stored(&self, run: &Path) -> Self {
        let mut stored = self.clone();
        if let Ok(own) = self.data.path.strip_prefix(absolute(run)) {
            stored.data.path = own.to_owned();
        }
        stored
    }

    /// Checks everything that can be checked without the data: what `train` does not begin with, `resume` does not go on
    /// with.
    ///
    /// # Errors
    /// Names the first field that is out of range, or two that do not go together.
    pub fn validate(&self) -> Result<()> {
        let Self { model, recipe, .. } = self;
        model.validate()?;
        recipe.validate()?;
        recipe.validate_for(model.schedule.timesteps)?;
        self.options.validate()?;
        if let Some(needed) = recipe.competing_regions() {
            ensure!(
                model.regions >= needed,
                "recipe {} lets {needed} regions or more compete; use --regions {needed} instead of {}",
                recipe.name,
                model.regions
            );
        }
        if let Some(labels) = recipe.labels() {
            let needed = labels.regions();
            ensure!(
                model.regions == needed,
                "recipe {} has labels of {needed} regions, and the network {}; use --regions {needed}",
                recipe.name,
                model.regions
            );
        }
        let mut parts = recipe.phases.iter().filter_map(|phase| phase.masks.parts);
        if let Some(parts) = parts.find(|parts| !model.regions.is_multiple_of(*parts)) {
            bail!(
                "recipe {} has {parts} parts of each region; use --regions {} instead of {}",
                recipe.name,
                parts * model.regions.div_ceil(parts),
                model.regions
            );
        }
        if model.regions == 1 && recipe.phases.iter().any(|phase| phase.masks != Default::default()) {
            bail!("one region has nothing to mask; use --regions 2 or more, or a recipe without masks settings");
        }
        ensure!(
            model.classes == self.data.classes.len(),
            "the network has {} classes, the data {}",
            model.classes,
            self.data.classes.len()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
