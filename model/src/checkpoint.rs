//! Checkpoints: safetensors files that carry their whole configuration in the header.
//!
//! Tensor names are field paths of the network. The header's metadata holds `factorseg.format` (the version, `1`),
//! `factorseg.config` (a [`ModelConfig`] as JSON) and `factorseg.info` (a [`CheckpointInfo`] as JSON). A file is
//! untrusted input: sizes, shapes, types and configuration are held against each other before anything is allocated
//! for the network, and only the tensors that are asked for are read.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use factorseg_kernels::Parameter;
use safetensors::tensor::{Dtype, Metadata, TensorView};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, ModelConfig};
use crate::labels::ClassLabel;

/// Version of the format that this crate writes and reads.
pub const FORMAT_VERSION: &str = "1";

/// File name of the weights in a checkpoint directory.
pub const MODEL_FILE: &str = "model.safetensors";

const FORMAT_KEY: &str = "factorseg.format";
const CONFIG_KEY: &str = "factorseg.config";
const INFO_KEY: &str = "factorseg.info";

/// A longer header is no checkpoint's: the largest network has about a thousand tensors.
const MAXIMUM_HEADER: u64 = 16 << 20;

const EMBEDDED: &[u8] = include_bytes!("../checkpoints/default.safetensors");

/// Which of the trainer's two sets of weights a checkpoint holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightKind {
    /// As the optimizer left them.
    Raw,
    /// Exponential moving average: what one segments with.
    #[default]
    Ema,
}

/// How a decoder was trained to denoise whole pictures (Eq. 6 to 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecoderTraining {
    /// Under the network's own masks rather than uniform ones.
    pub masked: bool,
    /// First and last timestep.
    pub timesteps: (usize, usize),
    /// Steps of the optimizer.
    pub steps: u64,
}

/// What a checkpoint says of itself beside its configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckpointInfo {
    /// The classes, in the order of their indices; empty for an unconditional network.
    pub classes: Vec<ClassLabel>,
    /// Training steps behind the weights.
    pub step: u64,
    /// Name of the training data.
    pub dataset: String,
    /// Which weights these are.
    pub weights: WeightKind,
    /// Regions that are the object rather than its surroundings, where somebody has looked; else empty.
    pub foreground_regions: Vec<usize>,
    /// What the decoder was trained for; unset where it was not, or where masks or features have changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder: Option<DecoderTraining>,
}

/// Where a checkpoint comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum CheckpointSource {
    /// The one inside this library.
    #[default]
    Embedded,
    /// A file, or a directory that holds `model.safetensors`.
    Path(PathBuf),
}

impl CheckpointSource {
    /// A user's word for a checkpoint: a path, or nothing for the embedded one.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        match path.as_os_str().is_empty() {
            true => CheckpointSource::Embedded,
            false => CheckpointSource::Path(path),
        }
    }
}

impl fmt::Display for CheckpointSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointSource::Embedded => f.write_str("embedded checkpoint"),
            CheckpointSource::Path(path) => path.display().fmt(f),
        }
    }
}

/// Storage type of the weights in a file. Networks compute with `f32` whatever the file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightType {
    /// Exact.
    #[default]
    F32,
    /// Half the size, 8 bits of precision.
    Bf16,
    /// Half the size, 11 bits of precision, values up to 65504.
    F16,
}

/// A checkpoint that cannot be read or written. Every message starts with the file's name.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("{file}: cannot {action}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is damaged or something else.
    #[error("{file}: not a safetensors file, or a damaged one: {reason}")]
    Container {
        /// The file.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// A safetensors file, but not one of ours.
    #[error("{file}: not a factorseg checkpoint: the header has no `{key}`; use a file written by `factorseg train`")]
    Foreign {
        /// The file.
        file: String,
        /// The missing key.
        key: &'static str,
    },
    /// Written by another version of the format.
    #[error("{file}: checkpoint format {found}, expected {FORMAT_VERSION}; use a matching version of factorseg")]
    Format {
        /// The file.
        file: String,
        /// The format it has.
        found: String,
    },
    /// A header field is not what it should be.
    #[error("{file}: header field `{key}`: {reason}")]
    Header {
        /// The file.
        file: String,
        /// The field.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration is no network's.
    #[error("{file}: header field `{CONFIG_KEY}`: {source}")]
    Config {
        /// The file.
        file: String,
        /// The field.
        source: ConfigError,
    },
    /// A tensor is missing or is not what the configuration asks for.
    #[error("{file}: tensor `{name}`: {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// Name of the tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It segments, but it draws no pictures.
    #[error(
        "{file}: cannot generate: {reason}; train its decoder with `factorseg train PICTURES --run RUN --recipe decoder \
         --init-from CHECKPOINT`"
    )]
    NotGenerating {
        /// The file.
        file: String,
        /// What its decoder lacks.
        reason: String,
    },
}

trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// An opened checkpoint: its header is read and checked, its tensors are not.
pub struct Checkpoint {
    file: String,
    source: Box<dyn Source>,
    tensors: Metadata,
    data_start: u64,
    config: ModelConfig,
    info: CheckpointInfo,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("file", &self.file)
            .field("config", &self.config)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Opens a checkpoint and checks its header.
    ///
    /// # Errors
    /// If the file is missing, damaged, not a factorseg checkpoint, or of another format version.
    pub fn open(source: &CheckpointSource) -> Result<Self, CheckpointError> {
        let name = source.to_string();
        match source {
            CheckpointSource::Embedded => Self::from_reader(name, Box::new(Cursor::new(EMBEDDED))),
            CheckpointSource::Path(path) => {
                let path = match path.is_dir() {
                    true => path.join(MODEL_FILE),
                    false => path.clone(),
                };
                let name = path.display().to_string();
                let file = File::open(&path).map_err(io_error(&name, "open"))?;
                Self::from_reader(name, Box::new(file))
            }
        }
    }

    fn from_reader(file: String, mut source: Box<dyn Source>) -> Result<Self, CheckpointError> {
        let (tensors, data_start) = read_header(&file, source.as_mut())?;
        let empty = HashMap::new();
        let metadata = tensors.metadata().as_ref().unwrap_or(&empty);

        let field = |key: &'static str| {
            metadata.get(key).ok_or_else(|| CheckpointError::Foreign {
                file: file.clone(),
                key,
            })
        };
        let header_error = |key: &'static str, error: serde_json::Error| CheckpointError::Header {
            file: file.clone(),
            key,
            reason: error.to_string(),
        };
        let format = field(FORMAT_KEY)?;
        if format != FORMAT_VERSION {
            return Err(CheckpointError::Format {
                found: format.clone(),
                file,
            });
        }
        let config: ModelConfig =
            serde_json::from_str(field(CONFIG_KEY)?).map_err(|error| header_error(CONFIG_KEY, error))?;
        config.validate().map_err(|source| CheckpointError::Config {
            file: file.clone(),
            source,
        })?;
        let mut info: CheckpointInfo = match metadata.get(INFO_KEY) {
            Some(json) => serde_json::from_str(json).map_err(|error| header_error(INFO_KEY, error))?,
            None => CheckpointInfo::default(),
        };
        let inconsistent = |reason: String| CheckpointError::Header {
            file: file.clone(),
            key: INFO_KEY,
            reason,
        };
        if !info.classes.is_empty() && info.classes.len() != config.classes {
            return Err(inconsistent(format!(
                "{} class labels for {} classes",
                info.classes.len(),
                config.classes
            )));
        }
        if info.classes.is_empty() {
            info.classes = ClassLabel::of_count(config.classes);
        }
        for label in &mut info.classes {
            // Older versions wrote ids alone.
            if label.wordnet_id.as_ref() == Some(&label.name) {
                *label = ClassLabel::from_folder(&label.name);
            }
        }
        if let Some(region) = info.foreground_regions.iter().find(|&&r| r >= config.regions) {
            return Err(inconsistent(format!(
                "foreground region {region} of {} regions",
                config.regions
            )));
        }
        Ok(Self {
            file,
            source,
            tensors,
            data_start,
            config,
            info,
        })
    }

    /// The file's name, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The network's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What the checkpoint says of itself.
    pub fn info(&self) -> &CheckpointInfo {
        &self.info
    }

    /// Names, shapes and types of all tensors in the file, by name.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>, String)> {
        let mut tensors: Vec<_> = self
            .tensors
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, info.shape.clone(), format!("{:?}", info.dtype)))
            .collect();
        tensors.sort();
        tensors
    }

    /// The values of one tensor, row-major.
    ///
    /// # Errors
    /// If there is no such tensor, or it is not of a floating point type, or cannot be read.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let info = self
            .tensors
            .info(name)
            .ok_or_else(|| tensor_error(&self.file, name, "missing"))?;
        let (start, end) = info.data_offsets;
        let dtype = info.dtype;
        let mut bytes = vec![0; end - start];
        self.source
            .seek(SeekFrom::Start(self.data_start + start as u64))
            .and_then(|_| self.source.read_exact(&mut bytes))
            .map_err(io_error(&self.file, "read"))?;
        let halves = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        match dtype {
            Dtype::F32 => Ok(bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect()),
            Dtype::BF16 => Ok(halves.map(|b| half::bf16::from_bits(b).to_f32()).collect()),
            Dtype::F16 => Ok(halves.map(|b| half::f16::from_bits(b).to_f32()).collect()),
            other => Err(tensor_error(
                &self.file,
                name,
                format!("type {other:?}, expected F32, BF16 or F16"),
            )),
        }
    }

    /// Whether it holds a decoder: one that only segments has none.
    pub fn has_decoder(&self) -> bool {
        let names = self.tensors.tensors();
        names.keys().any(|name| name.starts_with("decoder."))
    }

    /// Checks that the decoder was trained for generation: under the network's own masks, over the whole schedule.
    ///
    /// # Errors
    /// What it lacks, and the way out.
    pub fn check_generates(&self) -> Result<(), CheckpointError> {
        let all = self.config.schedule.timesteps;
        let reason = match self.info.decoder {
            _ if !self.has_decoder() => "it holds no decoder".to_owned(),
            None => "its decoder was not trained under its masks".to_owned(),
            Some(decoder) if !decoder.masked => "its decoder was trained under uniform masks".to_owned(),
            Some(DecoderTraining {
                timesteps: (first, last),
                ..
            }) if (first, last) != (1, all) => {
                format!("its decoder was trained for t = {first} to {last} of {all}")
            }
            Some(_) => return Ok(()),
        };
        let file = self.file.clone();
        Err(CheckpointError::NotGenerating { file, reason })
    }

    /// The weights of the whole network, flat, in the order of [`ModelConfig::parameters`].
    ///
    /// # Errors
    /// If a tensor is missing, has another shape than the configuration asks for, or cannot be read.
    pub fn load(&mut self) -> Result<Vec<f32>, CheckpointError> {
        let parameters = self.config.parameters();
        let mut values = Vec::new();
        self.visit(parameters.iter(), |_, tensor| values.extend(tensor))?;
        Ok(values)
    }

    /// The weights of the part that segments, by name. The decoder's are not read.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_segmentation(&mut self) -> Result<Weights, CheckpointError> {
        let parameters = self.config.parameters();
        let mut weights = HashMap::new();
        let segmenting = parameters.iter().filter(|parameter| !parameter.is_decoder());
        self.visit(segmenting, |parameter, values| {
            weights.insert(parameter.name.clone(), (values, parameter.shape.clone()));
        })?;
        Ok(Weights(weights))
    }

    /// Reads tensors one after the other, once all names and shapes are as expected.
    fn visit<'p>(
        &mut self,
        parameters: impl Iterator<Item = &'p Parameter> + Clone,
        mut visit: impl FnMut(&Parameter, Vec<f32>),
    ) -> Result<(), CheckpointError> {
        for Parameter { name, shape, .. } in parameters.clone() {
            let reason = match self.tensors.info(name) {
                Some(found) if found.shape == *shape => continue,
                Some(found) => format!("shape {:?}, expected {shape:?}", found.shape),
                None => format!("missing, expected shape {shape:?}"),
            };
            return Err(tensor_error(&self.file, name, reason));
        }
        for parameter in parameters {
            visit(parameter, self.read(&parameter.name)?);
        }
        Ok(())
    }
}

