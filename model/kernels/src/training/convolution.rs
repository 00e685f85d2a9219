//! Convolutions, and linear layers at every pixel, with their gradients.

use super::normalised::{affine, input_gradients, parameter_gradients, prepare};
use super::packing::Direction;
use super::pixels::{Patches, gather_patches, sum_enlarged, sum_pixels};
use super::state::State;
use super::weight_gradient::weight_gradient;
use crate::convolution::{Convolution, Input, Loading, Output, Pairing, Planar, Residual, convolve};
use crate::matrix::{PackedMatrix, Rows, multiply, multiply_pairs};
use crate::memory::Shared;
use crate::network::{Adds, ConvolutionLayer, NONE, Reads, TensorId};
use crate::simd::{Arithmetic, InstructionSet, round_numbers};
use crate::source::{Part, Source};
use crate::threads::for_each;
use crate::tiling::Tiling;
use std::ops::Range;

/// How the gradient of the input is computed.
pub(crate) enum Backward {
    /// Not at all: the input is the image.
    Nothing,
    /// All inputs as one convolution, for what is normalised or enlarged while it is loaded. The tiling is for some
    /// images at a time: their gradients stay in the cache on the way to the inputs.
    Whole(Convolution, Tiling, usize),
    /// One convolution for each of the joined activations.
    Parts(Vec<Convolution>, Tiling),
    /// A product that spreads each output's gradient over its patch, [outputs, 9 inputs].
    Strided(PackedMatrix),
}

/// A convolution, or a linear layer at every pixel.
pub(crate) struct ConvolutionStep {
    pub(crate) layer: ConvolutionLayer,
    /// Places of weight and bias among all parameters.
    pub(crate) weight: Range<usize>,
    pub(crate) bias: Range<usize>,
    pub(crate) convolution: Convolution,
    pub(crate) tiling: Tiling,
    pub(crate) backward: Backward,
    /// For the gradient of the weights.
    pub(crate) gradient_tiling: Tiling,
}

impl ConvolutionStep {
    /// Takes over new parameters.
    pub(crate) fn pack(&mut self, set: InstructionSet, parameters: &[f32]) {
        let (layout, weight) = (&self.layer.layout, &parameters[self.weight.clone()]);
        if self.layer.biased {
            layout.pack_bias(&parameters[self.bias.clone()], &mut self.convolution);
        }
        layout.pack(set, weight, Direction::Forward, &mut self.convolution);
        match &mut self.backward {
            Backward::Nothing => {}
            Backward::Whole(convolution, ..) => {
                layout.pack(set, weight, Direction::Backward { from: 0 }, convolution);
            }
            Backward::Parts(parts, _) => {
                let mut from = 0;
                for part in parts {
                    layout.pack(set, weight, Direction::Backward { from }, part);
                    from += part.outputs();
                }
            }
            Backward::Strided(matrix) => layout.pack_spread(set, self.convolution.arithmetic, weight, matrix),
        }
    }

    pub(crate) fn forward(&self, state: &mut State, items: usize) {
        if let (Some(norm), Reads::Activations { input, .. }) = (self.layer.norm, self.layer.reads) {
            prepare(state, norm, input, items);
        }
        let mut out = std::mem::take(&mut state.values[self.layer.output]);
        let mut workspaces = std::mem::take(&mut state.workspaces);
        let mut partial_sums = std::mem::take(&mut state.partial_sums);
        let summed = state.tensors[self.layer.output].summed;
        let written = Output {
            data: &mut out,
            residual: match self.layer.adds {
                Adds::Nothing => Residual::None,
                Adds::Output => Residual::Output,
                Adds::Tensor(tensor) => Residual::Tensor(&state.values[tensor]),
            },
            sums: summed.then_some(&mut partial_sums[..]),
        };
        let input = self.input(state);
        convolve(
            state.set,
            &mut workspaces,
            &self.convolution,
            &self.tiling,
            items,
            input,
            written,
        );
        if summed {
            state.sums[self.layer.output].gather(self.tiling.strips(items), items, &partial_sums);
        }
        state.partial_sums = partial_sums;
        state.workspaces = workspaces;
        state.values[self.layer.output] = out;
    }

