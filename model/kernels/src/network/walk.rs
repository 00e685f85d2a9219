//! The one walk over the network: Figure 2 of the paper from the embedding to both up-stacks, layer by layer.
//!
//! Parameters are listed in the order in which a checkpoint's network has them, layers in that of a pass; inside of
//! a residual block the two differ.

use super::architecture::Architecture;
use super::layers::{
    Adds, AttentionLayer, ConvolutionLayer, EmbeddingLayers, Joined, Joints, Layer, Layout, LinearLayer, NONE, Network,
    NormId, NormLayer, Reads, ResampleLayer, Tensor, TensorId, Weights,
};
use super::parameters::{Parameter, ParameterList};
use crate::attention::Attention;
use crate::resample::Resampling;
use crate::simd::padded;

/// What has been listed so far.
struct Walk<'a> {
    architecture: &'a Architecture,
    parameters: ParameterList,
    tensors: Vec<Tensor>,
    norms: Vec<NormLayer>,
    /// Of the part under way.
    layers: Vec<Layer>,
}

impl Network {
    /// The network of an architecture that has been validated.
    pub(crate) fn new(architecture: &Architecture) -> Self {
        let mut walk = Walk {
            architecture,
            parameters: ParameterList::default(),
            tensors: Vec::new(),
            norms: Vec::new(),
            layers: Vec::new(),
        };
        let embedding = walk.embedding();
        let (middle, skips) = walk.encoder();
        let encoder = std::mem::take(&mut walk.layers);

        let first_mask = walk.tensors.len();
        let logits = walk.up_stack("mask_generator", middle, skips.clone(), architecture.regions);
        let mask_generator = std::mem::take(&mut walk.layers);

        let first_decoder = walk.tensors.len();
        let decoder_parameters = walk.parameters.0.len();
        // The decoder's branches see h_enc under their masks: activations of their own.
        let masked: Vec<TensorId> = skips.iter().map(|&skip| walk.same_size(skip)).collect();
        let middle_copy = walk.same_size(middle);
        let noise = walk.up_stack("decoder", middle_copy, masked.clone(), 3);
        Self {
            parameters: walk.parameters.0,
            decoder_parameters,
            tensors: walk.tensors,
            norms: walk.norms,
            embedding,
            encoder,
            mask_generator,
            decoder: walk.layers,
            joints: Joints {
                first_mask,
                first_decoder,
                skips: skips.into_iter().zip(masked).collect(),
                middle: (middle, middle_copy),
                logits,
                noise,
            },
        }
    }
}

impl Architecture {
    /// The parameters of the whole network in the order of a checkpoint: time and class embedding, encoder, middle block,
    /// mask generator, decoder. Empty for sizes that [`Self::validate`] refuses.
    pub fn parameters(&self) -> Vec<Parameter> {
        match self.validate() {
            Ok(()) => Network::new(self).parameters,
            Err(_) => Vec::new(),
        }
    }
}

