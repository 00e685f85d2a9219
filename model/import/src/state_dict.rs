//! Named tensors in a file: PyTorch's (both of its formats), or safetensors.
//!
//! Only names, shapes and places are read when a file is opened; they are held against the file's length before
//! anything is allocated for them.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata};

use crate::pickle::{self, Id, Pickle, Value};
use crate::{ImportError, zip};

/// Longest description of tensors that is read.
const MAXIMUM_DESCRIPTION: u64 = 64 << 20;
/// First bytes of PyTorch's older format: a pickle that holds its magic number.
const OLD_FORMAT: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Stands for all types that weights are not made of.
const OTHER: Dtype = Dtype::U8;

fn known(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => dtype,
        _ => OTHER,
    }
}

/// Bytes of a value.
fn width(dtype: Dtype) -> u64 {
    dtype.bitsize() as u64 / 8
}

fn value(dtype: Dtype, bytes: &[u8]) -> f32 {
    match (dtype, bytes) {
        (Dtype::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
        (Dtype::F16, &[a, b]) => half::f16::from_le_bytes([a, b]).to_f32(),
        (Dtype::BF16, &[a, b]) => half::bf16::from_le_bytes([a, b]).to_f32(),
        (Dtype::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
        _ => f32::NAN,
    }
}

#[derive(Debug, Clone)]
struct Tensor {
    dtype: Dtype,
    /// Where the storage begins, in bytes, and its length in elements.
    start: u64,
    length: u64,
    /// First element within the storage.
    offset: u64,
    shape: Vec<usize>,
    stride: Vec<usize>,
}

type Tensors = BTreeMap<String, Tensor>;

/// An opened file of named tensors.
#[derive(Debug)]
pub struct StateDict {
    file: String,
    source: File,
    tensors: Tensors,
}

impl StateDict {
    /// Opens a `.pt`, `.pth` or `.safetensors` file; its first bytes say which it is.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or holds no dictionary of tensors.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let file = path.display().to_string();
        let io = |source| ImportError::Io {
            file: file.clone(),
            source,
        };
        let mut source = File::open(path).map_err(io)?;
        let length = source.metadata().map_err(io)?.len();
        let mut first = Vec::new();
        Read::by_ref(&mut source).take(16).read_to_end(&mut first).map_err(io)?;
        let tensors = if first.starts_with(b"PK") {
            zipped(&source)
        } else if first.starts_with(OLD_FORMAT) {
            old(&mut source)
        } else {
            safetensors(&mut source, length)
        };
        let container = |reason| ImportError::Container {
            file: file.clone(),
            reason,
        };
        let tensors = tensors.map_err(container)?;
        if tensors.is_empty() {
            return Err(container("holds no tensors".into()));
        }
        let state = Self { file, source, tensors };
        for (name, tensor) in &state.tensors {
            check(tensor, length).map_err(|reason| state.wrong(name, reason))?;
        }
        Ok(state)
    }

    /// The file's name, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What is wrong with a tensor.
    pub(crate) fn wrong(&self, name: &str, reason: impl Into<String>) -> ImportError {
        ImportError::Tensor {
            file: self.file.clone(),
            name: name.to_owned(),
            reason: reason.into(),
        }
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(name)?.shape)
    }

    /// Values of a tensor, row-major.
    ///
    /// # Errors
    /// If there is none, it is not of a floating point type, or cannot be read.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>, ImportError> {
        let tensor = self.tensors.get(name).ok_or_else(|| self.wrong(name, "missing"))?;
        if tensor.dtype == OTHER {
            return Err(self.wrong(name, "not of a floating point type"));
        }
        let size = width(tensor.dtype) as usize;
        let last: usize = tensor
            .shape
            .iter()
            .zip(&tensor.stride)
            .map(|(size, stride)| (size - 1) * stride)
            .sum();
        // Both are within the file, as `check` has seen.
        let mut bytes = vec![0; (last + 1) * size];
        let start = tensor.start + tensor.offset * size as u64;
        self.source
            .seek(SeekFrom::Start(start))
            .and_then(|_| self.source.read_exact(&mut bytes))
            .map_err(|source| ImportError::Io {
                file: self.file.clone(),
                source,
            })?;
        let count = tensor.shape.iter().product();
        let mut values = Vec::with_capacity(count);
        let mut place = vec![0; tensor.shape.len()];
        for _ in 0..count {
            let at: usize = place
                .iter()
                .zip(&tensor.stride)
                .map(|(index, stride)| index * stride)
                .sum();
            values.push(value(tensor.dtype, &bytes[at * size..(at + 1) * size]));
            for dimension in (0..place.len()).rev() {
                place[dimension] += 1;
                if place[dimension] < tensor.shape[dimension] {
                    break;
                }
                place[dimension] = 0;
            }
        }
        Ok(values)
    }
}

