//! Parameters, activations and layers, listed one after another.

use super::layers::{
    Adds, ConvolutionLayer, Joined, Layer, Layout, LinearLayer, NONE, NormId, NormLayer, Reads, ResampleLayer, Tensor,
    TensorId, Weights,
};
use super::parameters::ParameterList;
use crate::resample::Resampling;
use crate::simd::padded;

/// What has been listed so far.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) parameters: ParameterList,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) norms: Vec<NormLayer>,
    /// Of the part under way.
    pub(crate) layers: Vec<Layer>,
}

impl Listing {
    /// The convolution that reads the image.
    pub(crate) fn conv_in(&mut self, channels: usize) -> TensorId {
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
            biased: true,
            adds: Adds::Nothing,
            output,
        }));
        output
    }

    /// A convolution to a new size, if the output's level is another one than the input's.
    pub(crate) fn convolve(
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
        // Masks may follow the channels of the input.
        let inputs = self.parameters.0[weights.weight].shape[1];
        self.layers.push(Layer::Convolution(ConvolutionLayer {
            weights,
            layout: Layout {
                input_step: taps,
                output_step: taps * inputs,
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
            biased: true,
            adds,
            output,
        }));
    }

    /// The share of the last channels, the masks, in a convolution of which [`Self::convolve`] then adds the rest.
    pub(crate) fn convolve_masks(&mut self, weights: Weights, kernel: usize, masks: TensorId, output: TensorId) {
        let first = self.parameters.0[weights.weight].shape[1] - self.tensors[masks].channels;
        self.convolve(weights, kernel, masks.into(), None, Adds::Nothing, output);
        if let Some(Layer::Convolution(layer)) = self.layers.last_mut() {
            layer.biased = false;
            let channels = layer.layout.inputs.iter_mut().filter(|channel| **channel != NONE);
            channels.for_each(|channel| *channel += first as u32);
        }
    }

    /// A linear layer at every pixel, whose channels lie at the given positions; `with` sets the rest.
    pub(crate) fn project(
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
            biased: true,
            adds: Adds::Nothing,
            output,
        };
        with(&mut layer);
        self.layers.push(Layer::Convolution(layer));
    }

    pub(crate) fn resample(
        &mut self,
        block: &str,
        resampling: Resampling,
        input: TensorId,
        norm: Option<NormId>,
    ) -> TensorId {
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

    pub(crate) fn norm(
        &mut self,
        name: &str,
        input: Joined,
        activate: bool,
        modulation: Option<LinearLayer>,
    ) -> NormId {
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

    pub(crate) fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> LinearLayer {
        LinearLayer {
            weights: self.weights(name, &[inputs, outputs], outputs),
            inputs,
            outputs,
        }
    }

    /// Parameters of a convolution whose kernels are `side` wide.
    pub(crate) fn filters(&mut self, name: &str, inputs: usize, outputs: usize, side: usize) -> Weights {
        self.weights(name, &[outputs, inputs, side, side], outputs)
    }

    fn weights(&mut self, name: &str, shape: &[usize], outputs: usize) -> Weights {
        Weights {
            name: name.to_owned(),
            weight: self.parameters.add(format!("{name}.weight"), shape),
            bias: self.parameters.add(format!("{name}.bias"), &[outputs]),
        }
    }

    pub(crate) fn tensor(&mut self, level: usize, channels: usize) -> TensorId {
        self.tensors.push(Tensor {
            level,
            channels,
            width: padded(channels),
            summed: false,
        });
        self.tensors.len() - 1
    }

    pub(crate) fn same_size(&mut self, tensor: TensorId) -> TensorId {
        let Tensor { level, channels, .. } = self.tensors[tensor];
        self.tensor(level, channels)
    }

    pub(crate) fn channels(&self, joined: Joined) -> usize {
        joined.parts().map(|part| self.tensors[part].channels).sum()
    }

    /// The channel at each padded position of joined activations.
    pub(crate) fn positions(&self, joined: Joined) -> Vec<u32> {
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
