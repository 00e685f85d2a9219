//! One pass through the steps.

use super::memory::Memory;
use super::program::{PackedLayer, Program, Step};
use crate::convolution::{Input, Output, Planar, Residual, convolve};
use crate::network::{Adds, AttentionLayer, Joined, Reads, ResampleLayer, TensorId};
use crate::normalisation::{ChannelSums, GroupNorm};
use crate::resample::resample;
use crate::softmax::probabilities;
use crate::source::{Affine, Part, Source};

/// What a pass over `batch` images of a size needs.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Program,
    pub(crate) norms: &'a [GroupNorm],
    pub(crate) memory: &'a mut Memory,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) batch: usize,
}

impl Run<'_> {
    /// The step of an index. `image` is x_t, [batch, 3, height, width].
    pub(crate) fn step(&mut self, index: usize, image: &[f32]) {
        match &self.program.steps[index] {
            Step::Convolution(step) => self.convolution(index, step, image),
            Step::Attention(layer) => self.attention(layer),
            Step::Resample(layer) => self.resample(layer),
        }
    }

    fn convolution(&mut self, index: usize, step: &PackedLayer, image: &[f32]) {
        let PackedLayer { layer, packed } = step;
        let Some(tiling) = &self.memory.tilings[index] else {
            unreachable!("every convolution has a tiling")
        };
        let (height, width, batch) = (self.height, self.width, self.batch);
        let tensors = &self.program.tensors;
        let summed = tensors[layer.output].summed;
        let slot = self.memory.slot_of[layer.output];
        // Taken out while it is written: the borrow of the others stays plain.
        let mut out = std::mem::take(&mut self.memory.slots[slot]);
        let (slots, slot_of) = (&self.memory.slots, &self.memory.slot_of);
        let part = |tensor: TensorId| Part {
            data: &slots[slot_of[tensor]],
            channels: tensors[tensor].width,
        };
        let input = match layer.reads {
            Reads::Image => Input::Planar(Planar {
                data: image,
                channels: 3,
                height,
                width,
            }),
            Reads::Activations { input, upsample } => {
                let level = tensors[input.first].level;
                let (height, width) = (height >> level, width >> level);
                let norm = layer.norm.map(|norm| &self.norms[norm]);
                let (sums, scale, shift) = (&self.memory.sums, &mut self.memory.scale, &mut self.memory.shift);
                Input::Activations(Source {
                    first: part(input.first),
                    second: input.second.map(part),
                    height,
                    width,
                    upsample,
                    affine: norm.map(|norm| affine(norm, sums, input, batch, height * width, scale, shift)),
                })
            }
        };
        let written = Output {
            data: &mut out,
            residual: match layer.adds {
                Adds::Nothing => Residual::None,
                Adds::Output => Residual::Output,
                Adds::Tensor(tensor) => Residual::Tensor(part(tensor).data),
            },
            sums: summed.then_some(&mut self.memory.partial_sums[..]),
        };
        convolve(
            self.program.set,
            &mut self.memory.workspaces,
            packed,
            tiling,
            batch,
            input,
            written,
        );
        if summed {
            self.memory.sums[layer.output].gather(tiling.strips(batch), batch, &self.memory.partial_sums);
        }
        self.memory.slots[slot] = out;
    }

    fn attention(&mut self, layer: &AttentionLayer) {
        let memory = &mut *self.memory;
        let slot = memory.slot_of[layer.output];
        let mut out = std::mem::take(&mut memory.slots[slot]);
        let level = self.program.tensors[layer.input].level;
        layer.attention.run(
            self.program.set,
            &mut memory.workspaces.threads,
            self.batch,
            (self.height >> level) * (self.width >> level),
            &memory.slots[memory.slot_of[layer.input]],
            &mut out,
        );
        memory.slots[slot] = out;
    }

    fn resample(&mut self, layer: &ResampleLayer) {
        let memory = &mut *self.memory;
        let slot = memory.slot_of[layer.output];
        let mut out = std::mem::take(&mut memory.slots[slot]);
        let tensor = self.program.tensors[layer.input];
        let (height, width, batch) = (self.height >> tensor.level, self.width >> tensor.level, self.batch);
        let norm = layer.norm.map(|norm| &self.norms[norm]);
        let (sums, scale, shift) = (&memory.sums, &mut memory.scale, &mut memory.shift);
        let source = Source {
            first: Part {
                data: &memory.slots[memory.slot_of[layer.input]],
                channels: tensor.width,
            },
            second: None,
            height,
            width,
            upsample: false,
            affine: norm.map(|norm| affine(norm, sums, layer.input.into(), batch, height * width, scale, shift)),
        };
        let workspaces = &mut memory.workspaces.threads;
        resample(self.program.set, workspaces, layer.resampling, batch, source, &mut out);
        memory.slots[slot] = out;
    }

    /// Region probabilities of the logits, [batch, regions, height, width].
    pub(crate) fn softmax(&mut self, regions: usize, output: &mut [f32]) {
        let (memory, logits) = (&mut *self.memory, self.program.logits);
        let (pixels, channels) = (self.height * self.width, self.program.tensors[logits].width);
        let items = memory.slots[memory.slot_of[logits]].chunks_exact(pixels * channels);
        for (logits, out) in items.zip(output.chunks_exact_mut(regions * pixels)) {
            probabilities(self.program.set, logits, channels, regions, out, &mut memory.scratch);
        }
    }
}

/// Scale and shift of what a layer reads.
fn affine<'a>(
    norm: &GroupNorm,
    sums: &[ChannelSums],
    input: Joined,
    batch: usize,
    pixels: usize,
    scale: &'a mut [f32],
    shift: &'a mut [f32],
) -> Affine<'a> {
    let sums = [Some(&sums[input.first]), input.second.map(|second| &sums[second])];
    norm.affine(sums, batch, pixels, scale, shift)
}
