//! What can be wrong with the sizes, weights or buffers that a caller hands in.

use std::fmt;

/// Why a plan could not be compiled or run. Every message names the thing that is wrong and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// A size of the network, the image or the batch is not usable.
    Size(String),
    /// A weight that the architecture needs is absent.
    MissingWeight {
        /// The tensor's name, for example `encoder.conv_in.weight`.
        name: String,
    },
    /// A weight has another shape than the architecture needs.
    WeightShape {
        /// The tensor's name.
        name: String,
        /// The shape that the architecture needs.
        expected: Vec<usize>,
        /// The shape that was found.
        found: Vec<usize>,
    },
    /// A slice handed to a run has the wrong length.
    Length {
        /// Which slice.
        what: &'static str,
        /// The number of values needed.
        expected: usize,
        /// The number of values found.
        found: usize,
    },
    /// The instructions do not multiply bfloat16.
    Arithmetic {
        /// Name of the instruction set.
        instructions: &'static str,
    },
    /// The device failed: out of memory, lost.
    Device(String),
    /// The threads could not be started.
    Threads(String),
}

impl fmt::Display for KernelError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(reason) => formatter.write_str(reason),
            Self::MissingWeight { name } => write!(
                formatter,
                "the weight `{name}` is missing; the checkpoint does not fit this architecture"
            ),
            Self::WeightShape { name, expected, found } => write!(
                formatter,
                "the weight `{name}` has shape {found:?}, the architecture needs {expected:?}"
            ),
            Self::Length { what, expected, found } => {
                write!(formatter, "{what} holds {found} values, {expected} are needed")
            }
            Self::Arithmetic { instructions } => write!(
                formatter,
                "bf16 needs a processor with AVX512-BF16; the instructions are {instructions}"
            ),
            Self::Device(reason) => formatter.write_str(reason),
            Self::Threads(reason) => write!(formatter, "cannot start the inference threads: {reason}"),
        }
    }
}

impl std::error::Error for KernelError {}

/// Whether a slice has the length that is needed.
pub(crate) fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found {
        Ok(())
    } else {
        Err(KernelError::Length { what, expected, found })
    }
}
