//! Self-attention forward and backward, one head of one image at a time; the backward pass computes the weights anew.

use super::product::{Extent, Left, Matrix, multiply};
use crate::convolution::Workspaces;
use crate::memory::Shared;
use crate::simd::{InstructionSet, padded};
use crate::softmax::exponentials;
use crate::threads::for_each;

/// Sizes of an attention. Its input is [items, positions, 3, heads, padded depth] with query, key and value along the
/// third axis, its output [items, positions, heads, padded depth].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Channels of a head, without padding.
    pub(crate) depth: usize,
    pub(crate) positions: usize,
}

impl Attention {
    /// Padded channels of all heads.
    pub(crate) fn channels(self) -> usize {
        self.heads * padded(self.depth)
    }

    /// Numbers that one thread needs.
    pub(crate) fn needs(self) -> usize {
        let line = padded(self.positions);
        2 * self.positions * line + self.depth * line + line
    }

    /// softmax(query key / sqrt(depth)) value
    pub(crate) fn forward(
        self,
        set: InstructionSet,
        workspaces: &mut Workspaces,
        items: usize,
        input: &[f32],
        output: &mut [f32],
    ) {
        let (n, channels) = (self.positions, self.channels());
        assert!(input.len() >= items * n * 3 * channels && output.len() >= items * n * channels);
        let output = Shared::new(output);
        for_each(&mut workspaces.threads, items * self.heads, |workspace, task| {
            let (item, head) = (task / self.heads, task % self.heads);
            let input = &input[item * n * 3 * channels..][..n * 3 * channels];
            let (weights, _, transposed, inverse) = self.split(&mut workspace.left);
            self.weights(set, input, head, weights, transposed, inverse);
            let place = item * n * channels + head * padded(self.depth);
            // SAFETY: the operands were measured; no other task writes this head of this item.
            unsafe {
                multiply(
                    set,
                    self.extent(n),
                    self.rows(weights.as_ptr()),
                    self.part(input, 2, head),
                    Matrix {
                        data: output.pointer(place),
                        row: channels,
                    },
                );
            }
        });
    }

    /// Gradient of the input from that of the output; everything of it is written.
    pub(crate) fn backward(
        self,
        set: InstructionSet,
        workspaces: &mut Workspaces,
        items: usize,
        input: &[f32],
        gradient: &[f32],
        input_gradient: &mut [f32],
    ) {
        let (n, channels, width) = (self.positions, self.channels(), padded(self.depth));
        let line = padded(n);
        assert!(input.len() >= items * n * 3 * channels && input_gradient.len() >= items * n * 3 * channels);
        assert!(gradient.len() >= items * n * channels);
        let result = Shared::new(input_gradient);
        let scale = self.scale();
        for_each(&mut workspaces.threads, items * self.heads, |workspace, task| {
            let (item, head) = (task / self.heads, task % self.heads);
            let input = &input[item * n * 3 * channels..][..n * 3 * channels];
            let gradient = &gradient[item * n * channels..][..n * channels];
            let (weights, scores, transposed, inverse) = self.split(&mut workspace.left);
            self.weights(set, input, head, weights, transposed, inverse);
            let to = |which: usize| Matrix {
                data: result.pointer(item * n * 3 * channels + which * channels + head * width),
                row: 3 * channels,
            };
            let output_gradient = Matrix {
                data: gradient[head * width..].as_ptr(),
                row: channels,
            };
            // Values: [positions, depth] turned to [depth, positions].
            for position in 0..n {
                let value = &input[(position * 3 + 2) * channels + head * width..][..self.depth];
                for (k, value) in value.iter().enumerate() {
                    transposed[k * line + position] = *value;
                }
            }
            // SAFETY: the operands were measured; no other task writes this head of this item.
            unsafe {
                multiply(
                    set,
                    self.extent(n),
                    self.columns(weights.as_ptr()),
                    output_gradient,
                    to(2),
                );
                let extent = Extent {
                    rows: n,
                    depth: self.depth,
                    columns: line,
                    accumulate: false,
                };
                let left = Left {
                    data: output_gradient.data,
                    row: channels,
                    depth: 1,
                };
                let right = Matrix {
                    data: transposed.as_ptr(),
                    row: line,
                };
                let out = Matrix {
                    data: scores.as_mut_ptr(),
                    row: line,
                };
                multiply(set, extent, left, right, out);
            }
            for (weights, scores) in weights.chunks_exact(line).zip(scores.chunks_exact_mut(line)) {
                let mean: f32 = weights
                    .iter()
                    .zip(scores.iter())
                    .map(|(weight, score)| weight * score)
                    .sum();
                for (weight, score) in weights.iter().zip(scores) {
                    *score = weight * (*score - mean) * scale;
                }
            }
            // SAFETY: as above.
            unsafe {
                multiply(
                    set,
                    self.extent(n),
                    self.rows(scores.as_ptr()),
                    self.part(input, 1, head),
                    to(0),
                );
                multiply(
                    set,
                    self.extent(n),
                    self.columns(scores.as_ptr()),
                    self.part(input, 0, head),
                    to(1),
                );
            }
        });
    }

