//! How a checkpoint is loaded: where it runs, in which arithmetic, on how many threads.

use std::fmt;
use std::str::FromStr;

use factorseg_kernels::{Arithmetic, InstructionSet};

use crate::device::DeviceSpec;

/// Choices that are made once, when a [`Segmenter`](crate::Segmenter) is loaded. A [`DeviceSpec`] alone stands for that
/// device with the defaults of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LoadOptions {
    /// Where the network runs.
    pub device: DeviceSpec,
    /// What it computes in.
    pub precision: Precision,
    /// Threads of a pass on the CPU; 0 for one per core. Segmenters with the same number share them.
    pub threads: usize,
}

impl From<DeviceSpec> for LoadOptions {
    fn from(device: DeviceSpec) -> Self {
        Self {
            device,
            ..Self::default()
        }
    }
}

/// What the network computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floating point, on every device.
    #[default]
    Auto,
    /// 32-bit floating point.
    F32,
    /// bfloat16 weights and inputs of convolutions and projections, on CUDA and on processors with AVX512-BF16.
    /// Normalisation, softmax and conditioning stay in 32 bits.
    Bf16,
}

impl Precision {
    /// Whether the CPU device computes in it: bf16 needs a processor with AVX512-BF16.
    pub fn runs_on_this_processor(self) -> bool {
        self != Self::Bf16 || InstructionSet::detect().computes_bf16()
    }

    /// What the CPU's kernels multiply.
    pub(crate) fn arithmetic(self) -> Arithmetic {
        match self {
            Self::Bf16 => Arithmetic::Bf16,
            Self::Auto | Self::F32 => Arithmetic::F32,
        }
    }
}

/// A word that names no precision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no precision `{0}`; use auto, f32 or bf16")]
pub struct PrecisionError(String);

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Auto => "auto",
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = PrecisionError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "auto" => Ok(Precision::Auto),
            "f32" => Ok(Precision::F32),
            "bf16" => Ok(Precision::Bf16),
            _ => Err(PrecisionError(word.to_owned())),
        }
    }
}