/// Values and shapes by name.
#[derive(Debug, Clone, Default)]
pub struct Weights(HashMap<String, (Vec<f32>, Vec<usize>)>);

impl Weights {
    /// Values (row-major) and shape of a tensor.
    pub fn get(&self, name: &str) -> Option<(&[f32], &[usize])> {
        let (values, shape) = self.0.get(name)?;
        Some((values, shape))
    }
}

fn io_error(file: &str, action: &'static str) -> impl FnOnce(io::Error) -> CheckpointError {
    let file = file.to_owned();
    move |source| CheckpointError::Io { file, action, source }
}

fn tensor_error(file: &str, name: &str, reason: impl Into<String>) -> CheckpointError {
    CheckpointError::Tensor {
        file: file.to_owned(),
        name: name.to_owned(),
        reason: reason.into(),
    }
}

/// Reads and checks a safetensors header; returns it with the offset at which the tensors' bytes begin.
fn read_header(file: &str, source: &mut dyn Source) -> Result<(Metadata, u64), CheckpointError> {
    let damaged = |reason: String| CheckpointError::Container {
        file: file.to_owned(),
        reason,
    };
    let io = |action| io_error(file, action);
    let length = source.seek(SeekFrom::End(0)).map_err(io("read"))?;
    source.rewind().map_err(io("read"))?;
    if length < 8 {
        return Err(damaged(format!("{length} bytes is too short")));
    }
    let mut prefix = [0; 8];
    source.read_exact(&mut prefix).map_err(io("read"))?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > MAXIMUM_HEADER || header_length > length - 8 {
        return Err(damaged(format!(
            "a header of {header_length} bytes in a file of {length}"
        )));
    }
    // At most MAXIMUM_HEADER.
    let mut header = vec![0; header_length as usize];
    source.read_exact(&mut header).map_err(io("read"))?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(format!("header: {error}")))?;

    let data_start = 8 + header_length;
    let data_length = length - data_start;
    for (name, info) in metadata.tensors() {
        let (start, end) = info.data_offsets;
        if start > end || end as u64 > data_length {
            return Err(damaged(format!(
                "tensor `{name}` lies at bytes {start} to {end} of {data_length}; the file may be truncated"
            )));
        }
        let bits = info
            .shape
            .iter()
            .try_fold(info.dtype.bitsize(), |size, &dimension| size.checked_mul(dimension));
        if bits != (end - start).checked_mul(8) {
            return Err(damaged(format!(
                "tensor `{name}` of shape {:?} and type {:?} has {} bytes",
                info.shape,
                info.dtype,
                end - start
            )));
        }
    }
    Ok((metadata, data_start))
}

