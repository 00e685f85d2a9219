//! Half and twice the resolution with gradients, normalised and activated on the way or not.

use super::normalised::{affine, input_gradients, parameter_gradients, prepare};
use super::pixels::{spread_halved, sum_enlarged};
use super::state::State;
use crate::memory::Shared;
use crate::network::ResampleLayer;
use crate::resample::{Resampling, resample};
use crate::source::{Part, Source};
use crate::threads::for_each;

/// A layer of a residual block that changes the resolution.
#[derive(Debug)]
pub(crate) struct ResampleStep {
    pub(crate) layer: ResampleLayer,
    /// Items whose gradient is on its way through the normalisation at a time, so that it stays in the cache. The
    /// scratch memory has room for them.
    pub(crate) chunk: usize,
}

impl ResampleStep {
    pub(crate) fn forward(&self, state: &mut State, items: usize) {
        if let Some(norm) = self.layer.norm {
            prepare(state, norm, self.layer.input.into(), items);
        }
        let mut out = std::mem::take(&mut state.values[self.layer.output]);
        let mut workspaces = std::mem::take(&mut state.workspaces);
        let (height, width) = state.size(self.layer.input);
        let source = Source {
            first: Part {
                data: &state.values[self.layer.input],
                channels: state.tensors[self.layer.input].width,
            },
            second: None,
            height,
            width,
            upsample: false,
            affine: self.layer.norm.map(|norm| affine(state, norm)),
        };
        resample(
            state.set,
            &mut workspaces.threads,
            self.layer.resampling,
            items,
            source,
            &mut out,
        );
        state.workspaces = workspaces;
        state.values[self.layer.output] = out;
    }

    /// Adds to the gradients of the input and of the normalisation. `slope` is the gradient of the output.
    pub(crate) fn backward(&self, state: &mut State, items: usize, slope: &[f32]) {
        let Some(norm) = self.layer.norm else {
            let mut to = std::mem::take(&mut state.slopes[self.layer.input]);
            let add = state.written[self.layer.input];
            self.turned(state, items, slope, &mut to, add);
            state.slopes[self.layer.input] = to;
            state.written[self.layer.input] = true;
            return;
        };
        let mut scratch = std::mem::take(&mut state.scratch);
        let output = state.item(self.layer.output);
        for start in (0..items).step_by(self.chunk) {
            let some = start..(start + self.chunk).min(items);
            let slope = &slope[start * output..some.end * output];
            self.turned(state, some.len(), slope, &mut scratch, false);
            input_gradients(state, some, norm, self.layer.input.into(), &mut scratch);
        }
        state.scratch = scratch;
        state.written[self.layer.input] = true;
        parameter_gradients(state, items, norm);
    }

    /// From the gradient of some items of the output to that of what was resampled.
    fn turned(&self, state: &mut State, items: usize, slope: &[f32], to: &mut [f32], add: bool) {
        let (set, channels) = (state.set, state.tensors[self.layer.input].width);
        let (from_item, to_item) = (state.item(self.layer.output), state.item(self.layer.input));
        let (height, width) = match self.layer.resampling {
            Resampling::Halve => state.size(self.layer.output),
            Resampling::Double => state.size(self.layer.input),
        };
        assert!(slope.len() >= items * from_item && to.len() >= items * to_item);
        let to = Shared::new(to);
        for_each(&mut state.workspaces.threads, items, |_, item| {
            let from = slope[item * from_item..].as_ptr();
            let to = to.pointer(item * to_item);
            // SAFETY: the slices were measured, the sides of the larger one are twice those of the smaller; each item
            // belongs to one task.
            unsafe {
                match self.layer.resampling {
                    Resampling::Halve => spread_halved(set, from, to, add, height, width, channels),
                    Resampling::Double => sum_enlarged(set, from, to, add, height, width, channels),
                }
            }
        });
    }
}
