//! Checkpoints of a run: everything needed to go on bit for bit, written so that a crash at any
//! moment leaves a whole one behind.
//!
//! A checkpoint is a folder `step-000001000` that holds
//! - `model.safetensors`: the averaged weights, enough to segment;
//! - `state.safetensors`: raw weights, averaged weights, Adam's moments, step and running sums;
//! - `manifest.json`: size and checksum of both, and how good the checkpoint is.
//!
//! It is written under another name, flushed to disk, and renamed last. Which one is best is read from the manifests that
//! are there, so it needs no state of its own.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use factorseg_kernels::{KernelError, Moments, Parameter, Snapshot};
use factorseg_model::checkpoint::{self, WeightType};
use factorseg_model::{CheckpointError, CheckpointInfo, ModelConfig};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::training::learner::Learner;
use crate::training::watching::best::{Score, best as best_of};

const MODEL: &str = "model.safetensors";
const STATE: &str = "state.safetensors";
const MANIFEST: &str = "manifest.json";
const PREFIX: &str = "step-";
const PARTIAL: &str = ".partial-";
const FORMAT: u32 = 2;

/// Why a checkpoint cannot be written or read.
#[derive(Debug, Error)]
pub enum StateError {
    /// Reading or writing failed.
    #[error("cannot {action} {path}: {source}{hint}", hint = hint(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The model file cannot be written.
    #[error("{0}{hint}", hint = checkpoint_hint(.0))]
    Model(#[from] CheckpointError),
    /// The content is not what was written.
    #[error("checkpoint {path} is damaged: {reason}; delete that folder to resume from the one before")]
    Damaged {
        /// The checkpoint folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The device does not take it.
    #[error(transparent)]
    Device(#[from] KernelError),
    /// There is nothing to resume from.
    #[error("no checkpoint in {0}; delete the run's folder and start again with `factorseg train`")]
    None(PathBuf),
    /// The state is of no use any more.
    #[error(
        "{what} of {parameter} are no longer finite at step {step}; lower the learning rate or set gradient_clip in the recipe. \
         The checkpoint before is intact"
    )]
    NotFinite {
        /// Which numbers.
        what: &'static str,
        /// The parameter that they belong to.
        parameter: String,
        /// Finished steps.
        step: u64,
    },
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => {
            "; free some space and resume: the checkpoint before is intact"
        }
        _ => "",
    }
}

fn checkpoint_hint(error: &CheckpointError) -> &'static str {
    match error {
        CheckpointError::Io { source, .. } => hint(source),
        _ => "",
    }
}

/// Sums since the last line of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunningLoss {
    /// Sum of the losses.
    pub sum: f64,
    /// Their number.
    pub count: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    step: u64,
    files: Vec<FileEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    score: Option<Score>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileEntry {
    name: String,
    bytes: u64,
    crc32: u32,
}

/// Header of the state file. Numbers with fractions are stored as bits: they come back exactly.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    step: u64,
    loss_sum_bits: u64,
    loss_count: u64,
    /// Adam's updates of each parameter; `null` before the first.
    updates: Vec<Option<u64>>,
}

/// What a checkpoint holds.
#[derive(Debug, Clone)]
pub struct Content {
    /// Finished steps.
    pub step: u64,
    /// The learner's state.
    pub snapshot: Snapshot,
    /// The weights that `model.safetensors` holds, flat.
    pub exported: Vec<f32>,
    /// Its configuration.
    pub model: ModelConfig,
    /// What is said of it.
    pub info: CheckpointInfo,
    /// Sums since the last line of the log.
    pub running: RunningLoss,
    /// How good it is; unset: no candidate for the best one.
    pub score: Option<Score>,
}

/// Checks that numbers, which have the places of `parameters`, are finite.
///
/// # Errors
/// Names the first parameter whose are not.
pub fn finite(parameters: &[Parameter], values: &[f32], what: &'static str, step: u64) -> Result<(), StateError> {
    let wild = parameters
        .iter()
        .find(|parameter| !values[parameter.range()].iter().all(|value| value.is_finite()));
    match wild {
        None => Ok(()),
        Some(parameter) => Err(StateError::NotFinite {
            what,
            parameter: parameter.name.clone(),
            step,
        }),
    }
}

