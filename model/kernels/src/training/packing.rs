//! From a parameter tensor in a checkpoint's layout to packed weights, and from their gradients back.

use crate::convolution::{Convolution, Method};
use crate::matrix::PackedMatrix;
use crate::network::{Layout, NONE};
use crate::simd::{Arithmetic, CHANNEL_BLOCK, InstructionSet};
use crate::winograd::{kernel_gradient_four, kernel_gradient_two};

/// Which product of a layer the weights are packed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Inputs to outputs.
    Forward,
    /// Gradients of the outputs to those of inputs `from..`: the kernel turned by 180 degrees.
    Backward { from: usize },
}

type Taps = [[f32; CHANNEL_BLOCK]; 9];

impl Layout {
    /// The taps between one position along the depth and a block of columns.
    #[inline(always)]
    fn gather(&self, weight: &[f32], direction: Direction, depth: usize, column: usize, taps: &mut Taps) -> bool {
        let (own, own_step, others, step) = match direction {
            Direction::Forward => (
                self.inputs[depth],
                self.input_step,
                &self.outputs[column..column + CHANNEL_BLOCK],
                self.output_step,
            ),
            Direction::Backward { from } => (
                self.outputs[depth],
                self.output_step,
                &self.inputs[from + column..from + column + CHANNEL_BLOCK],
                self.input_step,
            ),
        };
        if own == NONE {
            return false;
        }
        let start = own as usize * own_step;
        for (lane, &other) in others.iter().enumerate() {
            if other == NONE {
                for taps in taps.iter_mut().take(self.taps) {
                    taps[lane] = 0.0;
                }
                continue;
            }
            let values = &weight[start + other as usize * step..][..self.taps];
            if direction == Direction::Forward {
                for (taps, value) in taps.iter_mut().zip(values) {
                    taps[lane] = *value;
                }
            } else {
                for (taps, value) in taps.iter_mut().zip(values.iter().rev()) {
                    taps[lane] = *value;
                }
            }
        }
        true
    }

    /// Packs the bias.
    pub(crate) fn pack_bias(&self, bias: &[f32], convolution: &mut Convolution) {
        let (_, packed) = convolution.parts_mut();
        for (packed, &output) in packed.iter_mut().zip(&self.outputs) {
            if output != NONE {
                *packed = bias[output as usize];
            }
        }
    }

    /// Packs weights.
    pub(crate) fn pack(
        &self,
        set: InstructionSet,
        weight: &[f32],
        direction: Direction,
        convolution: &mut Convolution,
    ) {
        let (method, arithmetic) = (convolution.method, convolution.arithmetic);
        let (matrix, _) = convolution.parts_mut();
        let positions = match direction {
            Direction::Forward => self.inputs.len(),
            Direction::Backward { .. } => self.outputs.len(),
        };
        let blocks = matrix.columns() / CHANNEL_BLOCK;
        let mut taps = [[0.0; CHANNEL_BLOCK]; 9];
        for depth in 0..positions {
            for block in 0..blocks {
                if !self.gather(weight, direction, depth, block * CHANNEL_BLOCK, &mut taps) {
                    continue; // zero from the beginning
                }
                match method {
                    Method::Winograd(side) => matrix.set_kernels(set, arithmetic, side, depth, block, &taps),
                    Method::Patches { .. } => {
                        for (tap, values) in taps.iter().enumerate().take(self.taps) {
                            matrix.set_block(set, arithmetic, tap * positions + depth, block, values);
                        }
                    }
                }
            }
        }
    }

    /// Packs [outputs, taps x inputs], the taps not turned: what spreads an output's gradient over its patch.
    pub(crate) fn pack_spread(
        &self,
        set: InstructionSet,
        arithmetic: Arithmetic,
        weight: &[f32],
        matrix: &mut PackedMatrix,
    ) {
        let inputs = self.inputs.len();
        let mut taps = [[0.0; CHANNEL_BLOCK]; 9];
        for depth in 0..self.outputs.len() {
            for block in 0..inputs / CHANNEL_BLOCK {
                let column = block * CHANNEL_BLOCK;
                if self.gather(weight, Direction::Backward { from: 0 }, depth, column, &mut taps) {
                    for tap in 0..self.taps {
                        let block = (tap * inputs + column) / CHANNEL_BLOCK;
                        matrix.set_block(set, arithmetic, depth, block, &taps[self.taps - 1 - tap]);
                    }
                }
            }
        }
    }

    /// Adds to the gradients of the weights: `sums` is [points, inputs, outputs] for Winograd, [taps x inputs, outputs] for patches.
    pub(crate) fn unpack(&self, set: InstructionSet, method: Method, sums: &[f32], gradients: &mut [f32]) {
        let (inputs, outputs) = (self.inputs.len(), self.outputs.len());
        let mut taps: Taps = [[0.0; CHANNEL_BLOCK]; 9];
        for (position, &input) in self.inputs.iter().enumerate() {
            if input == NONE {
                continue;
            }
            let start = input as usize * self.input_step;
            for column in (0..outputs).step_by(CHANNEL_BLOCK) {
                match method {
                    Method::Winograd(side) => {
                        let point = inputs * outputs;
                        let from = &sums[position * outputs + column..];
                        assert!(from.len() >= (method.points() - 1) * point + CHANNEL_BLOCK);
                        // SAFETY: `from` holds the block of every point; `taps` has room for nine blocks.
                        unsafe {
                            if side == 4 {
                                kernel_gradient_four(set, from.as_ptr(), point, taps.as_mut_ptr().cast());
                            } else {
                                kernel_gradient_two(set, from.as_ptr(), point, taps.as_mut_ptr().cast());
                            }
                        }
                    }
                    Method::Patches { .. } => {
                        for (tap, taps) in taps.iter_mut().enumerate().take(self.taps) {
                            let from = (tap * inputs + position) * outputs + column;
                            taps.copy_from_slice(&sums[from..from + CHANNEL_BLOCK]);
                        }
                    }
                }
                for (lane, &output) in self.outputs[column..column + CHANNEL_BLOCK].iter().enumerate() {
                    if output != NONE {
                        let to = &mut gradients[start + output as usize * self.output_step..][..self.taps];
                        for (to, taps) in to.iter_mut().zip(&taps) {
                            *to += taps[lane];
                        }
                    }
                }
            }
        }
    }
}
