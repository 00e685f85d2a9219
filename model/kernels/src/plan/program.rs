//! From the network's definition to a list of steps over numbered activations.

use super::architecture::Architecture;
use super::weights::{Weights, scale_and_shift};
use crate::KernelError;
use crate::attention::Attention;
use crate::convolution::{Convolution, Kernel, Method};
use crate::normalisation::GroupNorm;
use crate::operands::{Adds, Reads, TensorId};
use crate::resample::Resampling;
use crate::simd::{Arithmetic, InstructionSet, padded};

/// One activation of the network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor {
    /// Halvings of the input's size.
    pub(crate) level: usize,
    /// Channels with their padding.
    pub(crate) width: usize,
    /// Channels without.
    channels: usize,
    /// Whether something normalises it, so that its sums are wanted.
    pub(crate) summed: bool,
}

/// One step of a pass.
pub(crate) enum Step {
    Convolution {
        name: String,
        convolution: Convolution,
        reads: Reads,
        /// Index of the normalisation applied while loading, and whether SiLU follows.
        norm: Option<(usize, bool)>,
        adds: Adds,
        output: TensorId,
    },
    Attention {
        name: String,
        attention: Attention,
        input: TensorId,
        output: TensorId,
    },
    Resample {
        name: String,
        resampling: Resampling,
        input: TensorId,
        /// As for a convolution.
        norm: Option<(usize, bool)>,
        output: TensorId,
    },
    /// Region probabilities of the logits, the last step.
    Softmax { logits: TensorId },
}

impl Step {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Convolution { name, .. } | Self::Attention { name, .. } | Self::Resample { name, .. } => name,
            Self::Softmax { .. } => "softmax",
        }
    }

    /// Every activation that the step reads or writes.
    pub(crate) fn tensors(&self) -> Vec<TensorId> {
        match self {
            Self::Convolution {
                reads, adds, output, ..
            } => {
                let mut tensors = vec![*output];
                if let Reads::Activations { first, second, .. } = reads {
                    tensors.push(*first);
                    tensors.extend(*second);
                }
                if let Adds::Tensor(tensor) = adds {
                    tensors.push(*tensor);
                }
                tensors
            }
            Self::Attention { input, output, .. } | Self::Resample { input, output, .. } => vec![*input, *output],
            Self::Softmax { logits } => vec![*logits],
        }
    }
}

/// A normalisation whose scale and shift depend on the embedding, to fold it anew.
#[derive(Debug, Clone)]
pub(crate) struct Conditioned {
    /// Index of the normalisation.
    norm: usize,
    block: String,
}

/// The steps, the activations that they use, and all packed weights. Independent of the image's size, except that the
/// methods of the convolutions were chosen for one.
pub(crate) struct Program {
    pub(crate) set: InstructionSet,
    pub(crate) steps: Vec<Step>,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) conditioned: Vec<Conditioned>,
}

/// The sizes that a program is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) batch: usize,
}

struct Builder<'a, 'w, 'f> {
    architecture: &'a Architecture,
    weights: &'a Weights<'w, 'f>,
    embedding: &'a [f32],
    extent: Extent,
    arithmetic: Arithmetic,
    program: Program,
    norms: Vec<GroupNorm>,
}

/// Compiles the segmentation pass: encoder, middle block, mask generator, softmax.
pub(crate) fn compile(
    architecture: &Architecture,
    weights: &Weights<'_, '_>,
    embedding: &[f32],
    extent: Extent,
    set: InstructionSet,
    arithmetic: Arithmetic,
) -> Result<(Program, Vec<GroupNorm>), KernelError> {
    let program = Program {
        set,
        steps: Vec::new(),
        tensors: Vec::new(),
        conditioned: Vec::new(),
    };
    let mut builder = Builder {
        architecture,
        weights,
        embedding,
        extent,
        arithmetic,
        program,
        norms: Vec::new(),
    };
    builder.network()?;
    Ok((builder.program, builder.norms))
}

