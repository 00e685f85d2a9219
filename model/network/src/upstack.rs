//! The second half of a U-Net. The network holds two: the mask generator (Eq. 4) and the decoder (Eq. 6).

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::activation::silu;
use burn::tensor::backend::Backend;

use crate::blocks::{Block, Upsample, convolution_3x3, group_norm, normalise};
use crate::encoder::skip_channels;
use factorseg_kernels::Architecture;

/// One resolution of an [`UpStack`].
#[derive(Module, Debug)]
pub struct UpLevel<B: Backend> {
    /// One more than the encoder's level has; each takes its input together with one skip.
    pub blocks: Vec<Block<B>>,
    /// Leads to the next finer level; absent on the finest.
    pub upsample: Option<Upsample<B>>,
}

/// From the middle features and the skips to an output at full resolution.
#[derive(Module, Debug)]
pub struct UpStack<B: Backend> {
    /// Coarsest level first.
    pub levels: Vec<UpLevel<B>>,
    /// Before the head.
    pub norm_out: GroupNorm<B>,
    /// The head. Starts at zero.
    pub conv_out: Conv2d<B>,
}

impl<B: Backend> UpStack<B> {
    /// The second half for so many output channels, whose blocks read so many masks beside each skip (Eq. 5).
    pub(crate) fn new(architecture: &Architecture, output_channels: usize, masks: usize, device: &B::Device) -> Self {
        let mut skips = skip_channels(architecture);
        let mut channels = architecture.channels(architecture.levels() - 1);
        let levels = (0..architecture.levels())
            .rev()
            .map(|level| {
                let blocks = (0..=architecture.residual_blocks)
                    .map(|_| {
                        // As many skips as blocks: `skip_channels` and this loop count the same layers.
                        let skip = skips.pop().unwrap_or(0);
                        let block = Block::new(architecture, level, channels + skip, masks, device);
                        channels = architecture.channels(level);
                        block
                    })
                    .collect();
                UpLevel {
                    blocks,
                    upsample: (level > 0).then(|| Upsample::new(architecture, channels, device)),
                }
            })
            .collect();
        Self {
            levels,
            norm_out: group_norm(architecture, channels, device),
            conv_out: convolution_3x3([channels, output_channels], device),
        }
    }

    /// Runs the stack.
    ///
    /// - `middle`: `[batch, channels, height / stride, width / stride]`
    /// - `skips`: the encoder's outputs, in the order in which they arose, with their masks behind their channels
    /// - `embedding`: the activated embedding, `[batch, 4 C]`
    /// - result: `[batch, output_channels, height, width]`
    pub fn forward(&self, middle: Tensor<B, 4>, skips: Vec<Tensor<B, 4>>, embedding: &Tensor<B, 2>) -> Tensor<B, 4> {
        let mut skips = skips.into_iter().rev();
        let mut hidden = middle;
        for level in &self.levels {
            for (block, skip) in level.blocks.iter().zip(skips.by_ref()) {
                hidden = block.forward(Tensor::cat(vec![hidden, skip], 1), embedding.clone());
            }
            if let Some(upsample) = &level.upsample {
                hidden = upsample.forward(hidden, embedding);
            }
        }
        self.conv_out.forward(silu(normalise(&self.norm_out, hidden)))
    }
}