/// The network.
impl Walk<'_> {
    fn embedding(&mut self) -> EmbeddingLayers {
        let (base, wide) = (self.architecture.base_channels, self.architecture.embedding_channels());
        EmbeddingLayers {
            linear_1: self.linear("time_embedding.linear_1", base, wide),
            linear_2: self.linear("time_embedding.linear_2", wide, wide),
            classes: (self.architecture.classes > 0).then(|| {
                let rows = self.architecture.classes + 1;
                self.parameters.add("class_embedding.weight".to_owned(), &[rows, wide])
            }),
        }
    }

    /// Encoder and middle block: h_mid and h_enc.
    fn encoder(&mut self) -> (TensorId, Vec<TensorId>) {
        let architecture = self.architecture;
        let levels = architecture.levels();
        let mut h = self.conv_in();
        let mut skips = vec![h];
        for level in 0..levels {
            for block in 0..architecture.residual_blocks {
                h = self.block(&format!("encoder.levels.{level}.blocks.{block}"), h.into(), level);
                skips.push(h);
            }
            if level + 1 < levels {
                h = self.downsample(&format!("encoder.levels.{level}.downsample"), h);
                skips.push(h);
            }
        }
        let channels = architecture.channels(levels - 1);
        h = self.residual("middle.residual_1", h.into(), channels, None);
        h = self.attention("middle.attention", h);
        h = self.residual("middle.residual_2", h.into(), channels, None);
        (h, skips)
    }

    /// Mask generator or decoder: `outputs` channels at the image's size.
    fn up_stack(&mut self, name: &str, middle: TensorId, mut skips: Vec<TensorId>, outputs: usize) -> TensorId {
        let mut h = middle;
        let levels = self.architecture.levels();
        for index in 0..levels {
            let level = levels - 1 - index;
            for block in 0..=self.architecture.residual_blocks {
                let joined = Joined {
                    first: h,
                    second: skips.pop(),
                };
                h = self.block(&format!("{name}.levels.{index}.blocks.{block}"), joined, level);
            }
            if level > 0 {
                h = self.upsample(&format!("{name}.levels.{index}.upsample"), h);
            }
        }
        let norm = self.norm(&format!("{name}.norm_out"), h.into(), true, None);
        let conv_out = self.filters(&format!("{name}.conv_out"), self.tensors[h].channels, outputs, 3);
        let out = self.tensor(0, outputs);
        self.convolve(conv_out, 3, h.into(), Some(norm), Adds::Nothing, out);
        out
    }

    fn block(&mut self, name: &str, input: Joined, level: usize) -> TensorId {
        let channels = self.architecture.channels(level);
        let h = self.residual(&format!("{name}.residual"), input, channels, None);
        if self.architecture.attention_levels[level] {
            self.attention(&format!("{name}.attention"), h)
        } else {
            h
        }
    }

    /// A residual block. One that changes the resolution has a single input and keeps its channels.
    fn residual(&mut self, name: &str, input: Joined, outputs: usize, resampling: Option<Resampling>) -> TensorId {
        let inputs = self.channels(input);
        let level = self.tensors[input.first].level;
        let level = resampling.map_or(level, |resampling| resampling.level(level));
        let plain = inputs == outputs && input.second.is_none();
        let norm_1 = self.norm(&format!("{name}.norm_1"), input, true, None);
        let conv_1 = self.filters(&format!("{name}.conv_1"), inputs, outputs, 3);
        let wide = self.architecture.embedding_channels();
        let embedding = self.linear(&format!("{name}.embedding"), wide, 2 * outputs);
        let h = self.tensor(level, outputs);
        let norm_2 = self.norm(&format!("{name}.norm_2"), h.into(), true, Some(embedding));
        let conv_2 = self.filters(&format!("{name}.conv_2"), outputs, outputs, 3);
        let skip = (!plain).then(|| self.filters(&format!("{name}.skip"), inputs, outputs, 1));

        let input = if let Some(resampling) = resampling {
            let activated = self.resample(name, resampling, input.first, Some(norm_1));
            let input = self.resample(name, resampling, input.first, None);
            self.convolve(conv_1, 3, activated.into(), None, Adds::Nothing, h);
            input.into()
        } else {
            self.convolve(conv_1, 3, input, Some(norm_1), Adds::Nothing, h);
            input
        };
        let output = self.tensor(level, outputs);
        let adds = if let Some(skip) = skip {
            self.convolve(skip, 1, input, None, Adds::Nothing, output);
            Adds::Output
        } else {
            Adds::Tensor(input.first)
        };
        self.convolve(conv_2, 3, h.into(), Some(norm_2), adds, output);
        output
    }

    fn attention(&mut self, name: &str, input: TensorId) -> TensorId {
        let Tensor { level, channels, .. } = self.tensors[input];
        let heads = self.architecture.heads(channels);
        let attention = Attention {
            heads,
            depth: channels / heads,
        };
        let (depth, head_width, width) = (attention.depth, padded(attention.depth), attention.channels());
        let norm = self.norm(&format!("{name}.norm"), input.into(), false, None);
        let qkv = self.linear(&format!("{name}.qkv"), channels, 3 * channels);
        let project = self.linear(&format!("{name}.project"), channels, channels);
        let channel = |present: bool, channel: usize| if present { channel as u32 } else { NONE };

        // Stored by head, then query, key, value; here by query, key, value, then head, each padded.
        let projected = self.tensor(level, 3 * width);
        let outputs = (0..3 * width).map(|position| {
            let (which, head, k) = (position / width, position / head_width % heads, position % head_width);
            channel(k < depth, (head * 3 + which) * depth + k)
        });
        let inputs = self.positions(input.into());
        self.project(qkv, inputs, outputs.collect(), input, projected, |layer| {
            layer.norm = Some(norm);
            layer.projects = Some(attention);
        });
        let mixed = self.tensor(level, width);
        self.layers.push(Layer::Attention(AttentionLayer {
            name: name.to_owned(),
            attention,
            input: projected,
            output: mixed,
        }));
        let inputs = (0..width).map(|position| {
            let (head, k) = (position / head_width, position % head_width);
            channel(k < depth, head * depth + k)
        });
        let output = self.tensor(level, channels);
        let outputs = self.positions(output.into());
        self.project(project, inputs.collect(), outputs, mixed, output, |layer| {
            layer.adds = Adds::Tensor(input);
        });
        output
    }

    fn downsample(&mut self, name: &str, input: TensorId) -> TensorId {
        let Tensor { level, channels, .. } = self.tensors[input];
        if self.architecture.resblock_updown {
            return self.residual(
                &format!("{name}.residual"),
                input.into(),
                channels,
                Some(Resampling::Halve),
            );
        }
        let conv = self.filters(&format!("{name}.conv"), channels, channels, 3);
        let output = self.tensor(level + 1, channels);
        self.convolve(conv, 3, input.into(), None, Adds::Nothing, output);
        output
    }

    fn upsample(&mut self, name: &str, input: TensorId) -> TensorId {
        let Tensor { level, channels, .. } = self.tensors[input];
        if self.architecture.resblock_updown {
            return self.residual(
                &format!("{name}.residual"),
                input.into(),
                channels,
                Some(Resampling::Double),
            );
        }
        let conv = self.filters(&format!("{name}.conv"), channels, channels, 3);
        let output = self.tensor(level - 1, channels);
        self.convolve(conv, 3, input.into(), None, Adds::Nothing, output);
        output
    }
}

