//! From the network's layers to steps with room for their weights, and the memory that they need.

use super::attention::Attention;
use super::convolution::{Backward, ConvolutionStep};
use super::normalisation::Norm;
use super::resample::ResampleStep;
use super::state::Modulation;
use super::step::{AttentionStep, Step};
use super::weight_gradient::{self, SpaceNeeds};
use crate::convolution::{Convolution, Needs};
use crate::embedding::Linear;
use crate::matrix::PackedMatrix;
use crate::network::{
    AttentionLayer, ConvolutionLayer, Layer, NormLayer, Parameter, Reads, ResampleLayer, Tensor, TensorId,
};
use crate::simd::{Arithmetic, InstructionSet};
use crate::tiling::Tiling;

/// Numbers of a gradient that stays in the cache between two steps.
const CACHED: usize = 256 * 1024;

/// The sizes that a network is built for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) set: InstructionSet,
    pub(crate) arithmetic: Arithmetic,
    pub(crate) threads: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) images: usize,
    pub(crate) branches: usize,
    /// Activations from here on are the decoder's, which has an item for each image and branch.
    pub(crate) first_decoder: TensorId,
}

impl Extent {
    /// Items of an activation in the largest batch.
    pub(crate) fn items(&self, tensor: TensorId) -> usize {
        if tensor < self.first_decoder {
            self.images
        } else {
            self.images * self.branches
        }
    }

    /// Height and width of an activation.
    fn size(&self, tensor: Tensor) -> (usize, usize) {
        (self.height >> tensor.level, self.width >> tensor.level)
    }
}

/// The memory that steps share.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) needs: Needs,
    pub(crate) space: SpaceNeeds,
    /// Lengths of the partial sums and of the scratch memory.
    pub(crate) partial_sums: usize,
    pub(crate) scratch: usize,
}