/// Holds a tensor against its storage, and the storage against the file.
fn check(tensor: &Tensor, file: u64) -> Result<(), String> {
    let outside = || {
        format!(
            "shape {:?} lies outside its storage of {} values",
            tensor.shape, tensor.length
        )
    };
    if tensor.shape.len() != tensor.stride.len() || tensor.shape.contains(&0) {
        return Err(format!("shape {:?} with strides {:?}", tensor.shape, tensor.stride));
    }
    let mut last = tensor.offset;
    let mut count = 1u64;
    for (size, stride) in tensor.shape.iter().zip(&tensor.stride) {
        let step = (*size as u64 - 1).checked_mul(*stride as u64).ok_or_else(outside)?;
        last = last.checked_add(step).ok_or_else(outside)?;
        count = count.checked_mul(*size as u64).ok_or_else(outside)?;
    }
    // A stride of 0 would make many values out of few.
    if last >= tensor.length || count > tensor.length {
        return Err(outside());
    }
    let end = tensor
        .length
        .checked_mul(width(tensor.dtype))
        .and_then(|bytes| bytes.checked_add(tensor.start));
    if end.is_none_or(|end| end > file) {
        return Err("lies outside the file, which may be cut short".into());
    }
    Ok(())
}

fn safetensors(source: &mut File, length: u64) -> Result<Tensors, String> {
    let unknown = || "neither a PyTorch file (.pt) nor safetensors".to_owned();
    let mut prefix = [0; 8];
    source
        .rewind()
        .and_then(|()| source.read_exact(&mut prefix))
        .map_err(|_| unknown())?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > MAXIMUM_DESCRIPTION || header_length.saturating_add(8) > length {
        return Err(unknown());
    }
    let mut header = vec![0; header_length as usize];
    source.read_exact(&mut header).map_err(|error| error.to_string())?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| format!("{}: header: {error}", unknown()))?;
    let mut tensors = Tensors::new();
    for (name, info) in metadata.tensors() {
        let dtype = known(info.dtype);
        let (start, end) = info.data_offsets;
        let tensor = Tensor {
            dtype,
            start: 8 + header_length + start as u64,
            length: end.saturating_sub(start) as u64 / width(dtype),
            offset: 0,
            stride: contiguous(&info.shape),
            shape: info.shape.clone(),
        };
        tensors.insert(plain(&name), tensor);
    }
    Ok(tensors)
}

fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut stride = vec![1usize; shape.len()];
    for dimension in (1..shape.len()).rev() {
        stride[dimension - 1] = stride[dimension].saturating_mul(shape[dimension]);
    }
    stride
}

/// A name without what data parallel training puts before it.
fn plain(name: &str) -> String {
    name.strip_prefix("module.").unwrap_or(name).to_owned()
}

/// PyTorch's format since 1.6: a zip archive.
fn zipped(source: &File) -> Result<Tensors, String> {
    let archive = zip::Archive::open(source)?;
    let mut roots = archive.names().filter_map(|name| name.strip_suffix("data.pkl"));
    let root = roots
        .next()
        .ok_or("a zip archive, but not PyTorch's: it has no data.pkl")?;
    let read = |name: &str| archive.read(&format!("{root}{name}"), MAXIMUM_DESCRIPTION);
    if read("byteorder")?.is_some_and(|order| order != b"little") {
        return Err("written on a machine of the other byte order".into());
    }
    let pickle = pickle::read(&read("data.pkl")?.unwrap_or_default())?;
    let mut tensors = Tensors::new();
    for (name, mut tensor, key) in described(&pickle)? {
        let place = archive
            .place(&format!("{root}data/{key}"))?
            .ok_or_else(|| format!("{name}: its storage {key} is missing"))?;
        tensor.start = place.start;
        // What the archive says counts, not what the pickle says.
        tensor.length = tensor.length.min((place.end - place.start) / width(tensor.dtype));
        tensors.insert(plain(name), tensor);
    }
    Ok(tensors)
}