/// Its layers.
impl Walk<'_> {
    fn conv_in(&mut self) -> TensorId {
        let channels = self.architecture.base_channels;
        let weights = self.filters("encoder.conv_in", 3, channels, 3);
        let output = self.tensor(0, channels);
        self.layers.push(Layer::Convolution(ConvolutionLayer {
            weights,
            layout: Layout {
                input_step: 9,
                output_step: 27,
                taps: 9,
                inputs: vec![0, 1, 2],
                outputs: self.positions(output.into()),
            },
            kernel: 3,
            stride: 1,
            reads: Reads::Image,
            norm: None,
            projects: None,
            adds: Adds::Nothing,
            output,
        }));
        output
    }

    /// A convolution to a new size, if the output's level is another one than the input's.
    fn convolve(
        &mut self,
        weights: Weights,
        kernel: usize,
        input: Joined,
        norm: Option<NormId>,
        adds: Adds,
        output: TensorId,
    ) {
        let (from, to) = (self.tensors[input.first].level, self.tensors[output].level);
        let taps = kernel * kernel;
        self.layers.push(Layer::Convolution(ConvolutionLayer {
            weights,
            layout: Layout {
                input_step: taps,
                output_step: taps * self.channels(input),
                taps,
                inputs: self.positions(input),
                outputs: self.positions(output.into()),
            },
            kernel,
            stride: if to > from { 2 } else { 1 },
            reads: Reads::Activations {
                input,
                upsample: to < from,
            },
            norm,
            projects: None,
            adds,
            output,
        }));
    }

    /// A linear layer at every pixel, whose channels lie at the given positions; `with` sets the rest.
    fn project(
        &mut self,
        linear: LinearLayer,
        inputs: Vec<u32>,
        outputs: Vec<u32>,
        input: TensorId,
        output: TensorId,
        with: impl FnOnce(&mut ConvolutionLayer),
    ) {
        let mut layer = ConvolutionLayer {
            weights: linear.weights,
            layout: Layout {
                input_step: linear.outputs,
                output_step: 1,
                taps: 1,
                inputs,
                outputs,
            },
            kernel: 1,
            stride: 1,
            reads: Reads::Activations {
                input: input.into(),
                upsample: false,
            },
            norm: None,
            projects: None,
            adds: Adds::Nothing,
            output,
        };
        with(&mut layer);
        self.layers.push(Layer::Convolution(layer));
    }

    fn resample(&mut self, block: &str, resampling: Resampling, input: TensorId, norm: Option<NormId>) -> TensorId {
        let Tensor { level, channels, .. } = self.tensors[input];
        let output = self.tensor(resampling.level(level), channels);
        self.layers.push(Layer::Resample(ResampleLayer {
            name: format!("{block}.resample"),
            resampling,
            input,
            norm,
            output,
        }));
        output
    }

    fn norm(&mut self, name: &str, input: Joined, activate: bool, modulation: Option<LinearLayer>) -> NormId {
        let count = self.channels(input);
        let (mut channels, mut widths) = ([0; 2], [0; 2]);
        for (index, part) in input.parts().enumerate() {
            let tensor = &mut self.tensors[part];
            tensor.summed = true;
            (channels[index], widths[index]) = (tensor.channels, tensor.width);
        }
        self.norms.push(NormLayer {
            gamma: self.parameters.add(format!("{name}.gamma"), &[count]),
            beta: self.parameters.add(format!("{name}.beta"), &[count]),
            input,
            channels,
            widths,
            activate,
            modulation,
        });
        self.norms.len() - 1
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> LinearLayer {
        LinearLayer {
            weights: self.weights(name, &[inputs, outputs], outputs),
            inputs,
            outputs,
        }
    }

    /// Parameters of a convolution whose kernels are `side` wide.
    fn filters(&mut self, name: &str, inputs: usize, outputs: usize, side: usize) -> Weights {
        self.weights(name, &[outputs, inputs, side, side], outputs)
    }

    fn weights(&mut self, name: &str, shape: &[usize], outputs: usize) -> Weights {
        Weights {
            name: name.to_owned(),
            weight: self.parameters.add(format!("{name}.weight"), shape),
            bias: self.parameters.add(format!("{name}.bias"), &[outputs]),
        }
    }

    fn tensor(&mut self, level: usize, channels: usize) -> TensorId {
        self.tensors.push(Tensor {
            level,
            channels,
            width: padded(channels),
            summed: false,
        });
        self.tensors.len() - 1
    }

    fn same_size(&mut self, tensor: TensorId) -> TensorId {
        let Tensor { level, channels, .. } = self.tensors[tensor];
        self.tensor(level, channels)
    }

    fn channels(&self, joined: Joined) -> usize {
        joined.parts().map(|part| self.tensors[part].channels).sum()
    }

    /// The channel at each padded position of joined activations.
    fn positions(&self, joined: Joined) -> Vec<u32> {
        let mut positions = Vec::new();
        let mut channel = 0;
        for part in joined.parts() {
            let Tensor { channels, width, .. } = self.tensors[part];
            positions.extend((0..width).map(|i| if i < channels { (channel + i) as u32 } else { NONE }));
            channel += channels;
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelError;

    fn paper_64() -> Architecture {
        Architecture {
            base_channels: 128,
            channel_multipliers: vec![1, 2, 3, 4],
            residual_blocks: 3,
            attention_levels: vec![false, false, true, true],
            attention_heads: 4,
            attention_head_channels: None,
            resblock_updown: false,
            norm_groups: 32,
            regions: 3,
            classes: 1000,
        }
    }

    #[test]
    fn the_papers_network_has_as_many_parameters_as_published() {
        let parameters = paper_64().parameters();
        let millions = |decoder: bool| {
            let counted = parameters
                .iter()
                .filter(|parameter| decoder || !parameter.name.starts_with("decoder."));
            let count: usize = counted.map(|parameter| parameter.range().len()).sum();
            format!("{:.2}", count as f64 / 1e6)
        };
        assert_eq!(millions(true), "194.25");
        assert_eq!(millions(false), "121.57");
    }

    #[test]
    fn parameters_follow_each_other() {
        let parameters = paper_64().parameters();
        let mut end = 0;
        for parameter in &parameters {
            assert_eq!(parameter.offset, end, "{}", parameter.name);
            end = parameter.range().end;
        }
        let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!(
            names[..6],
            [
                "time_embedding.linear_1.weight",
                "time_embedding.linear_1.bias",
                "time_embedding.linear_2.weight",
                "time_embedding.linear_2.bias",
                "class_embedding.weight",
                "encoder.conv_in.weight"
            ]
        );
        assert_eq!(names.last(), Some(&"decoder.conv_out.bias"));
    }

    #[test]
    fn refused_sizes_have_no_parameters() {
        let refused = [
            Architecture {
                channel_multipliers: vec![],
                ..paper_64()
            },
            Architecture {
                attention_heads: 0,
                ..paper_64()
            },
            Architecture {
                base_channels: 33,
                norm_groups: 1,
                ..paper_64()
            },
            Architecture {
                base_channels: 16,
                channel_multipliers: vec![2, 2, 4, 4],
                ..paper_64()
            },
        ];
        for architecture in refused {
            assert!(matches!(architecture.validate(), Err(KernelError::Size(_))));
            assert!(architecture.parameters().is_empty());
        }
    }
}
