//! The middle block (Eq. 3).

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::blocks::{ResidualBlock, SelfAttention};
use factorseg_kernels::Architecture;

/// `h_mid = theta_mid(h_enc, t)`, at the coarsest resolution.
#[derive(Module, Debug)]
pub struct Middle<B: Backend> {
    /// Before the attention.
    pub residual_1: ResidualBlock<B>,
    /// Over all positions.
    pub attention: SelfAttention<B>,
    /// After the attention.
    pub residual_2: ResidualBlock<B>,
}

impl<B: Backend> Middle<B> {
    pub(crate) fn new(architecture: &Architecture, device: &B::Device) -> Self {
        let channels = architecture.channels(architecture.levels() - 1);
        Self {
            residual_1: ResidualBlock::new(architecture, [channels, channels], 0, device),
            attention: SelfAttention::new(architecture, channels, device),
            residual_2: ResidualBlock::new(architecture, [channels, channels], 0, device),
        }
    }

    /// `[batch, channels, height, width]` to the same shape; `embedding` is the activated embedding `[batch, 4 C]`.
    pub fn forward(&self, input: Tensor<B, 4>, embedding: &Tensor<B, 2>) -> Tensor<B, 4> {
        let hidden = self.residual_1.forward(input, embedding.clone());
        let hidden = self.attention.forward(hidden);
        self.residual_2.forward(hidden, embedding.clone())
    }
}
