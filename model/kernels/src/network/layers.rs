//! What a network is made of: activations, and layers with their parameters that read and write them.

use super::parameters::{Parameter, ParameterId};
use crate::attention::Attention;
use crate::convolution::Method;
use crate::resample::Resampling;

/// Index of an activation.
pub(crate) type TensorId = usize;

/// Index of a normalisation.
pub(crate) type NormId = usize;

/// One activation: [items, height >> level, width >> level, width].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor {
    /// Halvings of the input's size.
    pub(crate) level: usize,
    /// Channels without padding.
    pub(crate) channels: usize,
    /// Channels with their padding.
    pub(crate) width: usize,
    /// Whether something normalises it, so that its sums are wanted.
    pub(crate) summed: bool,
}

/// One activation, or two of the same size that are joined along their channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined {
    pub(crate) first: TensorId,
    pub(crate) second: Option<TensorId>,
}

impl Joined {
    pub(crate) fn parts(self) -> impl Iterator<Item = TensorId> {
        [Some(self.first), self.second].into_iter().flatten()
    }
}

impl From<TensorId> for Joined {
    fn from(first: TensorId) -> Self {
        Self { first, second: None }
    }
}

/// What a convolution reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reads {
    Image,
    Activations { input: Joined, upsample: bool },
}

/// What a convolution adds to its products.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Adds {
    Nothing,
    /// The output's former content.
    Output,
    Tensor(TensorId),
}

/// Weight and bias of the layer of a name.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub(crate) name: String,
    pub(crate) weight: ParameterId,
    pub(crate) bias: ParameterId,
}

/// Stands for a padded position without a channel.
pub(crate) const NONE: u32 = u32::MAX;

/// Where the numbers of a weight tensor belong among padded channels. Those of one input and output are side by side.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Distance of inputs, of outputs, and number of taps.
    pub(crate) input_step: usize,
    pub(crate) output_step: usize,
    pub(crate) taps: usize,
    /// The channel at each padded position, or [`NONE`].
    pub(crate) inputs: Vec<u32>,
    pub(crate) outputs: Vec<u32>,
}

impl Layout {
    /// Index of the first tap between two positions; `None` where one is padding.
    pub(crate) fn index(&self, input: usize, output: usize) -> Option<usize> {
        let (input, output) = (self.inputs[input], self.outputs[output]);
        (input != NONE && output != NONE).then(|| input as usize * self.input_step + output as usize * self.output_step)
    }
}

/// A convolution, or a linear layer at every pixel.
#[derive(Debug, Clone)]
pub(crate) struct ConvolutionLayer {
    pub(crate) weights: Weights,
    pub(crate) layout: Layout,
    /// Side of the kernel. Half of it pads the input.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) reads: Reads,
    /// Applied while loading.
    pub(crate) norm: Option<NormId>,
    /// The attention whose queries, keys and values the outputs are.
    pub(crate) projects: Option<Attention>,
    /// Whether it adds the bias: of two layers that share their weights, one does.
    pub(crate) biased: bool,
    pub(crate) adds: Adds,
    pub(crate) output: TensorId,
}

impl ConvolutionLayer {
    /// Every activation that it reads or writes.
    pub(crate) fn tensors(&self) -> Vec<TensorId> {
        let mut tensors = vec![self.output];
        if let Reads::Activations { input, .. } = self.reads {
            tensors.extend(input.parts());
        }
        if let Adds::Tensor(tensor) = self.adds {
            tensors.push(tensor);
        }
        tensors
    }

    /// How it is computed, where Winograd's tiles have `tile` outputs a side.
    pub(crate) fn method(&self, tile: usize) -> Method {
        match (self.kernel, self.stride, self.reads) {
            (3, 1, Reads::Activations { .. }) => Method::Winograd(tile),
            (kernel, stride, _) => Method::Patches {
                kernel,
                stride,
                padding: kernel / 2,
            },
        }
    }
}

