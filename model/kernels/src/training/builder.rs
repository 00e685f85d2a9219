//! From the network's sizes to its layers, their parameters and the memory that they need.

use super::attention::Attention;
use super::embedding::{Embedding, Linear};
use super::layout::{Layout, NONE};
use super::normalisation::Norm;
use super::parameters::ParameterList;
use super::resample::ResampleStep;
use super::state::{Modulation, Tensor};
use super::step::{Backward, ConvolutionStep, Step};
use super::weight_gradient::{self, SpaceNeeds};
use crate::convolution::{Convolution, Method, Needs};
use crate::matrix::PackedMatrix;
use crate::operands::{Adds, Reads, TensorId};
use crate::resample::Resampling;
use crate::simd::{Arithmetic, InstructionSet, padded};
use crate::tiling::Tiling;
use crate::{Architecture, KernelError};

const POINTWISE: Method = Method::Patches {
    kernel: 1,
    stride: 1,
    padding: 0,
};

/// Numbers of a gradient that stays in the cache between two steps.
const CACHED: usize = 256 * 1024;

/// One or two joined activations.
#[derive(Debug, Clone, Copy)]
struct Joined {
    first: TensorId,
    second: Option<TensorId>,
}

impl Joined {
    fn parts(self) -> impl Iterator<Item = TensorId> {
        [Some(self.first), self.second].into_iter().flatten()
    }
}

impl From<TensorId> for Joined {
    fn from(first: TensorId) -> Self {
        Self { first, second: None }
    }
}

/// The network in layers.
pub(crate) struct Builder<'a> {
    architecture: &'a Architecture,
    set: InstructionSet,
    threads: usize,
    height: usize,
    width: usize,
    /// Items of what is being built.
    items: usize,
    images: usize,
    pub(crate) parameters: ParameterList,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) norms: Vec<Norm>,
    pub(crate) modulations: Vec<Modulation>,
    pub(crate) needs: Needs,
    pub(crate) space: SpaceNeeds,
    /// Lengths of the partial sums and of the scratch memory.
    pub(crate) partial_sums: usize,
    pub(crate) scratch: usize,
    steps: Vec<Step>,
}

/// The parts of a network.
pub(crate) struct Parts {
    pub(crate) encoder: Vec<Step>,
    pub(crate) mask_generator: Vec<Step>,
    pub(crate) decoder: Vec<Step>,
    /// Activations from `.0` on belong to the mask generator, from `.1` on to the decoder.
    pub(crate) first_tensors: (TensorId, TensorId),
    /// h_enc, and what the decoder reads of it.
    pub(crate) skips: Vec<(TensorId, TensorId)>,
    /// h_mid, and what the decoder reads of it.
    pub(crate) middle: (TensorId, TensorId),
    pub(crate) logits: TensorId,
    pub(crate) noise: TensorId,
}

/// What a convolution is made from.
struct Wanted {
    layout: Layout,
    method: Method,
    reads: Reads,
    norm: Option<usize>,
    adds: Adds,
    output: TensorId,
}

/// Offsets of weight and bias.
type Offsets = (usize, usize);

impl<'a> Builder<'a> {
    pub(crate) fn new(
        architecture: &'a Architecture,
        set: InstructionSet,
        height: usize,
        width: usize,
        images: usize,
        threads: usize,
    ) -> Self {
        Self {
            architecture,
            set,
            threads,
            height,
            width,
            items: images,
            images,
            parameters: ParameterList::default(),
            tensors: Vec::new(),
            norms: Vec::new(),
            modulations: Vec::new(),
            needs: Needs::default(),
            space: SpaceNeeds::default(),
            partial_sums: 0,
            scratch: 0,
            steps: Vec::new(),
        }
    }

