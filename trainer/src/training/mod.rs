//! Algorithm 1: the training loop and everything that it keeps.

pub mod best;
pub mod competition;
pub mod ema;
pub mod export;
pub mod gradients;
pub mod held_out;
pub mod learner;
pub mod masks;
pub mod monitor;
pub mod optimizer;
pub mod parallel;
pub mod pictures;
pub mod random_masks;
pub mod regions;
pub mod report;
pub mod run;
pub mod run_directory;
mod self_training;
pub mod shaping;
mod sight;
pub mod signals;
pub mod state;
#[cfg(test)]
mod testing;
pub mod timing;

/// The network on the backend that is chosen at run time.
pub type Network = factorseg_model::Factorized<factorseg_model::Runtime>;
/// A tensor of that backend.
pub type Tensor<const D: usize> = burn::tensor::Tensor<factorseg_model::Runtime, D>;
/// A device with a gradient tape, or without.
pub type Device = burn::DispatchDevice;
