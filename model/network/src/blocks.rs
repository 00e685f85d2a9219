//! The parts that encoder, middle block, mask generator and decoder are built from.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{silu, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::module::{avg_pool2d, interpolate};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{FloatDType, Tensor};

use factorseg_kernels::Architecture;

fn convolution(channels: [usize; 2], kernel: usize, stride: usize) -> Conv2dConfig {
    let padding = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
}

/// A 3x3 convolution that keeps the resolution.
pub(crate) fn convolution_3x3<B: Backend>(channels: [usize; 2], device: &B::Device) -> Conv2d<B> {
    convolution(channels, 3, 1).init(device)
}

pub(crate) fn group_norm<B: Backend>(architecture: &Architecture, channels: usize, device: &B::Device) -> GroupNorm<B> {
    GroupNormConfig::new(architecture.norm_groups, channels).init(device)
}

/// A norm in 32 bits, whatever its input is in: sums over a whole group are too much for 16.
pub(crate) fn normalise<B: Backend>(norm: &GroupNorm<B>, input: Tensor<B, 4>) -> Tensor<B, 4> {
    in_32_bits(input, |input| norm.forward(input))
}

/// `function` of a tensor in 32 bits; nothing is cast where it is that already.
fn in_32_bits<B: Backend, const D: usize>(
    input: Tensor<B, D>,
    function: impl FnOnce(Tensor<B, D>) -> Tensor<B, D>,
) -> Tensor<B, D> {
    let dtype = FloatDType::from(input.dtype());
    function(input.cast(FloatDType::F32)).cast(dtype)
}

/// Residual block: two normalised 3x3 convolutions; the embedding scales and shifts the second normalisation. The input's last
/// channels may be masks (Eq. 5), which the first normalisation leaves as they are.
#[derive(Module, Debug)]
pub struct ResidualBlock<B: Backend> {
    /// Before the first convolution.
    pub norm_1: GroupNorm<B>,
    /// Input to output channels.
    pub conv_1: Conv2d<B>,
    /// `4 C` to twice the output channels: scale, then shift.
    pub embedding: Linear<B>,
    /// Before the second convolution.
    pub norm_2: GroupNorm<B>,
    /// Starts at zero, so that a block starts as the identity.
    pub conv_2: Conv2d<B>,
    /// 1x1, where input and output channels differ.
    pub skip: Option<Conv2d<B>>,
}

impl<B: Backend> ResidualBlock<B> {
    pub(crate) fn new(architecture: &Architecture, channels: [usize; 2], masks: usize, device: &B::Device) -> Self {
        let [input, output] = channels;
        let read = input + masks;
        Self {
            norm_1: group_norm(architecture, input, device),
            conv_1: convolution_3x3([read, output], device),
            embedding: LinearConfig::new(4 * architecture.base_channels, 2 * output).init(device),
            norm_2: group_norm(architecture, output, device),
            conv_2: convolution_3x3([output, output], device),
            skip: (read != output).then(|| convolution([read, output], 1, 1).init(device)),
        }
    }

    /// `[batch, input, height, width]` and the *activated* embedding `[batch, 4 C]` to `[batch, output, height, width]`.
    pub fn forward(&self, input: Tensor<B, 4>, embedding: Tensor<B, 2>) -> Tensor<B, 4> {
        self.forward_resampled(input, embedding, |features| features)
    }

    /// [`ResidualBlock::forward`] of a block that changes the resolution: `resample` takes both what the first convolution
    /// reads and what is added at the end.
    fn forward_resampled(
        &self,
        input: Tensor<B, 4>,
        embedding: Tensor<B, 2>,
        resample: impl Fn(Tensor<B, 4>) -> Tensor<B, 4>,
    ) -> Tensor<B, 4> {
        let (channels, normalised) = (input.dims()[1], self.norm_1.num_channels);
        let mut activated = silu(normalise(&self.norm_1, input.clone().narrow(1, 0, normalised)));
        if channels > normalised {
            let masks = input.clone().narrow(1, normalised, channels - normalised);
            activated = Tensor::cat(vec![activated, masks], 1);
        }
        let hidden = self.conv_1.forward(resample(activated));
        let input = resample(input);
        let [batch, channels, _, _] = hidden.dims();
        let scale_shift = self.embedding.forward(embedding).reshape([batch, 2 * channels, 1, 1]);
        let scale = scale_shift.clone().narrow(1, 0, channels);
        let shift = scale_shift.narrow(1, channels, channels);
        let hidden = normalise(&self.norm_2, hidden) * (scale + 1.0) + shift;
        let hidden = self.conv_2.forward(silu(hidden));
        match &self.skip {
            Some(skip) => skip.forward(input) + hidden,
            None => input + hidden,
        }
    }
}

/// Multi-head self-attention over the positions of a feature map, added to its input.
#[derive(Module, Debug)]
pub struct SelfAttention<B: Backend> {
    /// Before the attention.
    pub norm: GroupNorm<B>,
    /// Queries, keys and values: for each head its query, key and value channels in a row.
    pub qkv: Linear<B>,
    /// Starts at zero.
    pub project: Linear<B>,
    heads: usize,
}

impl<B: Backend> SelfAttention<B> {
    pub(crate) fn new(architecture: &Architecture, channels: usize, device: &B::Device) -> Self {
        Self {
            norm: group_norm(architecture, channels, device),
            qkv: LinearConfig::new(channels, 3 * channels).init(device),
            project: LinearConfig::new(channels, channels).init(device),
            heads: architecture.heads(channels),
        }
    }

