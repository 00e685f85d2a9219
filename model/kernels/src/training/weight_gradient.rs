//! Gradients of convolution weights: products over all pixels, or over all tiles point by point where the method is
//! Winograd's.
//!
//! One block of tiles after another is laid out (inputs as in the forward pass, gradients of the outputs mapped to
//! points) and multiplied; threads share the tiles of a block while it is laid out and the rows of the product while
//! it is multiplied, so the order of every sum, and with it the result, does not depend on the number of threads.

use super::product::{Extent, Left, Matrix, multiply};
use crate::convolution::{Convolution, Loading, Method, Workspaces};
use crate::memory::{Buffer, Shared};
use crate::simd::CHANNEL_BLOCK;
use crate::threads::for_each;
use crate::tiling::Tiling;
use crate::winograd::{GradientTiles, transform_gradient_four, transform_gradient_two};

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
    /// For one convolution.
    pub(crate) fn of(convolution: &Convolution, tiling: &Tiling) -> Self {
        let tiles = tiling.largest_block();
        let points = convolution.method.points();
        Self {
            left: points * convolution.left_point(tiles),
            right: points * right_point(tiles, convolution.outputs()),
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

/// The extra line spreads the points over the sets of the cache.
fn right_point(tiles: usize, channels: usize) -> usize {
    tiles * channels + CHANNEL_BLOCK
}

/// A tiling for the gradient of a convolution's weights: large blocks, so that the products run over many tiles.
pub(crate) fn tiling(convolution: &Convolution, batch: usize, height: usize, width: usize) -> Tiling {
    match convolution.method {
        Method::Winograd(side) => {
            let channels = convolution.depth() + convolution.outputs();
            // About 1 MiB of both operands.
            let target = (256 * 1024 / (convolution.method.points() * channels)).clamp(32, 512);
            Tiling::new(batch, height, width, side, target)
        }
        // Whole lines, so that a block's gradients lie side by side.
        Method::Patches { .. } => Tiling::new(batch, height, width, 1, width.max(192)),
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
        let (_, rectangles) = tiling.block(batch, block);
        let tiles: usize = rectangles.iter().map(|rectangle| rectangle.tiles()).sum();
        let (left_point, right_point) = (convolution.left_point(tiles), right_point(tiles, outputs));
        let left = Shared::new(&mut space.left);
        let right = Shared::new(&mut space.right);
        let winograd = matches!(method, Method::Winograd(_));
        let prepare = loading.prepare_tasks(rectangles);
        let transform = if winograd { rectangles.len() } else { 0 };
        for_each(&mut workspaces.threads, prepare + transform, |workspace, task| {
            if task < prepare {
                loading.prepare(rectangles, task, left, &mut workspace.region);
                return;
            }
            let index = task - prepare;
            let before: usize = rectangles[..index].iter().map(|rectangle| rectangle.tiles()).sum();
            let tiles = rectangles[index].tiles();
            assert!((points - 1) * right_point + (before + tiles) * outputs <= right.len());
            let tiles = GradientTiles {
                data: gradient.as_ptr(),
                height: tiling.height,
                width: tiling.width,
                channels: outputs,
                rectangle: rectangles[index],
                to: right.pointer(before * outputs),
                point: right_point,
            };
            // SAFETY: the gradient and the right-hand side were measured; no other task writes these tiles.
            unsafe {
                match method {
                    Method::Winograd(4) => transform_gradient_four(set, &tiles),
                    _ => transform_gradient_two(set, &tiles),
                }
            }
        });
        let sums = Shared::new(&mut space.sums);
        assert!(sums.len() >= count && (points - 1) * left_point + tiles * depth <= left.len());
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
            let right = if winograd {
                right.pointer(point * right_point).cast_const()
            } else {
                gradient[first * outputs..][..tiles * outputs].as_ptr()
            };
            let extent = Extent {
                rows,
                depth: tiles,
                columns: outputs,
                accumulate: true,
            };
            // SAFETY: both operands were laid out above, the sums measured, and no other task has these rows.
            unsafe {
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

#[cfg(test)]
mod tests;
