//! What goes wrong with data, each with the thing and the way out.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::folder::FolderError;

/// Why data cannot be used, or not be packed.
#[derive(Debug, Error)]
pub enum DataError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Reading or writing failed.
    #[error("cannot {action} {path}: {source}{hint}", hint = space_hint(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A packed file is not what its header says.
    #[error("{path} is not a usable pack: {field} {reason}; pack the data again with `factorseg pack`")]
    Pack {
        /// The file.
        path: PathBuf,
        /// The part that is wrong.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A tar archive is damaged.
    #[error("{path}: not a usable tar archive: {reason}")]
    Shard {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The words for the source mean nothing.
    #[error("{text}: {reason}")]
    Source {
        /// As given.
        text: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// An object store does not answer as it should.
    #[error("{place}: {reason}")]
    Store {
        /// Bucket or server, and the object.
        place: String,
        /// What it said.
        reason: String,
    },
    /// Too much of the source is broken.
    #[error(transparent)]
    Broken(#[from] TooManyBroken),
    /// Every picture was broken, or there was none.
    #[error("{0} holds no usable picture: looked for pictures, videos, and pictures in tar archives")]
    Empty(String),
    /// Someone asked to stop.
    #[error("interrupted; nothing was written")]
    Interrupted,
}

/// More images are broken than the run accepts.
#[derive(Debug, Clone, Error)]
#[error(
    "{count} images cannot be decoded, more than the limit of {limit}; the last is {path}: {reason}. \
     Repair or remove them, or raise --max-broken"
)]
pub struct TooManyBroken {
    /// Broken images so far.
    pub count: usize,
    /// How many the run accepts.
    pub limit: usize,
    /// The image that went over the limit.
    pub path: String,
    /// Why it cannot be decoded.
    pub reason: String,
}

/// Says the way out where a disk is full.
fn space_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; free some space and try again: what was there before is intact"
        }
        _ => "",
    }
}

impl DataError {
    pub(crate) fn shard(path: impl Display, reason: impl Display) -> Self {
        Self::Shard {
            path: path.to_string(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn source(text: impl Display, reason: impl Display) -> Self {
        Self::Source {
            text: text.to_string(),
            reason: reason.to_string(),
        }
    }
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> DataError + use<> {
    let path = path.to_owned();
    move |source| DataError::Io {
        action,
        path: path.clone(),
        source,
    }
}