    /// `[batch, channels, height, width]` to the same shape.
    pub fn forward(&self, input: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, channels, height, width] = input.dims();
        let positions = height * width;
        let head_channels = channels / self.heads;

        let tokens = normalise(&self.norm, input.clone())
            .reshape([batch, channels, positions])
            .swap_dims(1, 2);
        // [batch, heads, 3 * head_channels, positions]
        let qkv = self
            .qkv
            .forward(tokens)
            .swap_dims(1, 2)
            .reshape([batch, self.heads, 3 * head_channels, positions]);
        let [query, key, value] = [0, 1, 2].map(|part| qkv.clone().narrow(2, part * head_channels, head_channels));

        let scale = 1.0 / (head_channels as f64).sqrt();
        let scores = query.swap_dims(2, 3).matmul(key).mul_scalar(scale);
        let weights = in_32_bits(scores, |scores| softmax(scores, 3));
        // [batch, heads, positions, head_channels], heads gathered back into channels
        let attended = weights
            .matmul(value.swap_dims(2, 3))
            .swap_dims(1, 2)
            .reshape([batch, positions, channels]);
        let projected = self
            .project
            .forward(attended)
            .swap_dims(1, 2)
            .reshape([batch, channels, height, width]);
        input + projected
    }
}

/// A residual block and, on the levels that have it, self-attention.
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    /// The residual block.
    pub residual: ResidualBlock<B>,
    /// Follows it.
    pub attention: Option<SelfAttention<B>>,
}

impl<B: Backend> Block<B> {
    /// `input` channels, and behind them so many masks.
    pub(crate) fn new(
        architecture: &Architecture,
        level: usize,
        input: usize,
        masks: usize,
        device: &B::Device,
    ) -> Self {
        let output = architecture.channels(level);
        Self {
            residual: ResidualBlock::new(architecture, [input, output], masks, device),
            attention: architecture.attention_levels[level].then(|| SelfAttention::new(architecture, output, device)),
        }
    }

    /// See [`ResidualBlock::forward`].
    pub fn forward(&self, input: Tensor<B, 4>, embedding: Tensor<B, 2>) -> Tensor<B, 4> {
        let hidden = self.residual.forward(input, embedding);
        match &self.attention {
            Some(attention) => attention.forward(hidden),
            None => hidden,
        }
    }
}

/// Halves the resolution: a strided 3x3 convolution, or a residual block that averages over 2 x 2 pixels.
#[derive(Module, Debug)]
pub struct Downsample<B: Backend> {
    /// Stride 2.
    pub conv: Option<Conv2d<B>>,
    /// In place of it, with `resblock_updown`.
    pub residual: Option<ResidualBlock<B>>,
}

impl<B: Backend> Downsample<B> {
    pub(crate) fn new(architecture: &Architecture, channels: usize, device: &B::Device) -> Self {
        let channels = [channels, channels];
        let updown = architecture.resblock_updown;
        Self {
            conv: (!updown).then(|| convolution(channels, 3, 2).init(device)),
            residual: updown.then(|| ResidualBlock::new(architecture, channels, 0, device)),
        }
    }

    /// `[batch, channels, height, width]` to `[batch, channels, height / 2, width / 2]`; `embedding` is the activated
    /// embedding `[batch, 4 C]`.
    pub fn forward(&self, input: Tensor<B, 4>, embedding: &Tensor<B, 2>) -> Tensor<B, 4> {
        let input = match &self.residual {
            Some(residual) => residual.forward_resampled(input, embedding.clone(), halved),
            None => input,
        };
        match &self.conv {
            Some(conv) => conv.forward(input),
            None => input,
        }
    }
}

/// Doubles the resolution by nearest neighbour: before a 3x3 convolution, or within a residual block.
#[derive(Module, Debug)]
pub struct Upsample<B: Backend> {
    /// Follows the enlargement.
    pub conv: Option<Conv2d<B>>,
    /// In place of it, with `resblock_updown`.
    pub residual: Option<ResidualBlock<B>>,
}

impl<B: Backend> Upsample<B> {
    pub(crate) fn new(architecture: &Architecture, channels: usize, device: &B::Device) -> Self {
        let channels = [channels, channels];
        let updown = architecture.resblock_updown;
        Self {
            conv: (!updown).then(|| convolution_3x3(channels, device)),
            residual: updown.then(|| ResidualBlock::new(architecture, channels, 0, device)),
        }
    }

    /// `[batch, channels, height, width]` to `[batch, channels, 2 height, 2 width]`; `embedding` is the activated embedding
    /// `[batch, 4 C]`.
    pub fn forward(&self, input: Tensor<B, 4>, embedding: &Tensor<B, 2>) -> Tensor<B, 4> {
        let input = match &self.residual {
            Some(residual) => residual.forward_resampled(input, embedding.clone(), doubled),
            None => input,
        };
        match &self.conv {
            Some(conv) => conv.forward(doubled(input)),
            None => input,
        }
    }
}

/// Averages of 2 x 2 pixels.
fn halved<B: Backend>(input: Tensor<B, 4>) -> Tensor<B, 4> {
    avg_pool2d(input, [2, 2], [2, 2], [0, 0], true, false)
}

/// Every pixel 2 x 2 times.
fn doubled<B: Backend>(input: Tensor<B, 4>) -> Tensor<B, 4> {
    let [_, _, height, width] = input.dims();
    interpolate(
        input,
        [2 * height, 2 * width],
        InterpolateOptions::new(InterpolateMode::Nearest),
    )
}
