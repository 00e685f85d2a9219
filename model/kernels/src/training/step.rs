//! One layer of the network with its gradients.

use super::attention::Attention;
use super::convolution::ConvolutionStep;
use super::resample::ResampleStep;
use super::state::State;
use crate::network::TensorId;
use crate::simd::InstructionSet;

/// One layer.
pub(crate) enum Step {
    Convolution(Box<ConvolutionStep>),
    Attention(AttentionStep),
    Resample(ResampleStep),
}

/// Self-attention.
pub(crate) struct AttentionStep {
    pub(crate) attention: Attention,
    pub(crate) input: TensorId,
    pub(crate) output: TensorId,
}

impl Step {
    /// Takes over new parameters.
    pub(crate) fn pack(&mut self, set: InstructionSet, parameters: &[f32]) {
        if let Self::Convolution(step) = self {
            step.pack(set, parameters);
        }
    }

    pub(crate) fn forward(&self, state: &mut State, items: usize) {
        match self {
            Self::Convolution(step) => step.forward(state, items),
            Self::Attention(step) => step.forward(state, items),
            Self::Resample(step) => step.forward(state, items),
        }
    }

    /// Adds to the gradients of parameters and inputs, if the output's gradient holds something.
    pub(crate) fn backward(&self, state: &mut State, items: usize) {
        let output = match self {
            Self::Convolution(step) => step.layer.output,
            Self::Attention(step) => step.output,
            Self::Resample(step) => step.layer.output,
        };
        if !state.written[output] {
            return;
        }
        let slope = std::mem::take(&mut state.slopes[output]);
        match self {
            Self::Convolution(step) => step.backward(state, items, &slope),
            Self::Attention(step) => step.backward(state, items, &slope),
            Self::Resample(step) => step.backward(state, items, &slope),
        }
        state.slopes[output] = slope;
    }
}

impl AttentionStep {
    fn forward(&self, state: &mut State, items: usize) {
        let mut out = std::mem::take(&mut state.values[self.output]);
        let input = &state.values[self.input];
        self.attention
            .forward(state.set, &mut state.workspaces, items, input, &mut out);
        state.values[self.output] = out;
    }

    /// `slope` is the gradient of the output.
    fn backward(&self, state: &mut State, items: usize, slope: &[f32]) {
        let mut to = std::mem::take(&mut state.slopes[self.input]);
        let input = &state.values[self.input];
        self.attention
            .backward(state.set, &mut state.workspaces, items, input, slope, &mut to);
        state.slopes[self.input] = to;
        state.written[self.input] = true;
    }
}
