//! Weights of public diffusion U-Nets, under the names of a factorized network.
//!
//! [`state_dict`] opens a `.pt` file (no Python, nothing in it is run) or a safetensors file; [`unet`] finds out from
//! names and shapes what network it holds, and renames and reshapes its tensors. Nothing here knows a tensor library.

mod pickle;
pub mod state_dict;
pub mod unet;
mod zip;

use std::io;

use thiserror::Error;

/// Why a file cannot be imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{file}: cannot read: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The container is damaged, or of a kind that is not read.
    #[error("{file}: {reason}")]
    Container {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is missing or not as expected.
    #[error("{file}: tensor `{name}`: {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network is another than ours could be.
    #[error("{file}: not a network that can be imported: {reason}")]
    Layout {
        /// The file.
        file: String,
        /// What it has, or has not.
        reason: String,
    },
}