    pub(crate) fn network(&mut self, classes: usize) -> Result<(Parts, Embedding), KernelError> {
        let architecture = self.architecture;
        let (base, levels) = (architecture.base_channels, architecture.levels());
        let embedding = self.embedding(classes);
        let conv_in = self.weights("encoder.conv_in", &[base, 3, 3, 3], base);
        let mut h = self.tensor(0, base);
        let layout = Layout {
            weight: conv_in.0,
            bias: conv_in.1,
            input_step: 9,
            output_step: 27,
            taps: 9,
            inputs: vec![0, 1, 2],
            outputs: self.positions(h.into()),
        };
        self.convolution(Wanted {
            layout,
            method: Method::Patches {
                kernel: 3,
                stride: 1,
                padding: 1,
            },
            reads: Reads::Image,
            norm: None,
            adds: Adds::Nothing,
            output: h,
        });
        let mut skips = vec![h];
        for level in 0..levels {
            for block in 0..architecture.residual_blocks {
                h = self.block(&format!("encoder.levels.{level}.blocks.{block}"), h.into(), level)?;
                skips.push(h);
            }
            if level + 1 < levels {
                h = self.downsample(&format!("encoder.levels.{level}.downsample"), h)?;
                skips.push(h);
            }
        }
        let channels = architecture.channels(levels - 1);
        h = self.residual("middle.residual_1", h.into(), channels, None)?;
        h = self.attention("middle.attention", h)?;
        h = self.residual("middle.residual_2", h.into(), channels, None)?;
        let middle = h;
        let encoder = std::mem::take(&mut self.steps);

        let first_mask = self.tensors.len();
        let logits = self.up_stack("mask_generator", middle, &skips, architecture.regions)?;
        let mask_generator = std::mem::take(&mut self.steps);

        let first_decoder = self.tensors.len();
        self.items = self.images * architecture.regions;
        let copies: Vec<TensorId> = skips.iter().map(|&skip| self.copy(skip)).collect();
        let middle_copy = self.copy(middle);
        let noise = self.up_stack("decoder", middle_copy, &copies, 3)?;
        let decoder = std::mem::take(&mut self.steps);
        let parts = Parts {
            encoder,
            mask_generator,
            decoder,
            first_tensors: (first_mask, first_decoder),
            skips: skips.into_iter().zip(copies).collect(),
            middle: (middle, middle_copy),
            logits,
            noise,
        };
        Ok((parts, embedding))
    }

    fn embedding(&mut self, classes: usize) -> Embedding {
        let base = self.architecture.base_channels;
        let wide = 4 * base;
        let linear_1 = self.linear("time_embedding.linear_1", base, wide);
        let linear_2 = self.linear("time_embedding.linear_2", wide, wide);
        let table = (classes > 0).then(|| {
            let rows = classes + 1;
            (
                self.parameters.add("class_embedding.weight".to_owned(), &[rows, wide]),
                rows,
            )
        });
        Embedding::new(linear_1, linear_2, table, self.images)
    }

    fn up_stack(
        &mut self,
        name: &str,
        middle: TensorId,
        skips: &[TensorId],
        outputs: usize,
    ) -> Result<TensorId, KernelError> {
        let mut skips = skips.to_vec();
        let mut h = middle;
        let levels = self.architecture.levels();
        for index in 0..levels {
            let level = levels - 1 - index;
            for block in 0..=self.architecture.residual_blocks {
                let joined = Joined {
                    first: h,
                    second: skips.pop(),
                };
                h = self.block(&format!("{name}.levels.{index}.blocks.{block}"), joined, level)?;
            }
            if level > 0 {
                h = self.upsample(&format!("{name}.levels.{index}.upsample"), h)?;
            }
        }
        let norm = self.norm(&format!("{name}.norm_out"), h.into(), true, None)?;
        let channels = self.channels(h.into());
        let offsets = self.weights(&format!("{name}.conv_out"), &[outputs, channels, 3, 3], outputs);
        let out = self.tensor(0, outputs);
        self.three_by_three(offsets, h.into(), false, Some(norm), Adds::Nothing, out);
        Ok(out)
    }

    fn block(&mut self, name: &str, input: Joined, level: usize) -> Result<TensorId, KernelError> {
        let channels = self.architecture.channels(level);
        let h = self.residual(&format!("{name}.residual"), input, channels, None)?;
        if self.architecture.attention_levels[level] {
            self.attention(&format!("{name}.attention"), h)
        } else {
            Ok(h)
        }
    }