/// Folds another embedding into the normalisations.
pub(crate) fn fold_embedding(
    program: &Program,
    norms: &mut [GroupNorm],
    weights: &Weights<'_, '_>,
    embedding: &[f32],
) -> Result<(), KernelError> {
    let mut folded = Vec::with_capacity(program.conditioned.len());
    for conditioned in &program.conditioned {
        let channels = norms[conditioned.norm].gamma.len();
        folded.push(conditioned_affine(weights, &conditioned.block, embedding, channels)?);
    }
    for (conditioned, (gamma, beta)) in program.conditioned.iter().zip(folded) {
        let norm = &mut norms[conditioned.norm];
        (norm.gamma, norm.beta) = (gamma, beta);
    }
    Ok(())
}

/// gamma and beta of a block's second normalisation with (1 + scale) and shift folded in.
fn conditioned_affine(
    weights: &Weights<'_, '_>,
    block: &str,
    embedding: &[f32],
    channels: usize,
) -> Result<(Vec<f32>, Vec<f32>), KernelError> {
    let gamma = weights.get(&format!("{block}.norm_2.gamma"), &[channels])?;
    let beta = weights.get(&format!("{block}.norm_2.beta"), &[channels])?;
    let (scale, shift) = scale_and_shift(weights, block, embedding, channels)?;
    let folded_gamma = gamma
        .iter()
        .zip(&scale)
        .map(|(gamma, scale)| gamma * (1.0 + scale))
        .collect();
    let folded_beta = beta
        .iter()
        .zip(scale.iter().zip(&shift))
        .map(|(beta, (scale, shift))| beta * (1.0 + scale) + shift)
        .collect();
    Ok((folded_gamma, folded_beta))
}

/// One or two joined activations.
#[derive(Debug, Clone, Copy)]
struct Joined {
    first: TensorId,
    second: Option<TensorId>,
}

impl From<TensorId> for Joined {
    fn from(first: TensorId) -> Self {
        Self { first, second: None }
    }
}

