//! Training on the CPU: the factorized network forward and backward over flat vectors of parameters and gradients.
//!
//! | module | what |
//! |---|---|
//! | `network`, `decoder` | the stages of a pass |
//! | `kept` | a pass that waits for another |
//! | `options`, `learned` | what a network is built for, and which parts of it learn |
//! | `builder` | the steps of the network's layers, and their memory |
//! | `step`, `convolution`, `resample` | one layer forward and backward |
//! | `state` | everything that layers read and write |
//! | `packing` | between parameters and packed weights |
//! | `weight_gradient`, `product` | gradients of convolution weights |
//! | `normalised`, `normalisation`, `attention`, `embedding`, `pixels` | what lies between convolutions |
//! | `pass` | all of it behind [`TrainingPass`](crate::TrainingPass) |
//! | `optimizer` | AdamW, clipping and averages on flat vectors |
//!
//! Convolutions run forward as in the segmentation pass, and so do the gradients of their inputs, with turned weights;
//! see [`crate`].

mod attention;
mod builder;
mod convolution;
mod decoder;
mod embedding;
mod inputs;
mod kept;
mod learned;
mod network;
mod normalisation;
mod normalised;
mod optimizer;
mod options;
mod packing;
mod pass;
mod pixels;
mod product;
mod resample;
mod state;
mod step;
mod weight_gradient;

pub use decoder::Masks;
pub use kept::KeptPass;
pub use learned::Learned;
pub use network::TrainingNetwork;
pub use optimizer::VectorMath;
pub use options::TrainingOptions;
pub use pass::CpuTraining;