    /// A residual block. One that changes the resolution has a single input and keeps its channels.
    fn residual(
        &mut self,
        name: &str,
        input: Joined,
        outputs: usize,
        resampling: Option<Resampling>,
    ) -> Result<TensorId, KernelError> {
        let inputs = self.channels(input);
        let level = self.tensors[input.first].level;
        let level = resampling.map_or(level, |resampling| resampling.level(level));
        // In the order in which a checkpoint's network lists them.
        let norm_1 = self.norm(&format!("{name}.norm_1"), input, true, None)?;
        let conv_1 = self.weights(&format!("{name}.conv_1"), &[outputs, inputs, 3, 3], outputs);
        let wide = 4 * self.architecture.base_channels;
        let linear = self.linear(&format!("{name}.embedding"), wide, 2 * outputs);
        self.modulations.push(Modulation {
            linear,
            output: vec![0.0; self.images * 2 * outputs],
            gradient: vec![0.0; self.images * 2 * outputs],
        });
        let modulation = self.modulations.len() - 1;
        let h = self.tensor(level, outputs);
        let norm_2 = self.norm(&format!("{name}.norm_2"), h.into(), true, Some(modulation))?;
        let conv_2 = self.weights(&format!("{name}.conv_2"), &[outputs, outputs, 3, 3], outputs);
        let output = self.tensor(level, outputs);
        let input = if let Some(resampling) = resampling {
            let activated = self.resample(resampling, input.first, Some(norm_1));
            let skip = self.resample(resampling, input.first, None);
            self.three_by_three(conv_1, activated.into(), false, None, Adds::Nothing, h);
            skip.into()
        } else {
            self.three_by_three(conv_1, input, false, Some(norm_1), Adds::Nothing, h);
            input
        };
        let adds = if inputs == outputs && input.second.is_none() {
            Adds::Tensor(input.first)
        } else {
            let (weight, bias) = self.weights(&format!("{name}.skip"), &[outputs, inputs, 1, 1], outputs);
            let layout = Layout {
                weight,
                bias,
                input_step: 1,
                output_step: inputs,
                taps: 1,
                inputs: self.positions(input),
                outputs: self.positions(output.into()),
            };
            self.convolution(Wanted {
                layout,
                method: POINTWISE,
                reads: reads(input, false),
                norm: None,
                adds: Adds::Nothing,
                output,
            });
            Adds::Output
        };
        self.three_by_three(conv_2, h.into(), false, Some(norm_2), adds, output);
        Ok(output)
    }

    fn attention(&mut self, name: &str, input: TensorId) -> Result<TensorId, KernelError> {
        let Tensor { level, channels, .. } = self.tensors[input];
        let heads = self.architecture.heads(channels);
        let (height, width) = self.size(level);
        let attention = Attention {
            heads,
            depth: channels / heads,
            positions: height * width,
        };
        let (depth, head_width) = (attention.depth, padded(attention.depth));
        let norm = self.norm(&format!("{name}.norm"), input.into(), false, None)?;
        let qkv = self.linear(&format!("{name}.qkv"), channels, 3 * channels);
        let project = self.linear(&format!("{name}.project"), channels, channels);
        self.needs.left = self.needs.left.max(attention.needs());

        // Stored by head, then query, key, value; here by query, key, value, then head, each padded.
        let projected = self.tensor(level, 3 * attention.channels());
        let outputs = (0..3 * attention.channels())
            .map(|position| {
                let (which, head, k) = (
                    position / attention.channels(),
                    position / head_width % heads,
                    position % head_width,
                );
                if k < depth {
                    (head * 3 * depth + which * depth + k) as u32
                } else {
                    NONE
                }
            })
            .collect();
        let inputs = self.positions(input.into());
        self.pointwise(qkv, inputs, outputs, input, Some(norm), Adds::Nothing, projected);
        let mixed = self.tensor(level, attention.channels());
        self.steps.push(Step::Attention {
            attention,
            input: projected,
            output: mixed,
        });
        let inputs = (0..attention.channels())
            .map(|position| {
                let (head, k) = (position / head_width, position % head_width);
                if k < depth { (head * depth + k) as u32 } else { NONE }
            })
            .collect();
        let output = self.tensor(level, channels);
        let outputs = self.positions(output.into());
        self.pointwise(project, inputs, outputs, mixed, None, Adds::Tensor(input), output);
        Ok(output)
    }

    #[allow(clippy::too_many_arguments)]
    fn pointwise(
        &mut self,
        linear: Linear,
        inputs: Vec<u32>,
        outputs: Vec<u32>,
        input: TensorId,
        norm: Option<usize>,
        adds: Adds,
        output: TensorId,
    ) {
        let layout = Layout {
            weight: linear.weight,
            bias: linear.bias,
            input_step: linear.outputs,
            output_step: 1,
            taps: 1,
            inputs,
            outputs,
        };
        self.convolution(Wanted {
            layout,
            method: POINTWISE,
            reads: reads(input.into(), false),
            norm,
            adds,
            output,
        });
    }