/// Self-attention over [positions, 3, heads, padded depth].
#[derive(Debug, Clone)]
pub(crate) struct AttentionLayer {
    pub(crate) name: String,
    pub(crate) attention: Attention,
    pub(crate) input: TensorId,
    pub(crate) output: TensorId,
}

/// Half or twice the resolution.
#[derive(Debug, Clone)]
pub(crate) struct ResampleLayer {
    pub(crate) name: String,
    pub(crate) resampling: Resampling,
    pub(crate) input: TensorId,
    pub(crate) norm: Option<NormId>,
    pub(crate) output: TensorId,
}

/// One layer, in the order of a pass.
#[derive(Debug, Clone)]
pub(crate) enum Layer {
    Convolution(ConvolutionLayer),
    Attention(AttentionLayer),
    Resample(ResampleLayer),
}

/// A linear layer over rows.
#[derive(Debug, Clone)]
pub(crate) struct LinearLayer {
    pub(crate) weights: Weights,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// A group normalisation, which the layers that read its input apply.
#[derive(Debug, Clone)]
pub(crate) struct NormLayer {
    pub(crate) gamma: ParameterId,
    pub(crate) beta: ParameterId,
    pub(crate) input: Joined,
    /// Channels of the first input, and of the second, 0 without one; and their padded widths.
    pub(crate) channels: [usize; 2],
    pub(crate) widths: [usize; 2],
    /// Whether SiLU follows.
    pub(crate) activate: bool,
    /// The layer of the embedding whose output scales and shifts: [4 C, 2 channels].
    pub(crate) modulation: Option<LinearLayer>,
}

/// The embedding of timestep and class.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddingLayers {
    pub(crate) linear_1: LinearLayer,
    pub(crate) linear_2: LinearLayer,
    /// [classes + 1, 4 C], the last row for "no class"; absent in an unconditional network.
    pub(crate) classes: Option<ParameterId>,
}

/// What the decoder reads of encoder and middle block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecoderInput {
    pub(crate) from: TensorId,
    pub(crate) to: TensorId,
    /// The region whose mask the first branch sees it under; the others follow. `None`: all see it whole.
    pub(crate) region: Option<usize>,
}

/// Where the parts of a network meet.
#[derive(Debug, Clone)]
pub(crate) struct Joints {
    /// Activations from here on belong to the mask generator,
    pub(crate) first_mask: TensorId,
    /// and from here on to the decoder, whose inputs are the first,
    pub(crate) first_decoder: TensorId,
    /// and from here on it has computed them.
    pub(crate) first_decoded: TensorId,
    /// h_enc and h_mid.
    pub(crate) inputs: Vec<DecoderInput>,
    /// The masks at each level, finest first, where the decoder reads them (Eq. 5).
    pub(crate) masks: Vec<TensorId>,
    pub(crate) logits: TensorId,
    /// What each decoder predicts.
    pub(crate) noise: Vec<TensorId>,
    /// What the blocks of the first decoder leave, coarsest first.
    pub(crate) blocks: Vec<TensorId>,
}

/// The whole network. The parts follow each other in all lists: embedding, encoder with middle block, mask generator,
/// decoder.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) parameters: Vec<Parameter>,
    /// Parameters from here on belong to the decoder.
    pub(crate) decoder_parameters: ParameterId,
    /// Normalisations from here on, too.
    pub(crate) first_decoder_norm: NormId,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) norms: Vec<NormLayer>,
    pub(crate) embedding: EmbeddingLayers,
    pub(crate) encoder: Vec<Layer>,
    pub(crate) mask_generator: Vec<Layer>,
    pub(crate) decoder: Vec<Layer>,
    pub(crate) joints: Joints,
}

impl Network {
    /// The normalisations of encoder, middle block and mask generator.
    pub(crate) fn segmentation_norms(&self) -> &[NormLayer] {
        &self.norms[..self.first_decoder_norm]
    }
}