/// Writes a checkpoint below `folder` and removes all but the newest `keep` and the best one; that of step 0 goes with the
/// next.
///
/// # Errors
/// If a number of the state is not finite, or anything cannot be written; the partial folder is removed and older
/// checkpoints stay.
pub fn save(folder: &Path, content: &Content, keep: usize) -> Result<(), StateError> {
    let name = format!("{PREFIX}{:09}", content.step);
    let partial = folder.join(format!("{PARTIAL}{name}"));
    let complete = folder.join(name);
    let written = write(&partial, content).and_then(|()| {
        if complete.exists() {
            fs::remove_dir_all(&complete).map_err(io("remove", &complete))?;
        }
        fs::rename(&partial, &complete).map_err(io("rename to", &complete))?;
        sync_folder(folder)
    });
    if let Err(error) = written {
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    let best = best(folder)?.map(|(step, _)| step);
    for (place, (step, old)) in list(folder)?.into_iter().rev().enumerate() {
        let kept = place < keep.max(1) && (step > 0 || content.step == 0);
        if !kept && Some(step) != best {
            fs::remove_dir_all(&old).map_err(io("remove", &old))?;
        }
    }
    Ok(())
}

/// The step and the score of the best checkpoint below `folder`. One whose manifest cannot be read is none.
///
/// # Errors
/// If the folder cannot be read.
pub fn best(folder: &Path) -> Result<Option<(u64, Score)>, StateError> {
    let scored = list(folder)?.into_iter().filter_map(|(step, path)| {
        let manifest = fs::read(path.join(MANIFEST)).ok()?;
        let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
        Some((step, manifest.score?))
    });
    Ok(best_of(scored))
}

/// Copies the averaged weights in the checkpoint of `step` below `folder` to `path`, unless they are there.
///
/// # Errors
/// If they cannot be read or written.
pub fn publish(folder: &Path, step: u64, path: &Path) -> Result<(), StateError> {
    let source = folder.join(format!("{PREFIX}{step:09}")).join(MODEL);
    let bytes = fs::read(&source).map_err(io("read back", &source))?;
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    checkpoint::write_atomically(path, &bytes).map_err(io("write", path))
}

fn write(partial: &Path, content: &Content) -> Result<(), StateError> {
    let snapshot = &content.snapshot;
    let parameters = &content.model.parameters();
    for (what, values) in [
        ("the weights", &*snapshot.raw),
        ("the averaged weights", &*snapshot.average),
        ("the exported weights", &*content.exported),
    ] {
        finite(parameters, values, what, content.step)?;
    }
    for (parameter, moments) in parameters.iter().zip(&snapshot.moments) {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !moments.as_ref().is_none_or(|m| finite(&m.first) && finite(&m.second)) {
            return Err(StateError::NotFinite {
                what: "Adam's moments",
                parameter: parameter.name.clone(),
                step: content.step,
            });
        }
    }
    if partial.exists() {
        fs::remove_dir_all(partial).map_err(io("remove", partial))?;
    }
    fs::create_dir_all(partial).map_err(io("create", partial))?;
    let model_path = partial.join(MODEL);
    checkpoint::save(
        &model_path,
        &content.exported,
        &content.model,
        &content.info,
        WeightType::F32,
    )?;
    let state_path = partial.join(STATE);
    let state = encode(content.step, parameters, snapshot, content.running).map_err(|reason| StateError::Damaged {
        path: partial.to_owned(),
        reason,
    })?;
    write_synced(&state_path, &state)?;
    let model_bytes = fs::read(&model_path).map_err(io("read back", &model_path))?;
    let manifest = Manifest {
        format: FORMAT,
        step: content.step,
        files: vec![entry(MODEL, &model_bytes), entry(STATE, &state)],
        score: content.score,
    };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| StateError::Damaged {
        path: partial.to_owned(),
        reason: error.to_string(),
    })?;
    write_synced(&partial.join(MANIFEST), &text)?;
    sync_folder(partial)
}

fn entry(name: &str, bytes: &[u8]) -> FileEntry {
    FileEntry {
        name: name.to_owned(),
        bytes: bytes.len() as u64,
        crc32: crc32fast::hash(bytes),
    }
}

/// The state file's content.
pub fn encode(
    step: u64,
    parameters: &[Parameter],
    snapshot: &Snapshot,
    running: RunningLoss,
) -> Result<Vec<u8>, String> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut add = |kind: &str, name: &str, shape: &[usize], values: &[f32]| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((format!("{kind}/{name}"), shape.to_vec(), bytes));
    };
    for (kind, values) in [("raw", &snapshot.raw), ("average", &snapshot.average)] {
        for parameter in parameters {
            add(kind, &parameter.name, &parameter.shape, &values[parameter.range()]);
        }
    }
    for (parameter, moments) in parameters.iter().zip(&snapshot.moments) {
        if let Some(moments) = moments {
            for (kind, values) in [("first", &moments.first), ("second", &moments.second)] {
                add(kind, &parameter.name, &[values.len()], values);
            }
        }
    }
    let progress = Progress {
        step,
        loss_sum_bits: running.sum.to_bits(),
        loss_count: running.count,
        updates: snapshot
            .moments
            .iter()
            .map(|moments| moments.as_ref().map(|m| m.updates))
            .collect(),
    };
    let progress = serde_json::to_string(&progress).map_err(|error| error.to_string())?;
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((
                name.as_str(),
                TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| e.to_string())?,
            ))
        })
        .collect::<Result<_, String>>()?;
    safetensors::serialize(views, Some(HashMap::from([("progress".to_owned(), progress)])))
        .map_err(|error| error.to_string())
}