    fn input<'a>(&self, state: &'a State) -> Input<'a> {
        match self.layer.reads {
            Reads::Image => Input::Planar(Planar {
                data: &state.image,
                channels: 3,
                height: state.height,
                width: state.width,
            }),
            Reads::Activations { input, upsample } => {
                let part = |tensor: TensorId| Part {
                    data: &state.values[tensor],
                    channels: state.tensors[tensor].width,
                };
                let (height, width) = state.size(input.first);
                Input::Activations(Source {
                    first: part(input.first),
                    second: input.second.map(part),
                    height,
                    width,
                    upsample,
                    affine: self.layer.norm.map(|norm| affine(state, norm)),
                })
            }
        }
    }

    /// Adds to the gradients of parameters and inputs. `slope` is the gradient of the output.
    pub(crate) fn backward(&self, state: &mut State, items: usize, slope: &[f32]) {
        if let Adds::Tensor(tensor) = self.layer.adds {
            state.add_slope(slope, tensor, items);
        }
        if state.learning {
            self.weight_gradient(state, items, slope);
        }
        let Reads::Activations { input, upsample } = self.layer.reads else {
            return;
        };
        match &self.backward {
            Backward::Nothing => {}
            Backward::Parts(parts, tiling) => {
                for (tensor, part) in input.parts().zip(parts) {
                    if tensor < state.unwanted {
                        continue;
                    }
                    let mut to = std::mem::take(&mut state.slopes[tensor]);
                    let residual = if state.written[tensor] {
                        Residual::Output
                    } else {
                        Residual::None
                    };
                    self.convolve_gradient(state, items, slope, part, tiling, &mut to, residual);
                    state.slopes[tensor] = to;
                    state.written[tensor] = true;
                }
            }
            Backward::Whole(convolution, tiling, chunk) => {
                let mut scratch = std::mem::take(&mut state.scratch);
                let outputs = state.item(self.layer.output);
                for start in (0..items).step_by(*chunk) {
                    let some = start..(start + chunk).min(items);
                    let slope = &slope[start * outputs..some.end * outputs];
                    let count = some.len();
                    self.convolve_gradient(state, count, slope, convolution, tiling, &mut scratch, Residual::None);
                    if upsample {
                        self.shrink(state, some, input.first, &scratch);
                    } else if let Some(norm) = self.layer.norm {
                        input_gradients(state, some, norm, input, &mut scratch);
                    }
                }
                state.scratch = scratch;
                for tensor in input.parts() {
                    state.written[tensor] = true;
                }
                if let Some(norm) = self.layer.norm {
                    parameter_gradients(state, items, norm);
                }
            }
            Backward::Strided(matrix) => {
                let mut scratch = std::mem::take(&mut state.scratch);
                self.spread(state, items, slope, matrix, input.first, &mut scratch);
                state.scratch = scratch;
            }
        }
    }

    fn weight_gradient(&self, state: &mut State, items: usize, slope: &[f32]) {
        let mut workspaces = std::mem::take(&mut state.workspaces);
        let mut space = std::mem::take(&mut state.space);
        let loading = Loading {
            set: state.set,
            convolution: &self.convolution,
            input: self.input(state),
            pairing: Pairing::Rows,
        };
        weight_gradient(
            loading,
            &self.gradient_tiling,
            items,
            slope,
            &mut workspaces,
            &mut space,
        );
        self.layer.layout.unpack(
            state.set,
            self.convolution.method,
            &space.sums,
            &mut state.gradients[self.weight.clone()],
        );
        state.workspaces = workspaces;
        state.space = space;
        if self.layer.biased {
            self.bias_gradient(state, items, slope);
        }
    }

    /// Every item's sum, then all in their order.
    fn bias_gradient(&self, state: &mut State, items: usize, slope: &[f32]) {
        let (pixels, channels) = (state.pixels(self.layer.output), self.convolution.outputs());
        let sums = Shared::new(&mut state.partial_sums);
        assert!(sums.len() >= items * channels && slope.len() >= items * pixels * channels);
        let set = state.set;
        for_each(&mut state.workspaces.threads, items, |_, item| {
            let from = slope[item * pixels * channels..].as_ptr();
            // SAFETY: the slices were measured; each item has its own sums.
            unsafe { sum_pixels(set, from, pixels, channels, sums.pointer(item * channels)) };
        });
        for (position, &output) in self.layer.layout.outputs.iter().enumerate() {
            if output != NONE {
                let sum: f64 = (0..items)
                    .map(|item| f64::from(state.partial_sums[item * channels + position]))
                    .sum();
                state.gradients[self.bias.start + output as usize] += sum as f32;
            }
        }
    }

    /// Convolves the output's gradient with turned weights.
    #[allow(clippy::too_many_arguments)]
    fn convolve_gradient(
        &self,
        state: &mut State,
        items: usize,
        slope: &[f32],
        convolution: &Convolution,
        tiling: &Tiling,
        to: &mut [f32],
        residual: Residual<'_>,
    ) {
        let (height, width) = state.size(self.layer.output);
        let input = Input::Activations(Source {
            first: Part {
                data: slope,
                channels: self.convolution.outputs(),
            },
            second: None,
            height,
            width,
            upsample: false,
            affine: None,
        });
        let output = Output {
            data: to,
            residual,
            sums: None,
        };
        convolve(
            state.set,
            &mut state.workspaces,
            convolution,
            tiling,
            items,
            input,
            output,
        );
    }

    /// The gradient of the enlargement of some items, from that of the enlarged ones.
    fn shrink(&self, state: &mut State, items: Range<usize>, input: TensorId, from: &[f32]) {
        let (height, width) = state.size(input);
        let (item, channels) = (state.item(input), state.tensors[input].width);
        let mut slope = std::mem::take(&mut state.slopes[input]);
        assert!(from.len() >= 4 * items.len() * item && slope.len() >= items.end * item);
        let (to, add, set) = (Shared::new(&mut slope), state.written[input], state.set);
        for_each(&mut state.workspaces.threads, items.len(), |_, index| {
            let from = from[4 * index * item..].as_ptr();
            let to = to.pointer((items.start + index) * item);
            // SAFETY: the slices were measured; each item belongs to one task.
            unsafe { sum_enlarged(set, from, to, add, height, width, channels) };
        });
        state.slopes[input] = slope;
    }

    /// The gradient of a strided convolution's input.
    fn spread(
        &self,
        state: &mut State,
        items: usize,
        slope: &[f32],
        matrix: &PackedMatrix,
        input: TensorId,
        scratch: &mut [f32],
    ) {
        let (height, width) = state.size(input);
        let (item, channels) = (state.item(input), state.tensors[input].width);
        let (pixels, outputs) = (state.pixels(self.layer.output), self.convolution.outputs());
        let columns = matrix.columns();
        let mut to = std::mem::take(&mut state.slopes[input]);
        assert!(slope.len() >= items * pixels * outputs && scratch.len() >= items * pixels * columns);
        let arithmetic = self.convolution.arithmetic;
        assert!(matrix.depth() * arithmetic.numbers() == outputs && columns == 9 * channels);
        assert!(to.len() >= items * item);
        let (shared, patches) = (Shared::new(&mut to), Shared::new(scratch));
        let (add, set) = (state.written[input], state.set);
        for_each(&mut state.workspaces.threads, items, |workspace, index| {
            let mut left = slope[index * pixels * outputs..].as_ptr();
            let out = patches.pointer(index * pixels * columns);
            let rounded = &mut workspace.left[..pixels * outputs / arithmetic.numbers()];
            // SAFETY: the slices were measured; each item belongs to one task.
            unsafe {
                let multiply = match arithmetic {
                    Arithmetic::F32 => multiply,
                    Arithmetic::Bf16 => {
                        round_numbers(set, left, rounded.as_mut_ptr(), pixels * outputs);
                        left = rounded.as_ptr();
                        multiply_pairs
                    }
                };
                multiply(
                    set,
                    pixels,
                    Rows {
                        data: left,
                        row: matrix.depth(),
                        point: 0,
                    },
                    matrix.right(),
                    (0, matrix.panels()),
                    Rows {
                        data: out,
                        row: columns,
                        point: 0,
                    },
                );
                let patches = Patches {
                    patches: out.cast_const(),
                    channels,
                    height,
                    width,
                };
                gather_patches(set, patches, shared.pointer(index * item), add);
            }
        });
        state.slopes[input] = to;
        state.written[input] = true;
    }
}
