//! CPU kernels of the factorized diffusion network, and a plan that runs its segmentation pass with them.

mod attention;
mod convolution;
mod error;
mod matrix;
mod memory;
mod normalisation;
mod plan;
mod simd;
mod softmax;
mod source;
#[cfg(test)]
mod testing;
mod threads;
mod tiling;
mod winograd;

pub use error::KernelError;
pub use plan::{Architecture, PlanOptions, SegmentationPlan};
pub use simd::InstructionSet;
pub use threads::Threads;
