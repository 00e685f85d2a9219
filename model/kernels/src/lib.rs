//! CPU kernels of the factorized diffusion network, and a plan that runs its segmentation pass with them.
//!
//! The crate knows tensors by name and sizes by number and nothing of checkpoints, burn or video: a
//! [`SegmentationPlan`] is compiled from an [`Architecture`] and a function that finds weights, is conditioned on a
//! timestep and class, and then turns noised images into region probabilities, frame after frame, without allocating.
//!
//! ```no_run
//! # use factorseg_kernels::{Architecture, KernelError, PlanOptions, SegmentationPlan, Threads};
//! # use std::collections::HashMap;
//! # fn main() -> Result<(), KernelError> {
//! # let architecture: Architecture = todo!();
//! # let weights: HashMap<String, (Vec<f32>, Vec<usize>)> = HashMap::new();
//! let options = PlanOptions { threads: Threads::new(2)?, ..PlanOptions::new(64, 112) };
//! let lookup = |name: &str| weights.get(name).map(|(values, shape)| (values.as_slice(), shape.as_slice()));
//! let mut plan = SegmentationPlan::compile(&architecture, lookup, options)?;
//! plan.condition(30, architecture.classes)?;
//! let x_t = vec![0.0; 3 * 64 * 112];
//! let mut probabilities = vec![0.0; architecture.regions * 64 * 112];
//! plan.run(&x_t, &mut probabilities)?;
//! # Ok(())
//! # }
//! ```
//!
//! How it is built, from the bottom up:
//!
//! | module | what |
//! |---|---|
//! | `simd` | vectors of AVX-512, AVX2 and portable code behind one trait, chosen at run time; matrix tiles of AMX |
//! | `matrix` | products with packed weights, blocked for the registers, or in tiles |
//! | `source` | loading: join, normalise, activate and enlarge activations on the way |
//! | `winograd` | transformations before and after the products, and storing with bias, residual and channel sums |
//! | `convolution` | the three stages block by block, on one or several threads |
//! | `normalisation`, `attention`, `resample`, `softmax` | what lies between convolutions |
//! | `embedding` | timestep and class |
//! | `network` | the architecture, and the one walk over it that lists layers and parameters |
//! | `plan` | the segmentation pass as steps, memory planned once: [`SegmentationPlan`] |
//! | `training` | the whole network forward and backward: [`TrainingNetwork`] |
//! | `passes` | what any device does with the network: the traits [`SegmentationPass`] and [`TrainingPass`] |
//!
//! Activations are [batch, height, width, channels] with channels padded by zeros to multiples of 16.

mod attention;
mod convolution;
mod embedding;
mod error;
mod matrix;
mod memory;
mod network;
mod normalisation;
mod passes;
mod plan;
mod resample;
mod simd;
mod softmax;
mod source;
#[cfg(test)]
mod testing;
mod threads;
mod tiling;
mod training;
mod winograd;

pub use error::KernelError;
pub use network::{Architecture, Decoding, Parameter};
pub use passes::{
    Adam, DeviceGroup, Moments, Noising, SegmentationPass, Snapshot, TrainingPass, TrainingSize, Update, WeightLookup,
};
pub use plan::{PlanOptions, SegmentationPlan};
pub use simd::{Arithmetic, InstructionSet};
pub use threads::Threads;
pub use training::{CpuTraining, KeptPass, Learned, Masks, TrainingNetwork, TrainingOptions, VectorMath};
