//! Gradients of convolution weights: products over all pixels, or over all tiles point by point where the method is
//! Winograd's.
//!
//! One block of tiles after another is laid out (inputs as in the forward pass, gradients of the outputs mapped to
//! points) and multiplied; threads share the tiles of a block while it is laid out and the rows of the product while
//! it is multiplied, so the order of every sum, and with it the result, does not depend on the number of threads.

use super::product::{Extent, Left, Matrix, multiply, multiply_pairs};
use crate::convolution::{Convolution, Loading, Method, Pairing, Workspaces};
use crate::memory::{Buffer, Shared};
use crate::simd::{Arithmetic, CHANNEL_BLOCK, InstructionSet, round_half};
use crate::threads::for_each;
use crate::tiling::{Rectangle, Tiling};
use crate::winograd::{
    GradientTiles, transform_gradient_four, transform_gradient_four_paired, transform_gradient_two,
    transform_gradient_two_paired,
};

/// Rows of the product that one task computes where there is one point.
const ROWS: usize = 16;

/// Memory of the largest layer.
#[derive(Default)]
pub(crate) struct Space {
    left: Buffer,
    right: Buffer,
    pub(crate) sums: Buffer,
}

/// Lengths of [`Space`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SpaceNeeds {
    left: usize,
    right: usize,
    sums: usize,
}

impl SpaceNeeds {
    /// For one convolution and `batch` images.
    pub(crate) fn of(convolution: &Convolution, tiling: &Tiling, batch: usize) -> Self {
        let blocks = (0..tiling.blocks(batch)).map(|block| rows(convolution, tiling.block(batch, block)));
        let rows = blocks.max().unwrap_or(0);
        let points = convolution.method.points();
        Self {
            left: points * convolution.left_point(Pairing::Rows, rows),
            right: points * right_point(rows, convolution.outputs()),
            sums: points * convolution.depth() * convolution.outputs(),
        }
    }

    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            left: self.left.max(other.left),
            right: self.right.max(other.right),
            sums: self.sums.max(other.sums),
        }
    }

    pub(crate) fn space(self) -> Space {
        Space {
            left: Buffer::zeroed(self.left),
            right: Buffer::zeroed(self.right),
            sums: Buffer::zeroed(self.sums),
        }
    }
}

/// Rows of words of both operands for some rectangles.
fn rows(convolution: &Convolution, rectangles: &[Rectangle]) -> usize {
    let rows = |rectangle| convolution.left_rows(Pairing::Rows, rectangle);
    rectangles.iter().map(rows).sum()
}

/// The extra line spreads the points over the sets of the cache.
fn right_point(rows: usize, channels: usize) -> usize {
    rows * channels + CHANNEL_BLOCK
}

/// A tiling for the gradient of a convolution's weights: large blocks, so that the products run over many tiles.
pub(crate) fn tiling(convolution: &Convolution, batch: usize, height: usize, width: usize) -> Tiling {
    match convolution.method {
        Method::Winograd(side) => {
            let channels = convolution.depth() + convolution.outputs();
            let numbers = convolution.arithmetic.numbers();
            // About 1 MiB of both operands.
            let target = (256 * 1024 * numbers / (convolution.method.points() * channels)).clamp(32 * numbers, 512);
            Tiling::new(batch, height, width, side, target, target)
        }
        // Whole lines, so that a block's gradients lie side by side.
        Method::Patches { .. } => Tiling::new(batch, height, width, 1, width, width.max(192)),
    }
}