/// The newest whole checkpoint below `folder`.
///
/// # Errors
/// If there is none or the folder cannot be read.
pub fn newest(folder: &Path) -> Result<PathBuf, StateError> {
    match list(folder)?.pop() {
        Some((_, path)) => Ok(path),
        None => Err(StateError::None(folder.to_owned())),
    }
}

/// The step of the newest whole checkpoint below `folder`, if there is one.
///
/// # Errors
/// If the folder cannot be read.
pub fn newest_step(folder: &Path) -> Result<Option<u64>, StateError> {
    Ok(list(folder)?.pop().map(|(step, _)| step))
}

/// Whole checkpoints below `folder` with their steps, oldest first.
fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StateError> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(io("read", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(io("read", folder))?;
        if let Some(step) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse().ok())
        {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// What a checkpoint brings back beside the learner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Restored {
    /// Steps that are done.
    pub step: u64,
    /// Sums since the last line of the log.
    pub running: RunningLoss,
}

fn damage(path: &Path) -> impl Fn(String) -> StateError {
    let path = path.to_owned();
    move |reason| StateError::Damaged {
        path: path.clone(),
        reason,
    }
}

/// The content of the state file in checkpoint folder `path`.
///
/// # Errors
/// If it is missing or damaged.
pub fn read(path: &Path) -> Result<Vec<u8>, StateError> {
    let damaged = damage(path);
    let manifest_path = path.join(MANIFEST);
    let text = fs::read(&manifest_path).map_err(io("read", &manifest_path))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
    if manifest.format != FORMAT {
        return Err(damaged(format!(
            "{MANIFEST}: format is {}, this program reads {FORMAT}",
            manifest.format
        )));
    }
    let state_path = path.join(STATE);
    let bytes = fs::read(&state_path).map_err(io("read", &state_path))?;
    let expected = manifest
        .files
        .iter()
        .find(|file| file.name == STATE)
        .ok_or_else(|| damaged(format!("{MANIFEST} does not list {STATE}")))?;
    let found = entry(STATE, &bytes);
    if (found.bytes, found.crc32) != (expected.bytes, expected.crc32) {
        return Err(damaged(format!(
            "{STATE} has {} bytes and checksum {:08x}, expected {} bytes and {:08x}",
            found.bytes, found.crc32, expected.bytes, expected.crc32
        )));
    }
    Ok(bytes)
}

/// Puts the content of a state file, that of checkpoint folder `path`, into `learner`.
///
/// # Errors
/// If it is damaged, or belongs to another network.
pub fn decode(path: &Path, bytes: &[u8], learner: &mut Learner) -> Result<Restored, StateError> {
    let damaged = damage(path);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(format!("{STATE}: {error}")))?;
    let progress: Progress = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get("progress"))
        .ok_or_else(|| damaged(format!("{STATE} has no progress in its header")))
        .and_then(|text| serde_json::from_str(text).map_err(|error| damaged(format!("{STATE}: progress: {error}"))))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(format!("{STATE}: {error}")))?;
    let read = |kind: &str, name: &str, count: usize| -> Result<Vec<f32>, StateError> {
        let key = format!("{kind}/{name}");
        let view = tensors
            .tensor(&key)
            .map_err(|_| damaged(format!("{STATE} has no tensor {key}")))?;
        if view.dtype() != Dtype::F32 || view.data().len() != 4 * count {
            return Err(damaged(format!(
                "tensor {key} is {:?} {:?}, expected {count} values of F32",
                view.dtype(),
                view.shape()
            )));
        }
        Ok(view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect())
    };
    let list = learner.parameter_list();
    if progress.updates.len() != list.len() {
        return Err(damaged(format!(
            "{} parameters, expected {}",
            progress.updates.len(),
            list.len()
        )));
    }
    let all = |kind: &str| -> Result<Vec<f32>, StateError> {
        let parts = list.iter().map(|one| read(kind, &one.name, one.range().len()));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
    };
    let moments = |(parameter, updates): (&Parameter, &Option<u64>)| {
        let Some(updates) = *updates else { return Ok(None) };
        let read = |kind: &str| read(kind, &parameter.name, parameter.range().len());
        Ok(Some(Moments {
            first: read("first")?,
            second: read("second")?,
            updates,
        }))
    };
    let moments = list.iter().zip(&progress.updates).map(moments);
    let snapshot = Snapshot {
        moments: moments.collect::<Result<_, StateError>>()?,
        raw: all("raw")?,
        average: all("average")?,
    };
    learner.restore(&snapshot)?;
    let running = RunningLoss {
        sum: f64::from_bits(progress.loss_sum_bits),
        count: progress.loss_count,
    };
    Ok(Restored {
        step: progress.step,
        running,
    })
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    File::create(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(io("write", path))
}

fn sync_folder(path: &Path) -> Result<(), StateError> {
    checkpoint::sync_folder(path).map(drop).map_err(io("flush", path))
}

fn io(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        action,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests;
