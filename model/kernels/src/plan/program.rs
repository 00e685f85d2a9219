//! From the network's layers to steps with packed weights.

use super::conditioning::Conditioning;
use super::options::PlanOptions;
use super::tiles::in_tiles;
use super::weights::WeightValues;
use crate::convolution::{Convolution, Kernel, Method};
use crate::network::{
    AttentionLayer, ConvolutionLayer, Layer, NONE, Network, NormLayer, Reads, ResampleLayer, Tensor, TensorId,
};
use crate::normalisation::GroupNorm;
use crate::simd::{Arithmetic, InstructionSet};

/// A convolution with its weights.
pub(crate) struct PackedLayer {
    pub(crate) layer: ConvolutionLayer,
    pub(crate) packed: Convolution,
}

/// One step of a pass.
pub(crate) enum Step {
    Convolution(Box<PackedLayer>),
    Attention(AttentionLayer),
    Resample(ResampleLayer),
}

impl Step {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Convolution(step) => &step.layer.weights.name,
            Self::Attention(layer) => &layer.name,
            Self::Resample(layer) => &layer.name,
        }
    }

    /// Every activation that the step reads or writes.
    pub(crate) fn tensors(&self) -> Vec<TensorId> {
        match self {
            Self::Convolution(step) => step.layer.tensors(),
            Self::Attention(layer) => vec![layer.input, layer.output],
            Self::Resample(layer) => vec![layer.input, layer.output],
        }
    }
}

/// The steps of the segmentation pass (encoder, middle block, mask generator), the activations that they use, and all
/// packed weights. Independent of the image's size, except that the methods of the convolutions were chosen for one.
pub(crate) struct Program {
    pub(crate) set: InstructionSet,
    pub(crate) steps: Vec<Step>,
    pub(crate) tensors: Vec<Tensor>,
    /// What the last step writes.
    pub(crate) logits: TensorId,
    pub(crate) conditioning: Conditioning,
}

impl Program {
    /// Packs the weights for the options' instructions and arithmetic; image size and batch choose between methods.
    pub(crate) fn new(
        network: Network,
        conditioning: Conditioning,
        weights: &WeightValues<'_>,
        options: &PlanOptions,
    ) -> Self {
        let layers = network.encoder.into_iter().chain(network.mask_generator);
        let steps = layers.map(|layer| match layer {
            Layer::Convolution(layer) => Step::Convolution(Box::new(PackedLayer {
                packed: pack(&layer, network.tensors[layer.output].level, weights, options),
                layer,
            })),
            Layer::Attention(layer) => Step::Attention(layer),
            Layer::Resample(layer) => Step::Resample(layer),
        });
        let mut program = Self {
            set: options.instructions,
            steps: steps.collect(),
            logits: network.joints.logits,
            tensors: network.tensors,
            conditioning,
        };
        program.tensors.truncate(network.joints.first_decoder);
        program
    }
}

/// A normalisation as it is without an embedding.
pub(crate) fn group_norm(norm: &NormLayer, groups: usize, weights: &WeightValues<'_>) -> GroupNorm {
    GroupNorm {
        groups,
        gamma: weights.get(norm.gamma).to_vec(),
        beta: weights.get(norm.beta).to_vec(),
        first: norm.channels[0],
        activate: norm.activate,
    }
}

/// Packs a convolution whose output is at `level`.
fn pack(layer: &ConvolutionLayer, level: usize, weights: &WeightValues<'_>, options: &PlanOptions) -> Convolution {
    let layout = &layer.layout;
    let (weight, bias) = (weights.get(layer.weights.weight), weights.get(layer.weights.bias));
    // The division by the root of the depth goes into the queries.
    let (queries, scale) = layer.projects.map_or((0, 1.0), |attention| {
        (attention.channels(), 1.0 / (attention.depth as f32).sqrt())
    });
    let scaled = |output: usize, value: f32| if output < queries { value * scale } else { value };
    let kernel = Kernel {
        inputs: layout.inputs.len(),
        outputs: layout.outputs.len(),
        value: &|output, input, ky, kx| {
            let first = layout.index(input, output);
            first.map_or(0.0, |first| scaled(output, weight[first + ky * layer.kernel + kx]))
        },
        bias: &|output| match layout.outputs[output] {
            NONE => 0.0,
            channel => scaled(output, bias[channel as usize]),
        },
    };
    let arithmetic = match layer.reads {
        Reads::Image => Arithmetic::F32,
        Reads::Activations { .. } => options.arithmetic,
    };
    let method = match layer.method(tile(options, level)) {
        Method::Winograd(_) if arithmetic == Arithmetic::Bf16 && options.instructions.has_tiles() => {
            let (height, width) = (options.height >> level, options.width >> level);
            in_tiles(options.batch, height, width, kernel.inputs, kernel.outputs)
        }
        method => method,
    };
    Convolution::pack(options.instructions, arithmetic, method, &kernel)
}

/// Chooses the tile of a 3x3 convolution by what it costs for each pair of channels: the products, and reading the
/// weights once from memory. Few tiles make F(4x4) wait for its 2.25 times larger weights.
fn tile(options: &PlanOptions, level: usize) -> usize {
    let (height, width) = (options.height >> level, options.width >> level);
    let cost = |side: usize| {
        let points = ((side + 2) * (side + 2)) as f64;
        let tiles = (options.batch * height.div_ceil(side) * width.div_ceil(side)) as f64;
        // In multiplications; one read weight takes as long as about 15 of them.
        points * (tiles + 15.0)
    };
    if cost(4) < cost(2) { 4 } else { 2 }
}