impl Builder<'_, '_, '_> {
    fn network(&mut self) -> Result<(), KernelError> {
        let architecture = self.architecture;
        let levels = architecture.levels();
        let mut h = self.conv_in()?;
        let mut skips = vec![h];
        for level in 0..levels {
            for block in 0..architecture.residual_blocks {
                let name = format!("encoder.levels.{level}.blocks.{block}");
                h = self.block(&name, h.into(), level)?;
                skips.push(h);
            }
            if level + 1 < levels {
                h = self.downsample(&format!("encoder.levels.{level}.downsample"), h)?;
                skips.push(h);
            }
        }
        h = self.residual("middle.residual_1", h.into(), architecture.channels(levels - 1), None)?;
        h = self.attention("middle.attention", h)?;
        h = self.residual("middle.residual_2", h.into(), architecture.channels(levels - 1), None)?;
        for index in 0..levels {
            let level = levels - 1 - index;
            for block in 0..=architecture.residual_blocks {
                let name = format!("mask_generator.levels.{index}.blocks.{block}");
                let joined = Joined {
                    first: h,
                    second: skips.pop(),
                };
                h = self.block(&name, joined, level)?;
            }
            if level > 0 {
                h = self.upsample(&format!("mask_generator.levels.{index}.upsample"), h)?;
            }
        }
        let norm = self.norm("mask_generator.norm_out", h.into())?;
        let logits = self.three_by_three(
            "mask_generator.conv_out",
            h.into(),
            Some((norm, true)),
            architecture.regions,
        )?;
        self.program.steps.push(Step::Softmax { logits });
        Ok(())
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

    fn tensor(&mut self, level: usize, channels: usize) -> TensorId {
        self.program.tensors.push(Tensor {
            level,
            width: padded(channels),
            channels,
            summed: false,
        });
        self.program.tensors.len() - 1
    }

    fn channels(&self, joined: Joined) -> usize {
        let count = |tensor: TensorId| self.program.tensors[tensor].channels;
        count(joined.first) + joined.second.map_or(0, count)
    }

    fn width(&self, joined: Joined) -> usize {
        let width = |tensor: TensorId| self.program.tensors[tensor].width;
        width(joined.first) + joined.second.map_or(0, width)
    }

    /// The channel at each padded position of joined activations.
    fn positions(&self, joined: Joined) -> Vec<Option<usize>> {
        let mut positions = Vec::new();
        let mut channel = 0;
        for tensor in [Some(joined.first), joined.second].into_iter().flatten() {
            let tensor = self.program.tensors[tensor];
            positions.extend((0..tensor.width).map(|i| (i < tensor.channels).then_some(channel + i)));
            channel += tensor.channels;
        }
        positions
    }

    fn level_of(&self, tensor: TensorId) -> usize {
        self.program.tensors[tensor].level
    }

    fn add_norm(&mut self, joined: Joined, gamma: Vec<f32>, beta: Vec<f32>) -> usize {
        for tensor in [Some(joined.first), joined.second].into_iter().flatten() {
            self.program.tensors[tensor].summed = true;
        }
        let first = self.program.tensors[joined.first].channels;
        self.norms.push(GroupNorm {
            groups: self.architecture.norm_groups,
            gamma,
            beta,
            first,
        });
        self.norms.len() - 1
    }

    fn norm(&mut self, name: &str, joined: Joined) -> Result<usize, KernelError> {
        let channels = self.channels(joined);
        if !channels.is_multiple_of(self.architecture.norm_groups) {
            return Err(KernelError::Size(format!(
                "`{name}` has {channels} channels, which do not divide into {} norm_groups",
                self.architecture.norm_groups
            )));
        }
        let gamma = self.weights.get(&format!("{name}.gamma"), &[channels])?.to_vec();
        let beta = self.weights.get(&format!("{name}.beta"), &[channels])?.to_vec();
        Ok(self.add_norm(joined, gamma, beta))
    }

    fn conv_in(&mut self) -> Result<TensorId, KernelError> {
        let name = "encoder.conv_in";
        let outputs = self.architecture.base_channels;
        let weight = self.weights.get(&format!("{name}.weight"), &[outputs, 3, 3, 3])?;
        let bias = self.weights.get(&format!("{name}.bias"), &[outputs])?;
        let convolution = Convolution::pack(
            self.program.set,
            Arithmetic::F32,
            Method::Patches {
                kernel: 3,
                stride: 1,
                padding: 1,
            },
            &Kernel {
                inputs: 3,
                outputs,
                value: &|output, input, ky, kx| weight[(output * 3 + input) * 9 + ky * 3 + kx],
                bias: &|output| bias[output],
            },
        );
        let output = self.tensor(0, outputs);
        self.program.steps.push(Step::Convolution {
            name: name.to_owned(),
            convolution,
            reads: Reads::Image,
            norm: None,
            adds: Adds::Nothing,
            output,
        });
        Ok(output)
    }

    /// Packs a convolution [outputs, inputs, side, side] for joined inputs.
    fn pack(
        &self,
        name: &str,
        method: Method,
        joined: Joined,
        side: usize,
        outputs: usize,
    ) -> Result<Convolution, KernelError> {
        let inputs = self.channels(joined);
        let weight = self
            .weights
            .get(&format!("{name}.weight"), &[outputs, inputs, side, side])?;
        let bias = self.weights.get(&format!("{name}.bias"), &[outputs])?;
        let positions = self.positions(joined);
        let kernel = Kernel {
            inputs: self.width(joined),
            outputs,
            value: &|output, input, ky, kx| {
                positions[input].map_or(0.0, |input| weight[((output * inputs + input) * side + ky) * side + kx])
            },
            bias: &|output| bias[output],
        };
        Ok(Convolution::pack(self.program.set, self.arithmetic, method, &kernel))
    }

    /// A 3x3 convolution at the input's size.
    fn three_by_three(
        &mut self,
        name: &str,
        joined: Joined,
        norm: Option<(usize, bool)>,
        outputs: usize,
    ) -> Result<TensorId, KernelError> {
        let level = self.level_of(joined.first);
        let output = self.tensor(level, outputs);
        self.three_by_three_into(name, joined, norm, outputs, output, Adds::Nothing)?;
        Ok(output)
    }

    fn three_by_three_into(
        &mut self,
        name: &str,
        joined: Joined,
        norm: Option<(usize, bool)>,
        outputs: usize,
        output: TensorId,
        adds: Adds,
    ) -> Result<(), KernelError> {
        let level = self.level_of(output);
        let method = winograd(self.extent, level);
        let convolution = self.pack(name, method, joined, 3, outputs)?;
        let upsample = self.level_of(joined.first) != level;
        self.program.steps.push(Step::Convolution {
            name: name.to_owned(),
            convolution,
            reads: Reads::Activations {
                first: joined.first,
                second: joined.second,
                upsample,
            },
            norm,
            adds,
            output,
        });
        Ok(())
    }

    /// A residual block. One that changes the resolution has a single input and keeps its channels.
    fn residual(
        &mut self,
        name: &str,
        input: Joined,
        outputs: usize,
        resampling: Option<Resampling>,
    ) -> Result<TensorId, KernelError> {
        let norm_1 = (self.norm(&format!("{name}.norm_1"), input)?, true);
        let conv_1 = format!("{name}.conv_1");
        let (h, input) = if let Some(resampling) = resampling {
            let activated = self.resample(name, resampling, input.first, Some(norm_1));
            let skip = self.resample(name, resampling, input.first, None);
            (
                self.three_by_three(&conv_1, activated.into(), None, outputs)?,
                skip.into(),
            )
        } else {
            (self.three_by_three(&conv_1, input, Some(norm_1), outputs)?, input)
        };
        let level = self.level_of(h);
        let (gamma, beta) = conditioned_affine(self.weights, name, self.embedding, outputs)?;
        let norm_2 = self.add_norm(h.into(), gamma, beta);
        self.program.conditioned.push(Conditioned {
            norm: norm_2,
            block: name.to_owned(),
        });
        let output = self.tensor(level, outputs);
        let adds = if self.channels(input) == outputs && input.second.is_none() {
            Adds::Tensor(input.first)
        } else {
            let skip = format!("{name}.skip");
            let method = Method::Patches {
                kernel: 1,
                stride: 1,
                padding: 0,
            };
            let convolution = self.pack(&skip, method, input, 1, outputs)?;
            self.program.steps.push(Step::Convolution {
                name: skip,
                convolution,
                reads: Reads::Activations {
                    first: input.first,
                    second: input.second,
                    upsample: false,
                },
                norm: None,
                adds: Adds::Nothing,
                output,
            });
            Adds::Output
        };
        self.three_by_three_into(
            &format!("{name}.conv_2"),
            h.into(),
            Some((norm_2, true)),
            outputs,
            output,
            adds,
        )?;
        Ok(output)
    }

    fn resample(
        &mut self,
        block: &str,
        resampling: Resampling,
        input: TensorId,
        norm: Option<(usize, bool)>,
    ) -> TensorId {
        let Tensor { level, channels, .. } = self.program.tensors[input];
        let output = self.tensor(resampling.level(level), channels);
        self.program.steps.push(Step::Resample {
            name: format!("{block}.resample"),
            resampling,
            input,
            norm,
            output,
        });
        output
    }

    fn downsample(&mut self, name: &str, input: TensorId) -> Result<TensorId, KernelError> {
        let Tensor { level, channels, .. } = self.program.tensors[input];
        if self.architecture.resblock_updown {
            let name = format!("{name}.residual");
            return self.residual(&name, input.into(), channels, Some(Resampling::Halve));
        }
        let name = format!("{name}.conv");
        let method = Method::Patches {
            kernel: 3,
            stride: 2,
            padding: 1,
        };
        let convolution = self.pack(&name, method, input.into(), 3, channels)?;
        let output = self.tensor(level + 1, channels);
        self.program.steps.push(Step::Convolution {
            name,
            convolution,
            reads: Reads::Activations {
                first: input,
                second: None,
                upsample: false,
            },
            norm: None,
            adds: Adds::Nothing,
            output,
        });
        Ok(output)
    }

    fn upsample(&mut self, name: &str, input: TensorId) -> Result<TensorId, KernelError> {
        let Tensor { level, channels, .. } = self.program.tensors[input];
        if self.architecture.resblock_updown {
            let name = format!("{name}.residual");
            return self.residual(&name, input.into(), channels, Some(Resampling::Double));
        }
        let name = format!("{name}.conv");
        let output = self.tensor(level - 1, channels);
        self.three_by_three_into(&name, input.into(), None, channels, output, Adds::Nothing)?;
        Ok(output)
    }

    fn attention(&mut self, name: &str, input: TensorId) -> Result<TensorId, KernelError> {
        let Tensor {
            level, channels, width, ..
        } = self.program.tensors[input];
        let heads = self.architecture.heads(channels);
        let attention = Attention {
            heads,
            depth: channels / heads,
        };
        let (depth, head_width) = (attention.depth, padded(attention.depth));
        let norm = self.norm(&format!("{name}.norm"), input.into())?;

        // Stored by head, then query, key, value; here by query, key, value, then head, each padded.
        let weight = self
            .weights
            .get(&format!("{name}.qkv.weight"), &[channels, 3 * channels])?;
        let bias = self.weights.get(&format!("{name}.qkv.bias"), &[3 * channels])?;
        let query_scale = 1.0 / (depth as f32).sqrt();
        let column = |output: usize| {
            let (which, head, k) = (
                output / (heads * head_width),
                output / head_width % heads,
                output % head_width,
            );
            let scale = if which == 0 { query_scale } else { 1.0 };
            (k < depth).then_some((head * 3 * depth + which * depth + k, scale))
        };
        let linear = Method::Patches {
            kernel: 1,
            stride: 1,
            padding: 0,
        };
        let qkv = Convolution::pack(
            self.program.set,
            self.arithmetic,
            linear,
            &Kernel {
                inputs: width,
                outputs: 3 * attention.channels(),
                value: &|output, input, _, _| match column(output) {
                    Some((output, scale)) if input < channels => weight[input * 3 * channels + output] * scale,
                    _ => 0.0,
                },
                bias: &|output| column(output).map_or(0.0, |(output, scale)| bias[output] * scale),
            },
        );
        let projected = self.tensor(level, 3 * attention.channels());
        self.program.steps.push(Step::Convolution {
            name: format!("{name}.qkv"),
            convolution: qkv,
            reads: Reads::Activations {
                first: input,
                second: None,
                upsample: false,
            },
            norm: Some((norm, false)),
            adds: Adds::Nothing,
            output: projected,
        });

        let mixed = self.tensor(level, attention.channels());
        self.program.steps.push(Step::Attention {
            name: name.to_owned(),
            attention,
            input: projected,
            output: mixed,
        });

        let weight = self
            .weights
            .get(&format!("{name}.project.weight"), &[channels, channels])?;
        let bias = self.weights.get(&format!("{name}.project.bias"), &[channels])?;
        let project = Convolution::pack(
            self.program.set,
            self.arithmetic,
            linear,
            &Kernel {
                inputs: attention.channels(),
                outputs: channels,
                value: &|output, input, _, _| {
                    let (head, k) = (input / head_width, input % head_width);
                    if k < depth {
                        weight[(head * depth + k) * channels + output]
                    } else {
                        0.0
                    }
                },
                bias: &|output| bias[output],
            },
        );
        let output = self.tensor(level, channels);
        self.program.steps.push(Step::Convolution {
            name: format!("{name}.project"),
            convolution: project,
            reads: Reads::Activations {
                first: mixed,
                second: None,
                upsample: false,
            },
            norm: None,
            adds: Adds::Tensor(input),
            output,
        });
        Ok(output)
    }
}

/// Chooses the tile of a 3x3 convolution by what it costs for each pair of channels: the products, and reading the
/// weights once from memory. Few tiles make F(4x4) wait for its 2.25 times larger weights.
fn winograd(extent: Extent, level: usize) -> Method {
    let (height, width) = (extent.height >> level, extent.width >> level);
    let cost = |side: usize| {
        let points = ((side + 2) * (side + 2)) as f64;
        let tiles = (extent.batch * height.div_ceil(side) * width.div_ceil(side)) as f64;
        // In multiplications; one read weight takes as long as about 15 of them.
        points * (tiles + 15.0)
    };
    Method::Winograd(if cost(4) < cost(2) { 4 } else { 2 })
}
