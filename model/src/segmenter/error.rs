//! Why something cannot be segmented.

use crate::checkpoint::CheckpointError;
use crate::device::DeviceError;
use crate::load::Precision;

/// Images that cannot be segmented.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device does not compute in this precision.
    #[error(
        "precision {precision} is available on CUDA and on processors with AVX512-BF16, and the device is {device}, without it; use precision auto or f32"
    )]
    Precision {
        /// That was asked for.
        precision: Precision,
        /// Name of the device.
        device: String,
    },
    /// An option is outside its range.
    #[error("option `{option}` is {value}, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// An image does not fit the network.
    #[error(
        "an image of {width}x{height} with {values} values, expected sides that are multiples of {stride} and 3 values a pixel"
    )]
    Image {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
        /// Length of its data.
        values: usize,
        /// What sides must be multiples of.
        stride: usize,
    },
    /// The network returned values that are no probabilities.
    #[error("{model} returned values that are not finite; its weights are damaged or overflow")]
    NotFinite {
        /// Name of the checkpoint.
        model: String,
    },
    /// The device failed.
    #[error("the network failed on {device}: {reason}")]
    Failed {
        /// Name of the device.
        device: String,
        /// What it said.
        reason: String,
    },
}