/// Writes a checkpoint of the whole network: `values` are flat, in the order of [`ModelConfig::parameters`]. The file appears
/// under its name only when it is complete and on disk, so an older one of that name survives a crash or a full disk.
///
/// # Errors
/// If the file cannot be written, or the values are not as many as the network has.
pub fn save(
    path: &Path,
    values: &[f32],
    config: &ModelConfig,
    info: &CheckpointInfo,
    weight_type: WeightType,
) -> Result<(), CheckpointError> {
    let named = |Parameter { name, shape, offset }: Parameter| {
        let end = (offset + shape.iter().product::<usize>()).min(values.len());
        (name, shape, values[offset.min(end)..end].to_vec())
    };
    let tensors = config.parameters().into_iter().map(named).collect();
    save_tensors(path, tensors, config, info, weight_type)
}

/// Writes a checkpoint from named tensors, `(name, shape, values)`; see [`save`].
///
/// # Errors
/// If the file cannot be written, or values and shape of a tensor do not fit.
pub fn save_tensors(
    path: &Path,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    config: &ModelConfig,
    info: &CheckpointInfo,
    weight_type: WeightType,
) -> Result<(), CheckpointError> {
    let file = path.display().to_string();
    let to_json = |key, json: Result<String, serde_json::Error>| {
        json.map_err(|error| CheckpointError::Header {
            file: file.clone(),
            key,
            reason: error.to_string(),
        })
    };
    let metadata = HashMap::from([
        (FORMAT_KEY.to_owned(), FORMAT_VERSION.to_owned()),
        (
            CONFIG_KEY.to_owned(),
            to_json(CONFIG_KEY, serde_json::to_string(config))?,
        ),
        (INFO_KEY.to_owned(), to_json(INFO_KEY, serde_json::to_string(info))?),
    ]);
    let encoded: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| (name, shape, encode(&values, weight_type)))
        .collect();
    let dtype = match weight_type {
        WeightType::F32 => Dtype::F32,
        WeightType::Bf16 => Dtype::BF16,
        WeightType::F16 => Dtype::F16,
    };
    let views = encoded
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(dtype, shape.clone(), bytes)
                .map(|view| (name.as_str(), view))
                .map_err(|error| tensor_error(&file, name, error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| CheckpointError::Container {
        file: file.clone(),
        reason: error.to_string(),
    })?;
    write_atomically(path, &bytes).map_err(io_error(&file, "write"))
}

fn encode(values: &[f32], weight_type: WeightType) -> Vec<u8> {
    match weight_type {
        WeightType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        WeightType::Bf16 => values
            .iter()
            .flat_map(|&v| half::bf16::from_f32(v).to_le_bytes())
            .collect(),
        WeightType::F16 => values
            .iter()
            .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
            .collect(),
    }
}

/// Writes a file so that its name holds either the old content or all of the new: temporary file in the same
/// directory, fsync, rename, fsync of the directory. The temporary file does not outlive a failure.
///
/// # Errors
/// Whatever the operating system says.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent).map(drop),
        _ => Ok(()),
    }
}

/// Flushes the names in a folder to disk. `false` where the file system does not offer that (CIFS, sshfs, vboxsf): what was
/// written is there, but may not outlive a power cut.
///
/// # Errors
/// What else the operating system says.
pub fn sync_folder(path: &Path) -> io::Result<bool> {
    const BAD_FILE: i32 = 9;
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(BAD_FILE) => Ok(false),
        Err(error) => match error.kind() {
            io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory => Ok(false),
            _ => Err(error),
        },
    }
}
