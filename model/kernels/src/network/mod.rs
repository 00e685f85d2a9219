//! The factorized network as data: its sizes, and one walk over them that lists activations, parameters and layers.
//!
//! The segmentation plan and the training passes are both made from [`Network`], so that an option of the architecture
//! is written once, in `walk`.

mod architecture;
mod layers;
mod listing;
mod parameters;
mod walk;

pub use architecture::{Architecture, Decoding};
pub use parameters::Parameter;

pub(crate) use layers::{
    Adds, AttentionLayer, ConvolutionLayer, DecoderInput, EmbeddingLayers, Joined, Joints, Layer, Layout, LinearLayer,
    NONE, Network, NormLayer, Reads, ResampleLayer, Tensor, TensorId,
};
pub(crate) use parameters::ParameterId;
