//! Training on the CPU: the factorized network forward and backward over flat vectors of parameters and gradients.
//!
//! | module | what |
//! |---|---|
//! | `network` | the stages of a pass |
//! | `builder` | the network's layers, parameters and memory |
//! | `step`, `resample` | one layer forward and backward |
//! | `state` | everything that layers read and write |
//! | `layout` | between parameters and packed weights |
//! | `weight_gradient`, `product` | gradients of convolution weights |
//! | `normalised`, `normalisation`, `attention`, `embedding`, `pixels` | what lies between convolutions |
//! | `optimizer` | AdamW, clipping and averages on flat vectors |
//!
//! Convolutions run forward as in the segmentation pass, and so do the gradients of their inputs, with turned weights;
//! see [`crate`].

mod attention;
mod builder;
mod embedding;
mod layout;
mod network;
mod normalisation;
mod normalised;
mod optimizer;
mod parameters;
mod pixels;
mod product;
mod resample;
mod state;
mod step;
mod weight_gradient;

pub use network::{KeptPass, Learned, Masks, TrainingNetwork, TrainingOptions};
pub use optimizer::{AdamUpdate, VectorMath};
pub use parameters::Parameter;
