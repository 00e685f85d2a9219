//! What a plan is compiled for.

use crate::network::Architecture;
use crate::simd::{Arithmetic, InstructionSet};
use crate::{KernelError, Threads};

/// What a plan is compiled for.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// Height of the images in pixels, a multiple of [`Architecture::stride`].
    pub height: usize,
    /// Width of the images in pixels, a multiple of [`Architecture::stride`].
    pub width: usize,
    /// The most images of one run.
    pub batch: usize,
    /// The threads that a run may use.
    pub threads: Threads,
    /// The instructions to use; [`InstructionSet::detect`] is the fastest.
    pub instructions: InstructionSet,
    /// What convolutions multiply.
    pub arithmetic: Arithmetic,
}

impl PlanOptions {
    /// One image at a time of this size, on the calling thread, with the processor's fastest instructions, in single
    /// precision.
    pub fn new(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            batch: 1,
            threads: Threads::Single,
            instructions: InstructionSet::detect(),
            arithmetic: Arithmetic::F32,
        }
    }

    /// Whether image size and batch are usable, and the instructions compute the arithmetic.
    pub(crate) fn check(&self, architecture: &Architecture) -> Result<(), KernelError> {
        architecture.check_size(self.height, self.width)?;
        if self.batch == 0 {
            return Err(KernelError::Size("the batch must hold at least one image".to_owned()));
        }
        if self.arithmetic == Arithmetic::Bf16 && !self.instructions.computes_bf16() {
            return Err(KernelError::Arithmetic {
                instructions: self.instructions.name(),
            });
        }
        Ok(())
    }
}