    fn resample(&mut self, resampling: Resampling, input: TensorId, norm: Option<usize>) -> TensorId {
        let Tensor {
            level, channels, width, ..
        } = self.tensors[input];
        let output = self.tensor(resampling.level(level), channels);
        let (lines, columns) = self.size(level);
        let item = lines * columns * width;
        let chunk = (CACHED / item).max(self.threads).min(self.items);
        if norm.is_some() {
            self.scratch = self.scratch.max(chunk * item);
        }
        self.steps.push(Step::Resample(ResampleStep {
            resampling,
            input,
            norm,
            output,
            chunk,
        }));
        output
    }

    fn downsample(&mut self, name: &str, input: TensorId) -> Result<TensorId, KernelError> {
        let Tensor { level, channels, .. } = self.tensors[input];
        if self.architecture.resblock_updown {
            let name = format!("{name}.residual");
            return self.residual(&name, input.into(), channels, Some(Resampling::Halve));
        }
        let offsets = self.weights(&format!("{name}.conv"), &[channels, channels, 3, 3], channels);
        let output = self.tensor(level + 1, channels);
        let layout = self.three_by_three_layout(offsets, input.into(), output);
        self.convolution(Wanted {
            layout,
            method: Method::Patches {
                kernel: 3,
                stride: 2,
                padding: 1,
            },
            reads: reads(input.into(), false),
            norm: None,
            adds: Adds::Nothing,
            output,
        });
        Ok(output)
    }

    fn upsample(&mut self, name: &str, input: TensorId) -> Result<TensorId, KernelError> {
        let Tensor { level, channels, .. } = self.tensors[input];
        if self.architecture.resblock_updown {
            let name = format!("{name}.residual");
            return self.residual(&name, input.into(), channels, Some(Resampling::Double));
        }
        let offsets = self.weights(&format!("{name}.conv"), &[channels, channels, 3, 3], channels);
        let output = self.tensor(level - 1, channels);
        self.three_by_three(offsets, input.into(), true, None, Adds::Nothing, output);
        Ok(output)
    }

    fn three_by_three_layout(&self, (weight, bias): Offsets, input: Joined, output: TensorId) -> Layout {
        Layout {
            weight,
            bias,
            input_step: 9,
            output_step: 9 * self.channels(input),
            taps: 9,
            inputs: self.positions(input),
            outputs: self.positions(output.into()),
        }
    }

    fn three_by_three(
        &mut self,
        offsets: Offsets,
        input: Joined,
        upsample: bool,
        norm: Option<usize>,
        adds: Adds,
        output: TensorId,
    ) {
        let layout = self.three_by_three_layout(offsets, input, output);
        let (height, width) = self.size(self.tensors[output].level);
        let tiles = |side: usize| height.div_ceil(side) * width.div_ceil(side);
        let side = if 36 * tiles(4) < 16 * tiles(2) { 4 } else { 2 };
        self.convolution(Wanted {
            layout,
            method: Method::Winograd(side),
            reads: reads(input, upsample),
            norm,
            adds,
            output,
        });
    }

