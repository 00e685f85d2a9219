//! The one walk over the network: Figure 2 of the paper from the embedding to both up-stacks, layer by layer.
//!
//! Parameters are listed in the order in which a checkpoint's network has them, layers in that of a pass; inside of
//! a residual block the two differ.

use super::architecture::{Architecture, Decoding};
use super::layers::{
    Adds, AttentionLayer, DecoderInput, EmbeddingLayers, Joined, Joints, Layer, NONE, Network, Tensor, TensorId,
};
use super::listing::Listing;
use super::parameters::Parameter;
use crate::attention::Attention;
use crate::resample::Resampling;
use crate::simd::padded;

/// The walk and what it has listed so far.
struct Walk<'a> {
    architecture: &'a Architecture,
    list: Listing,
    /// The masks at each level, where those blocks that read a skip read them as well (Eq. 5).
    masks: Vec<TensorId>,
    /// What the blocks of the up-stacks have left.
    blocks: Vec<TensorId>,
}

impl Network {
    /// The network of an architecture that has been validated.
    pub(crate) fn new(architecture: &Architecture) -> Self {
        let mut walk = Walk {
            architecture,
            list: Listing::default(),
            masks: Vec::new(),
            blocks: Vec::new(),
        };
        let embedding = walk.embedding();
        let (middle, skips) = walk.encoder();
        let encoder = std::mem::take(&mut walk.list.layers);

        let first_mask = walk.list.tensors.len();
        let logits = walk.up_stack("mask_generator", middle, skips.clone(), architecture.regions);
        let mask_generator = std::mem::take(&mut walk.list.layers);

        let first_decoder = walk.list.tensors.len();
        let decoder_parameters = walk.list.parameters.0.len();
        let first_decoder_norm = walk.list.norms.len();
        let inputs: Vec<_> = (0..architecture.decoders())
            .flat_map(|decoder| walk.decoder_inputs(decoder, &skips, middle))
            .collect();
        if architecture.decoding == Decoding::Concatenated {
            let levels = 0..architecture.levels();
            walk.masks = levels
                .map(|level| walk.list.tensor(level, architecture.regions))
                .collect();
        }
        let first_decoded = walk.list.tensors.len();
        let blocks = std::mem::take(&mut walk.blocks).len();
        let decoder = |(index, inputs): (usize, &[DecoderInput])| {
            let name = match architecture.decoding {
                Decoding::Unshared => format!("decoder.{index}"),
                _ => "decoder".to_owned(),
            };
            let skips = inputs[1..].iter().map(|input| input.to).collect();
            walk.up_stack(&name, inputs[0].to, skips, 3)
        };
        let noise = inputs.chunks_exact(1 + skips.len()).enumerate().map(decoder).collect();
        walk.blocks.truncate(blocks);
        Self {
            parameters: walk.list.parameters.0,
            decoder_parameters,
            first_decoder_norm,
            tensors: walk.list.tensors,
            norms: walk.list.norms,
            embedding,
            encoder,
            mask_generator,
            decoder: walk.list.layers,
            joints: Joints {
                first_mask,
                first_decoder,
                first_decoded,
                inputs,
                masks: walk.masks,
                logits,
                noise,
                blocks: walk.blocks,
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

impl Walk<'_> {
    fn embedding(&mut self) -> EmbeddingLayers {
        let (base, wide) = (self.architecture.base_channels, self.architecture.embedding_channels());
        EmbeddingLayers {
            linear_1: self.list.linear("time_embedding.linear_1", base, wide),
            linear_2: self.list.linear("time_embedding.linear_2", wide, wide),
            classes: (self.architecture.classes > 0).then(|| {
                let rows = self.architecture.classes + 1;
                self.list
                    .parameters
                    .add("class_embedding.weight".to_owned(), &[rows, wide])
            }),
        }
    }

    /// Encoder and middle block: h_mid and h_enc.
    fn encoder(&mut self) -> (TensorId, Vec<TensorId>) {
        let architecture = self.architecture;
        let levels = architecture.levels();
        let mut h = self.list.conv_in(architecture.base_channels);
        let mut skips = vec![h];
        for level in 0..levels {
            for block in 0..architecture.residual_blocks {
                h = self.block(&format!("encoder.levels.{level}.blocks.{block}"), h.into(), level);
                skips.push(h);
            }
            if level + 1 < levels {
                h = self.change_size(&format!("encoder.levels.{level}.downsample"), h, Resampling::Halve);
                skips.push(h);
            }
        }
        let channels = architecture.channels(levels - 1);
        h = self.residual("middle.residual_1", h.into(), channels, None);
        h = self.attention("middle.attention", h);
        h = self.residual("middle.residual_2", h.into(), channels, None);
        (h, skips)
    }

    /// The decoder's own h_mid, then h_enc: activations for each branch.
    fn decoder_inputs(&mut self, decoder: usize, skips: &[TensorId], middle: TensorId) -> Vec<DecoderInput> {
        let decoding = self.architecture.decoding;
        let mut input = |from: TensorId, masked: bool| DecoderInput {
            from,
            to: self.list.same_size(from),
            region: masked.then_some(decoder),
        };
        let mut inputs = vec![input(middle, decoding == Decoding::MaskedMiddle)];
        let masked = matches!(decoding, Decoding::Factorized | Decoding::Unshared);
        inputs.extend(skips.iter().map(|&skip| input(skip, masked)));
        inputs
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
                self.blocks.push(h);
            }
            if level > 0 {
                h = self.change_size(&format!("{name}.levels.{index}.upsample"), h, Resampling::Double);
            }
        }
        let norm = self.list.norm(&format!("{name}.norm_out"), h.into(), true, None);
        let conv_out = self
            .list
            .filters(&format!("{name}.conv_out"), self.list.tensors[h].channels, outputs, 3);
        let out = self.list.tensor(0, outputs);
        self.list
            .convolve(conv_out, 3, h.into(), Some(norm), Adds::Nothing, out);
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
        let inputs = self.list.channels(input);
        let level = self.list.tensors[input.first].level;
        let level = resampling.map_or(level, |resampling| resampling.level(level));
        let plain = inputs == outputs && input.second.is_none();
        let masks = input.second.and_then(|_| self.masks.get(level).copied());
        let read = inputs + masks.map_or(0, |masks| self.list.tensors[masks].channels);
        let norm_1 = self.list.norm(&format!("{name}.norm_1"), input, true, None);
        let conv_1 = self.list.filters(&format!("{name}.conv_1"), read, outputs, 3);
        let wide = self.architecture.embedding_channels();
        let embedding = self.list.linear(&format!("{name}.embedding"), wide, 2 * outputs);
        let h = self.list.tensor(level, outputs);
        let norm_2 = self
            .list
            .norm(&format!("{name}.norm_2"), h.into(), true, Some(embedding));
        let conv_2 = self.list.filters(&format!("{name}.conv_2"), outputs, outputs, 3);
        let skip = (!plain).then(|| self.list.filters(&format!("{name}.skip"), read, outputs, 1));
        let adds = masks.map_or(Adds::Nothing, |_| Adds::Output);

        let input = if let Some(resampling) = resampling {
            let activated = self.list.resample(name, resampling, input.first, Some(norm_1));
            let input = self.list.resample(name, resampling, input.first, None);
            self.list.convolve(conv_1, 3, activated.into(), None, Adds::Nothing, h);
            input.into()
        } else {
            if let Some(masks) = masks {
                self.list.convolve_masks(conv_1.clone(), 3, masks, h);
            }
            self.list.convolve(conv_1, 3, input, Some(norm_1), adds, h);
            input
        };
        let output = self.list.tensor(level, outputs);
        let adds = if let Some(skip) = skip {
            if let Some(masks) = masks {
                self.list.convolve_masks(skip.clone(), 1, masks, output);
            }
            self.list.convolve(skip, 1, input, None, adds, output);
            Adds::Output
        } else {
            Adds::Tensor(input.first)
        };
        self.list.convolve(conv_2, 3, h.into(), Some(norm_2), adds, output);
        output
    }

    fn attention(&mut self, name: &str, input: TensorId) -> TensorId {
        let Tensor { level, channels, .. } = self.list.tensors[input];
        let heads = self.architecture.heads(channels);
        let attention = Attention {
            heads,
            depth: channels / heads,
        };
        let (depth, head_width, width) = (attention.depth, padded(attention.depth), attention.channels());
        let norm = self.list.norm(&format!("{name}.norm"), input.into(), false, None);
        let qkv = self.list.linear(&format!("{name}.qkv"), channels, 3 * channels);
        let project = self.list.linear(&format!("{name}.project"), channels, channels);
        let channel = |present: bool, channel: usize| if present { channel as u32 } else { NONE };

        // Stored by head, then query, key, value; here by query, key, value, then head, each padded.
        let projected = self.list.tensor(level, 3 * width);
        let outputs = (0..3 * width).map(|position| {
            let (which, head, k) = (position / width, position / head_width % heads, position % head_width);
            channel(k < depth, (head * 3 + which) * depth + k)
        });
        let inputs = self.list.positions(input.into());
        self.list
            .project(qkv, inputs, outputs.collect(), input, projected, |layer| {
                layer.norm = Some(norm);
                layer.projects = Some(attention);
            });
        let mixed = self.list.tensor(level, width);
        self.list.layers.push(Layer::Attention(AttentionLayer {
            name: name.to_owned(),
            attention,
            input: projected,
            output: mixed,
        }));
        let inputs = (0..width).map(|position| {
            let (head, k) = (position / head_width, position % head_width);
            channel(k < depth, head * depth + k)
        });
        let output = self.list.tensor(level, channels);
        let outputs = self.list.positions(output.into());
        self.list
            .project(project, inputs.collect(), outputs, mixed, output, |layer| {
                layer.adds = Adds::Tensor(input);
            });
        output
    }

    fn change_size(&mut self, name: &str, input: TensorId, resampling: Resampling) -> TensorId {
        let Tensor { level, channels, .. } = self.list.tensors[input];
        if self.architecture.resblock_updown {
            let name = format!("{name}.residual");
            return self.residual(&name, input.into(), channels, Some(resampling));
        }
        let conv = self.list.filters(&format!("{name}.conv"), channels, channels, 3);
        let output = self.list.tensor(resampling.level(level), channels);
        self.list.convolve(conv, 3, input.into(), None, Adds::Nothing, output);
        output
    }
}

#[cfg(test)]
mod tests;