/// Makes the steps of one part after another.
pub(crate) struct Builder<'a> {
    extent: Extent,
    /// Items of the largest batch of the part under way.
    items: usize,
    parameters: &'a [Parameter],
    tensors: &'a [Tensor],
    pub(crate) memory: Memory,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(extent: Extent, parameters: &'a [Parameter], tensors: &'a [Tensor]) -> Self {
        Self {
            extent,
            items: extent.images,
            parameters,
            tensors,
            memory: Memory::default(),
        }
    }

    /// The steps of a part whose largest batch has so many items.
    pub(crate) fn steps(&mut self, layers: Vec<Layer>, items: usize) -> Vec<Step> {
        self.items = items;
        let step = |layer| match layer {
            Layer::Convolution(layer) => Step::Convolution(Box::new(self.convolution(layer))),
            Layer::Attention(layer) => Step::Attention(self.attention(layer)),
            Layer::Resample(layer) => Step::Resample(self.resample(layer)),
        };
        layers.into_iter().map(step).collect()
    }

    /// All normalisations, and the layers that scale and shift them.
    pub(crate) fn norms(&mut self, layers: &[NormLayer], groups: usize) -> (Vec<Norm>, Vec<Modulation>) {
        let extent = self.extent;
        let mut modulations = Vec::new();
        let place = |parameter: usize| self.parameters[parameter].offset;
        let mut norm = |layer: &NormLayer| {
            let items = extent.items(layer.input.first);
            let width: usize = layer.widths.iter().sum();
            self.memory.partial_sums = self.memory.partial_sums.max(items * 2 * width);
            let modulation = layer.modulation.as_ref().map(|linear| {
                let linear = Linear::placed(linear, place);
                modulations.push(Modulation {
                    linear,
                    output: vec![0.0; extent.images * linear.outputs],
                    gradient: vec![0.0; extent.images * linear.outputs],
                });
                modulations.len() - 1
            });
            let (gamma, beta) = (place(layer.gamma), place(layer.beta));
            Norm::new(
                gamma,
                beta,
                groups,
                layer.channels,
                layer.widths,
                layer.activate,
                modulation,
                items,
            )
        };
        let norms = layers.iter().map(&mut norm).collect();
        (norms, modulations)
    }

    fn attention(&mut self, layer: AttentionLayer) -> AttentionStep {
        let (height, width) = self.extent.size(self.tensors[layer.input]);
        let attention = Attention {
            heads: layer.attention.heads,
            depth: layer.attention.depth,
            positions: height * width,
        };
        self.memory.needs.left = self.memory.needs.left.max(attention.needs());
        AttentionStep {
            attention,
            input: layer.input,
            output: layer.output,
        }
    }

    fn resample(&mut self, layer: ResampleLayer) -> ResampleStep {
        let tensor = self.tensors[layer.input];
        let (height, width) = self.extent.size(tensor);
        let item = height * width * tensor.width;
        let chunk = self.chunk(item);
        if layer.norm.is_some() {
            self.memory.scratch = self.memory.scratch.max(chunk * item);
        }
        ResampleStep { layer, chunk }
    }

    /// Items whose gradients, of so many numbers each, are under way at a time.
    fn chunk(&self, item: usize) -> usize {
        (CACHED / item).max(self.extent.threads).min(self.items)
    }

    fn convolution(&mut self, layer: ConvolutionLayer) -> ConvolutionStep {
        let (set, items, tensors) = (self.extent.set, self.items, self.tensors);
        let (height, width) = self.extent.size(tensors[layer.output]);
        let tiles = |side: usize| height.div_ceil(side) * width.div_ceil(side);
        let method = layer.method(if 36 * tiles(4) < 16 * tiles(2) { 4 } else { 2 });
        let (inputs, outputs) = (layer.layout.inputs.len(), layer.layout.outputs.len());
        let arithmetic = match layer.reads {
            Reads::Image => Arithmetic::F32,
            Reads::Activations { .. } => self.extent.arithmetic,
        };
        let convolution = Convolution::zeroed(set, arithmetic, method, inputs, outputs);
        // One thread's blocks, whatever the number of threads: the sums' order must not depend on it.
        let plan = |items: usize| {
            let most = convolution.block_tiles();
            Tiling::new(items, height, width, method.side(), most, most)
        };
        let tiling = plan(items);
        let gradient_tiling = weight_gradient::tiling(&convolution, items, height, width);
        let chunk = self.chunk(height * width * inputs);
        let memory = &mut self.memory;
        memory.needs = memory.needs.join(convolution.needs(&tiling));
        memory.needs = memory.needs.join(convolution.needs(&gradient_tiling));
        memory.space = memory.space.join(SpaceNeeds::of(&convolution, &gradient_tiling, items));
        memory.partial_sums = memory
            .partial_sums
            .max(tiling.strips(items) * 2 * outputs)
            .max(items * outputs);
        let turned = |inputs: usize| Convolution::zeroed(set, arithmetic, method, outputs, inputs);
        let backward = match layer.reads {
            Reads::Image => Backward::Nothing,
            Reads::Activations { .. } if layer.stride == 2 => {
                memory.scratch = memory.scratch.max(items * height * width * 9 * inputs);
                // The gradient of an item, rounded.
                memory.needs.left = memory.needs.left.max(height * width * outputs);
                Backward::Strided(PackedMatrix::zeroed(set, 1, outputs / arithmetic.numbers(), 9 * inputs))
            }
            Reads::Activations { input, upsample: false } if layer.norm.is_none() => {
                let parts: Vec<_> = input.parts().map(|part| turned(tensors[part].width)).collect();
                for part in &parts {
                    memory.needs = memory.needs.join(part.needs(&tiling));
                }
                Backward::Parts(parts, tiling.clone())
            }
            Reads::Activations { .. } => {
                let (turned, tiling) = (turned(inputs), plan(chunk));
                memory.needs = memory.needs.join(turned.needs(&tiling));
                memory.scratch = memory.scratch.max(chunk * height * width * inputs);
                Backward::Whole(turned, tiling, chunk)
            }
        };
        let range = |parameter: usize| self.parameters[parameter].range();
        ConvolutionStep {
            weight: range(layer.weights.weight),
            bias: range(layer.weights.bias),
            layer,
            convolution,
            tiling,
            backward,
            gradient_tiling,
        }
    }
}
