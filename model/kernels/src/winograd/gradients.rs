//! Gradients: of outputs to points, and of points to the taps of kernels.

use super::schemes::{Four, Scheme, Two};
use crate::simd::{CHANNEL_BLOCK, RowPair, Single, Vector, Word, dispatch, dispatch_pairs};
use crate::tiling::Rectangle;

dispatch!(
    /// Maps the gradients of kernels' points, `INPUTS`^2 blocks of CHANNEL_BLOCK `point` apart, to those of the taps,
    /// [3, 3, CHANNEL_BLOCK].
    ///
    /// # Safety
    /// The pointers hold what is described; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn kernel_gradient_four = kernel_gradients<Four>(from: *const f32, point: usize, taps: *mut f32)
);
dispatch!(
    /// As `kernel_gradient_four`.
    ///
    /// # Safety
    /// As for `kernel_gradient_four`.
    pub(crate) unsafe fn kernel_gradient_two = kernel_gradients<Two>(from: *const f32, point: usize, taps: *mut f32)
);

#[inline(always)]
unsafe fn kernel_gradients<V: Vector, S: Scheme>(from: *const f32, point: usize, taps: *mut f32) {
    for lane in (0..CHANNEL_BLOCK).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut half = [[V::zero(); 6]; 3];
            for x in 0..S::INPUTS {
                let mut column = [V::zero(); 6];
                for (y, value) in column.iter_mut().enumerate().take(S::INPUTS) {
                    *value = V::load(from.add((y * S::INPUTS + x) * point + lane));
                }
                let values = S::kernel_gradient(column);
                for y in 0..3 {
                    half[y][x] = values[y];
                }
            }
            for (y, values) in half.iter().enumerate() {
                let values = S::kernel_gradient(*values);
                for (x, value) in values.iter().enumerate() {
                    value.store(taps.add((y * 3 + x) * CHANNEL_BLOCK + lane));
                }
            }
        }
    }
}

/// A rectangle of tiles of an activation's gradient, and where its points go.
#[derive(Clone, Copy)]
pub(crate) struct GradientTiles {
    /// The whole gradient [batch, height, width, channels].
    pub(crate) data: *const f32,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) rectangle: Rectangle,
    /// `INPUTS`^2 matrices [tiles, channels] of words, `point` apart.
    pub(crate) to: *mut f32,
    pub(crate) point: usize,
}

dispatch!(
    /// Maps the tiles of an output's gradient to points.
    ///
    /// # Safety
    /// The pointers hold what [`GradientTiles`] describes; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn transform_gradient_four = transform_gradient<Four, Single>(tiles: &GradientTiles)
);
dispatch!(
    /// As `transform_gradient_four`.
    ///
    /// # Safety
    /// As for `transform_gradient_four`.
    pub(crate) unsafe fn transform_gradient_two = transform_gradient<Two, Single>(tiles: &GradientTiles)
);
dispatch_pairs!(
    /// As `transform_gradient_four`, rounded to bfloat16, with two tiles in each row of words.
    ///
    /// # Safety
    /// As for `transform_gradient_four`.
    pub(crate) unsafe fn transform_gradient_four_paired = transform_gradient<Four, RowPair>(tiles: &GradientTiles)
);
dispatch_pairs!(
    /// As `transform_gradient_four_paired`.
    ///
    /// # Safety
    /// As for `transform_gradient_four`.
    pub(crate) unsafe fn transform_gradient_two_paired = transform_gradient<Two, RowPair>(tiles: &GradientTiles)
);

#[inline(always)]
unsafe fn transform_gradient<V: Vector, S: Scheme, W: Word<V>>(tiles: &GradientTiles) {
    let rectangle = tiles.rectangle;
    let image = rectangle.item * tiles.height * tiles.width;
    for tile in 0..rectangle.tiles() {
        let y = (rectangle.row + tile / rectangle.columns) * S::OUTPUTS;
        let x = (rectangle.column + tile % rectangle.columns) * S::OUTPUTS;
        let (rows, columns) = (S::OUTPUTS.min(tiles.height - y), S::OUTPUTS.min(tiles.width - x));
        // SAFETY: the caller's promise; numbers past the image's borders are not read.
        unsafe {
            let from = tiles.data.add((image + y * tiles.width + x) * tiles.channels);
            let (row, second) = W::place(tile);
            let to = tiles.to.add(row * tiles.channels);
            if rows == S::OUTPUTS && columns == S::OUTPUTS {
                transform_gradient_tile::<V, S, W>(tiles, from, to, second, S::OUTPUTS, S::OUTPUTS);
            } else {
                transform_gradient_tile::<V, S, W>(tiles, from, to, second, rows, columns);
            }
        }
    }
}

#[inline(always)]
unsafe fn transform_gradient_tile<V: Vector, S: Scheme, W: Word<V>>(
    tiles: &GradientTiles,
    from: *const f32,
    to: *mut f32,
    second: bool,
    rows: usize,
    columns: usize,
) {
    let mut channel = 0;
    while channel < tiles.channels {
        // SAFETY: the caller's promise.
        unsafe {
            let mut half = [[V::zero(); 4]; 6];
            for x in 0..columns {
                let mut values = [V::zero(); 4];
                for (y, value) in values.iter_mut().enumerate().take(rows) {
                    let from = from.add((y * tiles.width + x) * tiles.channels + channel);
                    V::prefetch(from.wrapping_add(2 * S::OUTPUTS * tiles.channels));
                    *value = V::load(from);
                }
                let values = S::output_gradient(values);
                for y in 0..S::INPUTS {
                    half[y][x] = values[y];
                }
            }
            for (y, values) in half.iter().enumerate().take(S::INPUTS) {
                let values = S::output_gradient(*values);
                for (x, value) in values.iter().enumerate().take(S::INPUTS) {
                    W::store(*value, to, (y * S::INPUTS + x) * tiles.point + channel, second);
                }
            }
        }
        channel += V::LANES;
    }
}
