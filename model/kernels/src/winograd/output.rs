//! Products back to outputs, with bias, residual and sums.

use super::schemes::{Direct, Four, Scheme, Two};
use crate::simd::{Vector, dispatch};
use crate::tiling::Rectangle;

/// Where and how the outputs of one rectangle of tiles are written.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    /// `INPUTS`^2 matrices [tiles, columns], rows `product_row` and matrices `product_point` apart; rows of tiles are
    /// `product_line` of their rows apart.
    pub(crate) product: *const f32,
    pub(crate) product_row: usize,
    pub(crate) product_line: usize,
    pub(crate) product_point: usize,
    /// The rectangle of tiles, and the size of the image.
    pub(crate) rectangle: Rectangle,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// The output's channels `first..first + columns` of `channels` are written.
    pub(crate) first: usize,
    pub(crate) columns: usize,
    pub(crate) channels: usize,
    /// One number for each of the output's channels.
    pub(crate) bias: *const f32,
    /// An activation of the output's shape that is added, or null; may be the output itself.
    pub(crate) residual: *const f32,
    /// The whole output [batch, height, width, channels].
    pub(crate) out: *mut f32,
    /// Whether the output is larger than the cache, so that what lies ahead is asked for.
    pub(crate) far: bool,
    /// Sums and sums of squares of the outputs of each of the rectangle's strips, [strips, 2, channels], or null.
    pub(crate) sums: *mut f32,
}

dispatch!(
    /// Maps products back to outputs, adds bias and residual, and sums the outputs by channel.
    ///
    /// # Safety
    /// The pointers hold what [`Finish`] describes; the rectangle's outputs and sums, for the channels written, are
    /// used by nothing else meanwhile; columns are whole channel blocks.
    pub(crate) unsafe fn finish_four = finish_tiles<Four>(finish: &Finish)
);
dispatch!(
    /// As `finish_four`.
    ///
    /// # Safety
    /// As for `finish_four`.
    pub(crate) unsafe fn finish_two = finish_tiles<Two>(finish: &Finish)
);
dispatch!(
    /// As `finish_four`, for products that are outputs already.
    ///
    /// # Safety
    /// As for `finish_four`.
    pub(crate) unsafe fn finish_direct = finish_tiles<Direct>(finish: &Finish)
);

#[inline(always)]
unsafe fn finish_tiles<V: Vector, S: Scheme>(finish: &Finish) {
    let rectangle = finish.rectangle;
    let image = rectangle.item * finish.height * finish.width;
    // SAFETY: the caller's promise; outputs past the image's borders are not touched.
    unsafe {
        if !finish.sums.is_null() {
            for strip in 0..rectangle.rows {
                let sums = finish.sums.add(strip * 2 * finish.channels + finish.first);
                std::ptr::write_bytes(sums, 0, finish.columns);
                std::ptr::write_bytes(sums.add(finish.channels), 0, finish.columns);
            }
        }
        for tile in 0..rectangle.tiles() {
            let (row, column) = (tile / rectangle.columns, tile % rectangle.columns);
            let y = (rectangle.row + row) * S::OUTPUTS;
            let x = (rectangle.column + column) * S::OUTPUTS;
            let (rows, columns) = (S::OUTPUTS.min(finish.height - y), S::OUTPUTS.min(finish.width - x));
            let product = finish
                .product
                .add((row * finish.product_line + column) * finish.product_row);
            let place = (image + y * finish.width + x) * finish.channels + finish.first;
            let sums = match finish.sums.is_null() {
                true => finish.sums,
                false => finish.sums.add(row * 2 * finish.channels + finish.first),
            };
            if rows == S::OUTPUTS && columns == S::OUTPUTS {
                finish_tile::<V, S>(finish, product, place, sums, S::OUTPUTS, S::OUTPUTS);
            } else {
                finish_tile::<V, S>(finish, product, place, sums, rows, columns);
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)] // the index is a column of `half` and a distance in memory
unsafe fn finish_tile<V: Vector, S: Scheme>(
    finish: &Finish,
    product: *const f32,
    place: usize,
    sums: *mut f32,
    rows: usize,
    columns: usize,
) {
    let mut channel = 0;
    while channel < finish.columns {
        // SAFETY: the caller's promise.
        unsafe {
            let mut half = [[V::zero(); 6]; 4];
            for x in 0..S::INPUTS {
                let mut values = [V::zero(); 6];
                for (y, value) in values.iter_mut().enumerate().take(S::INPUTS) {
                    *value = V::load(product.add((y * S::INPUTS + x) * finish.product_point + channel));
                }
                let values = S::output(values);
                for y in 0..S::OUTPUTS {
                    half[y][x] = values[y];
                }
            }
            let bias = V::load(finish.bias.add(finish.first + channel));
            let (mut sum, mut squares) = (V::zero(), V::zero());
            for (y, values) in half.iter().enumerate().take(rows) {
                let values = S::output(*values);
                for (x, value) in values.iter().enumerate().take(columns) {
                    let offset = place + (y * finish.width + x) * finish.channels + channel;
                    let mut value = value.add(bias);
                    let ahead = offset + 2 * S::OUTPUTS * finish.channels;
                    if finish.far {
                        V::prefetch(finish.out.wrapping_add(ahead));
                    }
                    if !finish.residual.is_null() {
                        if finish.far {
                            V::prefetch(finish.residual.wrapping_add(ahead));
                        }
                        value = value.add(V::load(finish.residual.add(offset)));
                    }
                    value.store(finish.out.add(offset));
                    sum = sum.add(value);
                    squares = value.mul_add(value, squares);
                }
            }
            if !sums.is_null() {
                let to = sums.add(channel);
                V::load(to).add(sum).store(to);
                let to = to.add(finish.channels);
                V::load(to).add(squares).store(to);
            }
        }
        channel += V::LANES;
    }
}