/// Sums into `space.sums`: [points, inputs, outputs] for Winograd, [taps x inputs, outputs] for patches. `gradient` is
/// that of the convolution's output.
pub(crate) fn weight_gradient(
    loading: Loading<'_>,
    tiling: &Tiling,
    batch: usize,
    gradient: &[f32],
    workspaces: &mut Workspaces,
    space: &mut Space,
) {
    let Loading { set, convolution, .. } = loading;
    assert!(loading.pairing == Pairing::Rows, "operands in rows of words");
    loading.check(tiling, batch);
    let (method, depth, outputs) = (convolution.method, convolution.depth(), convolution.outputs());
    let points = method.points();
    assert!(
        gradient.len() >= batch * tiling.height * tiling.width * outputs,
        "the gradient is too short"
    );
    let count = points * depth * outputs;
    space.sums[..count].fill(0.0);
    for block in 0..tiling.blocks(batch) {
        let rectangles = tiling.block(batch, block);
        let block_rows = rows(convolution, rectangles);
        let left_point = convolution.left_point(Pairing::Rows, block_rows);
        let right_point = right_point(block_rows, outputs);
        let left = Shared::new(&mut space.left);
        let right = Shared::new(&mut space.right);
        let winograd = matches!(method, Method::Winograd(_));
        let prepare = loading.prepare_tasks(rectangles);
        // Plain gradients of whole lines are an operand as they are.
        let laid_out = winograd || convolution.arithmetic == Arithmetic::Bf16;
        let transform = if laid_out { rectangles.len() } else { 0 };
        for_each(&mut workspaces.threads, prepare + transform, |workspace, task| {
            if task < prepare {
                loading.prepare(rectangles, task, left, &mut workspace.region);
                return;
            }
            let index = task - prepare;
            let (before, until) = (
                rows(convolution, &rectangles[..index]),
                rows(convolution, &rectangles[..=index]),
            );
            assert!((points - 1) * right_point + until * outputs <= right.len());
            let tiles = GradientTiles {
                data: gradient.as_ptr(),
                height: tiling.height,
                width: tiling.width,
                channels: outputs,
                rectangle: rectangles[index],
                to: right.pointer(before * outputs),
                point: right_point,
            };
            // SAFETY: the gradient and the right-hand side were measured; no other task writes these rows.
            unsafe {
                match (method, convolution.arithmetic) {
                    (Method::Winograd(4), Arithmetic::F32) => transform_gradient_four(set, &tiles),
                    (Method::Winograd(4), Arithmetic::Bf16) => transform_gradient_four_paired(set, &tiles),
                    (Method::Winograd(_), Arithmetic::F32) => transform_gradient_two(set, &tiles),
                    (Method::Winograd(_), Arithmetic::Bf16) => transform_gradient_two_paired(set, &tiles),
                    (Method::Patches { .. }, _) => pair_lines(set, &tiles),
                }
            }
        });
        let sums = Shared::new(&mut space.sums);
        assert!(sums.len() >= count && (points - 1) * left_point + block_rows * depth <= left.len());
        let first = rectangles.first().map_or(0, |rectangle| {
            (rectangle.item * tiling.height + rectangle.row) * tiling.width
        });
        let parts = depth.div_ceil(ROWS);
        let tasks = if winograd { points } else { parts };
        for_each(&mut workspaces.threads, tasks, |_, task| {
            let (point, row, rows) = if winograd {
                (task, 0, depth)
            } else {
                (0, task * ROWS, ROWS.min(depth - task * ROWS))
            };
            let right = if laid_out {
                right.pointer(point * right_point).cast_const()
            } else {
                gradient[first * outputs..][..block_rows * outputs].as_ptr()
            };
            let extent = Extent {
                rows,
                depth: block_rows,
                columns: outputs,
                accumulate: true,
            };
            // SAFETY: both operands were laid out above, the sums measured, and no other task has these rows.
            unsafe {
                let multiply = match convolution.arithmetic {
                    Arithmetic::F32 => multiply,
                    Arithmetic::Bf16 => multiply_pairs,
                };
                multiply(
                    set,
                    extent,
                    Left {
                        data: left.pointer(point * left_point + row).cast_const(),
                        row: 1,
                        depth,
                    },
                    Matrix {
                        data: right,
                        row: outputs,
                    },
                    Matrix {
                        data: sums.pointer((point * depth + row) * outputs),
                        row: outputs,
                    },
                );
            }
        });
    }
}

/// Rounds the pixels of a rectangle of whole lines to bfloat16, two neighbours of a line in each row of words.
///
/// # Safety
/// The pointers hold what [`GradientTiles`] describes, with tiles of one pixel and one point; nothing else uses what is
/// written meanwhile.
unsafe fn pair_lines(set: InstructionSet, tiles: &GradientTiles) {
    let Rectangle {
        item,
        row,
        rows,
        column,
        columns,
        ..
    } = tiles.rectangle;
    for line in 0..rows {
        let first = (item * tiles.height + row + line) * tiles.width + column;
        for index in 0..columns {
            // SAFETY: the caller's promise.
            unsafe {
                let from = tiles.data.add((first + index) * tiles.channels);
                let to = tiles.to.add((line * columns.div_ceil(2) + index / 2) * tiles.channels);
                round_half(set, from, to, tiles.channels, index % 2 == 1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
