//! The factorized denoising network in [burn], generic over the backend: what runs on GPUs, and the definition to read beside
//! the paper (*Factorized Diffusion Architectures for Unsupervised Image Generation and Segmentation*, Yuan and Maire).
//!
//! | module | paper |
//! |---|---|
//! | [`embedding`] | timestep and class |
//! | [`encoder`], [`middle`], [`upstack`] | Eq. 2, 3, and 4 with 6 |
//! | [`factorized`] | the whole, Eq. 2 to 7 |
//! | [`segmentation`], [`training`] | what the rest of the project calls: the two traits of `factorseg-kernels` |
//! | `cuda` | the devices of CUDA |
//!
//! The crate knows sizes ([`Architecture`](factorseg_kernels::Architecture)) and weights by name, and nothing of checkpoints.

pub mod blocks;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod embedding;
pub mod encoder;
pub mod factorized;
mod failures;
pub mod middle;
#[cfg(feature = "cuda")]
mod nccl;
pub mod parameters;
#[cfg(feature = "cuda")]
mod preflight;
pub mod segmentation;
pub mod training;
#[cfg(feature = "cuda")]
mod tuning;
pub mod upstack;

pub use factorized::{Factorized, Features, MaskNetwork, Prediction};
pub use segmentation::BurnSegmentation;
pub use training::BurnTraining;
