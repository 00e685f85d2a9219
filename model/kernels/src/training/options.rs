//! What a training network is built for.

use crate::Threads;
#[cfg(doc)]
use crate::network::Architecture;
use crate::simd::{Arithmetic, InstructionSet};

/// What a training network is built for.
#[derive(Debug, Clone)]
pub struct TrainingOptions {
    /// Height of the images in pixels, a multiple of [`Architecture::stride`].
    pub height: usize,
    /// Width of the images in pixels, a multiple of [`Architecture::stride`].
    pub width: usize,
    /// The most images of one pass.
    pub batch: usize,
    /// The threads that a pass may use. Results do not depend on their number.
    pub threads: Threads,
    /// The instructions to use; [`InstructionSet::detect`] is the fastest.
    pub instructions: InstructionSet,
    /// What convolutions multiply, forward and backward. Parameters, gradients and activations are in single precision
    /// always.
    pub arithmetic: Arithmetic,
}