    fn convolution(&mut self, wanted: Wanted) {
        let Wanted {
            layout,
            method,
            reads,
            norm,
            adds,
            output,
        } = wanted;
        let (inputs, outputs, items) = (layout.inputs.len(), layout.outputs.len(), self.items);
        let (height, width) = self.size(self.tensors[output].level);
        let convolution = Convolution::zeroed(self.set, Arithmetic::F32, method, inputs, outputs);
        // One thread's blocks, whatever the number of threads: the sums' order must not depend on it.
        let plan = |items: usize| {
            let most = if method.side() == 1 { 96 } else { 32 };
            Tiling::new(items, height, width, method.side(), most)
        };
        let tiling = plan(items);
        let gradient_tiling = weight_gradient::tiling(&convolution, items, height, width);
        self.needs = self.needs.join(convolution.needs(&tiling));
        self.needs = self.needs.join(convolution.needs(&gradient_tiling));
        self.space = self.space.join(SpaceNeeds::of(&convolution, &gradient_tiling));
        self.partial_sums = self
            .partial_sums
            .max(tiling.rectangles(items).len() * 2 * outputs)
            .max(items * outputs);
        let backward = match reads {
            Reads::Image => Backward::Nothing,
            Reads::Activations {
                first,
                second,
                upsample,
            } => match method {
                Method::Patches { stride: 2, .. } => {
                    self.scratch = self.scratch.max(items * height * width * 9 * inputs);
                    Backward::Strided(PackedMatrix::zeroed(self.set, 1, outputs, 9 * inputs))
                }
                _ if norm.is_none() && !upsample => {
                    let parts = [Some(first), second]
                        .into_iter()
                        .flatten()
                        .map(|tensor| {
                            Convolution::zeroed(self.set, Arithmetic::F32, method, outputs, self.tensors[tensor].width)
                        })
                        .collect::<Vec<_>>();
                    for part in &parts {
                        self.needs = self.needs.join(part.needs(&tiling));
                    }
                    Backward::Parts(parts, tiling.clone())
                }
                _ => {
                    let turned = Convolution::zeroed(self.set, Arithmetic::F32, method, outputs, inputs);
                    let item = height * width * inputs;
                    let chunk = (CACHED / item).max(self.threads).min(items);
                    let tiling = plan(chunk);
                    self.needs = self.needs.join(turned.needs(&tiling));
                    self.scratch = self.scratch.max(chunk * item);
                    Backward::Whole(turned, tiling, chunk)
                }
            },
        };
        self.steps.push(Step::Convolution(Box::new(ConvolutionStep {
            layout,
            convolution,
            tiling,
            backward,
            gradient_tiling,
            reads,
            norm,
            adds,
            output,
        })));
    }

    fn norm(
        &mut self,
        name: &str,
        input: Joined,
        activate: bool,
        modulation: Option<usize>,
    ) -> Result<usize, KernelError> {
        let (channels, groups) = (self.channels(input), self.architecture.norm_groups);
        if !channels.is_multiple_of(groups) {
            return Err(KernelError::Size(format!(
                "`{name}` has {channels} channels, which do not divide into {groups} norm_groups"
            )));
        }
        let gamma = self.parameters.add(format!("{name}.gamma"), &[channels]);
        let beta = self.parameters.add(format!("{name}.beta"), &[channels]);
        let (mut counts, mut widths) = ([0; 2], [0; 2]);
        for (index, part) in input.parts().enumerate() {
            let tensor = &mut self.tensors[part];
            tensor.summed = true;
            (counts[index], widths[index]) = (tensor.channels, tensor.width);
        }
        self.partial_sums = self.partial_sums.max(self.items * 2 * (widths[0] + widths[1]));
        self.norms.push(Norm::new(
            gamma, beta, groups, counts, widths, activate, modulation, self.items,
        ));
        Ok(self.norms.len() - 1)
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Linear {
        let (weight, bias) = self.weights(name, &[inputs, outputs], outputs);
        Linear {
            weight,
            bias,
            inputs,
            outputs,
        }
    }

    fn weights(&mut self, name: &str, shape: &[usize], outputs: usize) -> Offsets {
        (
            self.parameters.add(format!("{name}.weight"), shape),
            self.parameters.add(format!("{name}.bias"), &[outputs]),
        )
    }

    fn tensor(&mut self, level: usize, channels: usize) -> TensorId {
        self.tensors.push(Tensor {
            level,
            channels,
            width: padded(channels),
            items: self.items,
            summed: false,
        });
        self.tensors.len() - 1
    }

    fn copy(&mut self, tensor: TensorId) -> TensorId {
        let Tensor { level, channels, .. } = self.tensors[tensor];
        self.tensor(level, channels)
    }

    fn size(&self, level: usize) -> (usize, usize) {
        (self.height >> level, self.width >> level)
    }

    fn channels(&self, joined: Joined) -> usize {
        joined.parts().map(|part| self.tensors[part].channels).sum()
    }

    /// The channel at each padded position of joined activations.
    fn positions(&self, joined: Joined) -> Vec<u32> {
        let mut positions = Vec::new();
        let mut channel = 0;
        for part in joined.parts() {
            let tensor = self.tensors[part];
            positions.extend((0..tensor.width).map(|i| {
                if i < tensor.channels {
                    (channel + i) as u32
                } else {
                    NONE
                }
            }));
            channel += tensor.channels;
        }
        positions
    }
}

fn reads(input: Joined, upsample: bool) -> Reads {
    Reads::Activations {
        first: input.first,
        second: input.second,
        upsample,
    }
}