    fn scale(self) -> f32 {
        1.0 / (self.depth as f32).sqrt()
    }

    /// weights, scores, a turned operand, and one number for each position
    fn split(self, space: &mut [f32]) -> (&mut [f32], &mut [f32], &mut [f32], &mut [f32]) {
        let line = padded(self.positions);
        let (weights, rest) = space.split_at_mut(self.positions * line);
        let (scores, rest) = rest.split_at_mut(self.positions * line);
        let (transposed, rest) = rest.split_at_mut(self.depth * line);
        (weights, scores, transposed, &mut rest[..line])
    }

    /// The product of [positions, positions] with a head's query, key or value.
    fn extent(self, rows: usize) -> Extent {
        Extent {
            rows,
            depth: self.positions,
            columns: padded(self.depth),
            accumulate: false,
        }
    }

    fn rows(self, data: *const f32) -> Left {
        Left {
            data,
            row: padded(self.positions),
            depth: 1,
        }
    }

    fn columns(self, data: *const f32) -> Left {
        Left {
            data,
            row: 1,
            depth: padded(self.positions),
        }
    }

    fn part(self, input: &[f32], which: usize, head: usize) -> Matrix<*const f32> {
        Matrix {
            data: input[which * self.channels() + head * padded(self.depth)..].as_ptr(),
            row: 3 * self.channels(),
        }
    }

    /// The attention's weights of a head, [positions, padded positions].
    fn weights(
        self,
        set: InstructionSet,
        input: &[f32],
        head: usize,
        weights: &mut [f32],
        transposed: &mut [f32],
        inverse: &mut [f32],
    ) {
        let (n, channels, line) = (self.positions, self.channels(), padded(self.positions));
        let scale = self.scale();
        for k in 0..self.depth {
            transposed[k * line + n..(k + 1) * line].fill(0.0);
        }
        for position in 0..n {
            let key = &input[(position * 3 + 1) * channels + head * padded(self.depth)..][..self.depth];
            for (k, key) in key.iter().enumerate() {
                transposed[k * line + position] = key * scale;
            }
        }
        let query = self.part(input, 0, head);
        let extent = Extent {
            rows: n,
            depth: self.depth,
            columns: line,
            accumulate: false,
        };
        // SAFETY: `input` holds the positions, the other slices are as `split` cuts them.
        unsafe {
            let left = Left {
                data: query.data,
                row: query.row,
                depth: 1,
            };
            let right = Matrix {
                data: transposed.as_ptr(),
                row: line,
            };
            let out = Matrix {
                data: weights.as_mut_ptr(),
                row: line,
            };
            multiply(set, extent, left, right, out);
            exponentials(set, weights.as_mut_ptr(), n, n, line, inverse.as_mut_ptr());
        }
        for (weights, inverse) in weights.chunks_exact_mut(line).zip(inverse) {
            for weight in weights {
                *weight *= *inverse;
            }
        }
    }
}

/// Memory for tests: one thread's workspace.
#[cfg(test)]
pub(crate) fn workspaces(attention: Attention) -> Workspaces {
    let needs = crate::convolution::Needs {
        left: attention.needs(),
        ..crate::convolution::Needs::default()
    };
    Workspaces::new(1, needs)
}

#[cfg(test)]
mod tests;
