//! The encoder, first half of a U-Net (Eq. 2).

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::blocks::{Block, Downsample, convolution_3x3};
use factorseg_kernels::Architecture;

/// Channels of an image.
pub(crate) const IMAGE_CHANNELS: usize = 3;

/// One resolution of the encoder.
#[derive(Module, Debug)]
pub struct EncoderLevel<B: Backend> {
    /// `residual_blocks` of them.
    pub blocks: Vec<Block<B>>,
    /// Leads to the next coarser level; absent on the coarsest.
    pub downsample: Option<Downsample<B>>,
}

/// `h_enc = theta_enc(x_t, t)`.
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    /// Image to `C` channels.
    pub conv_in: Conv2d<B>,
    /// Finest level first.
    pub levels: Vec<EncoderLevel<B>>,
}

/// Channels of the encoder's outputs in the order in which they arise: what the skip connections carry.
pub(crate) fn skip_channels(architecture: &Architecture) -> Vec<usize> {
    let mut channels = vec![architecture.base_channels];
    for level in 0..architecture.levels() {
        let outputs = architecture.residual_blocks + usize::from(level + 1 < architecture.levels());
        channels.extend(std::iter::repeat_n(architecture.channels(level), outputs));
    }
    channels
}

impl<B: Backend> Encoder<B> {
    pub(crate) fn new(architecture: &Architecture, device: &B::Device) -> Self {
        let mut channels = architecture.base_channels;
        let levels = (0..architecture.levels())
            .map(|level| {
                let blocks = (0..architecture.residual_blocks)
                    .map(|_| {
                        let block = Block::new(architecture, level, channels, 0, device);
                        channels = architecture.channels(level);
                        block
                    })
                    .collect();
                let coarsest = level + 1 == architecture.levels();
                EncoderLevel {
                    blocks,
                    downsample: (!coarsest).then(|| Downsample::new(architecture, channels, device)),
                }
            })
            .collect();
        Self {
            conv_in: convolution_3x3([IMAGE_CHANNELS, architecture.base_channels], device),
            levels,
        }
    }

    /// The features of all internal layers, in the order in which they arise; the last is the input of the middle block.
    ///
    /// `x_t` is `[batch, 3, height, width]`, `embedding` the activated embedding `[batch, 4 C]`.
    pub fn forward(&self, x_t: Tensor<B, 4>, embedding: &Tensor<B, 2>) -> Vec<Tensor<B, 4>> {
        let mut hidden = self.conv_in.forward(x_t);
        let mut outputs = vec![hidden.clone()];
        for level in &self.levels {
            for block in &level.blocks {
                hidden = block.forward(hidden, embedding.clone());
                outputs.push(hidden.clone());
            }
            if let Some(downsample) = &level.downsample {
                hidden = downsample.forward(hidden, embedding);
                outputs.push(hidden.clone());
            }
        }
        outputs
    }
}