/// PyTorch's format before 1.6: pickles, then each storage as its length and its values.
fn old(source: &mut File) -> Result<Tensors, String> {
    let mut bytes = Vec::new();
    source
        .rewind()
        .and_then(|()| source.take(MAXIMUM_DESCRIPTION).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    let mut at = 0;
    let mut next = || -> Result<Pickle, String> {
        let pickle = pickle::read(&bytes[at..])?;
        at += pickle.length;
        Ok(pickle)
    };
    // Magic number, protocol and system come first.
    for _ in 0..3 {
        next()?;
    }
    let (pickle, keys) = (next()?, next()?);
    let found = described(&pickle)?;
    let types: HashMap<&str, Dtype> = found.iter().map(|(_, tensor, key)| (*key, tensor.dtype)).collect();
    let Value::Sequence(order) = keys.value(keys.root) else {
        return Err("the list of its storages is missing".into());
    };
    let mut places = HashMap::new();
    let mut position = at as u64;
    for id in order {
        let key = keys.text(*id).ok_or("a storage without a name")?;
        let mut count = [0; 8];
        source
            .seek(SeekFrom::Start(position))
            .and_then(|_| source.read_exact(&mut count))
            .map_err(|_| format!("storage {key} is missing; the file may be cut short"))?;
        let count = u64::from_le_bytes(count);
        let dtype = types.get(key).copied().unwrap_or(OTHER);
        if dtype == OTHER {
            return Err(format!(
                "storage {key} is of a type that is not read in PyTorch's older format"
            ));
        }
        places.insert(key, (position + 8, count));
        position = count
            .checked_mul(width(dtype))
            .and_then(|size| size.checked_add(position + 8))
            .ok_or_else(|| format!("storage {key} has no end"))?;
    }
    let mut tensors = Tensors::new();
    for (name, tensor, key) in &found {
        let (start, length) = *places
            .get(key)
            .ok_or_else(|| format!("{name}: its storage {key} is missing"))?;
        let tensor = Tensor {
            start,
            length,
            ..tensor.clone()
        };
        tensors.insert(plain(name), tensor);
    }
    Ok(tensors)
}

/// The tensors of a pickled state dictionary with the keys of their storages, which have no place yet.
fn described(pickle: &Pickle) -> Result<Vec<(&str, Tensor, &str)>, String> {
    let entries = dictionary(pickle)?.into_iter();
    Ok(entries
        .filter_map(|(name, id)| {
            let (tensor, key) = tensor(pickle, id)?;
            Some((name, tensor, key))
        })
        .collect())
}

/// The entries of the state dictionary: at the root, or one level below under a usual name. Each name comes once, with what
/// was entered last, and none is copied: many entries may share one that is long.
fn dictionary(pickle: &Pickle) -> Result<BTreeMap<&str, Id>, String> {
    let entries = |id: Id| match pickle.value(id) {
        Value::Dictionary(entries) => {
            let named = entries
                .iter()
                .filter_map(|(key, value)| Some((pickle.text(*key)?, *value)));
            Some(named.collect::<BTreeMap<_, _>>())
        }
        _ => None,
    };
    let root = entries(pickle.root).ok_or("holds no dictionary of tensors")?;
    let nested = ["state_dict", "model_state_dict", "model"]
        .iter()
        .find_map(|wanted| entries(*root.get(wanted)?));
    Ok(nested.unwrap_or(root))
}

/// A tensor with the key of its storage, which has no place yet.
fn tensor(pickle: &Pickle, id: Id) -> Option<(Tensor, &str)> {
    let Value::Tensor {
        storage,
        offset,
        shape,
        stride,
    } = pickle.value(id)
    else {
        return None;
    };
    // ("storage", class, key, device, length, ...)
    let Value::Sequence(parts) = pickle.value(*storage) else {
        return None;
    };
    let Value::Name(class) = pickle.value(*parts.get(1)?) else {
        return None;
    };
    let dtype = match class.as_str() {
        "torch FloatStorage" => Dtype::F32,
        "torch DoubleStorage" => Dtype::F64,
        "torch HalfStorage" => Dtype::F16,
        "torch BFloat16Storage" => Dtype::BF16,
        _ => OTHER,
    };
    let key = pickle.text(*parts.get(2)?)?;
    let length = match pickle.value(*parts.get(4)?) {
        Value::Integer(length) => u64::try_from(*length).ok()?,
        _ => return None,
    };
    let tensor = Tensor {
        dtype,
        start: 0,
        length,
        offset: *offset,
        shape: shape.clone(),
        stride: stride.clone(),
    };
    Some((tensor, key))
}
