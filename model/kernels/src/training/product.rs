//! Matrix products with plain operands: the left one in rows or in columns, the right one in rows.

use crate::simd::{Pair, Single, Vector, Word, dispatch, dispatch_pairs};

/// The left operand: element (row, k) is `row * row_step + k * depth_step` behind `data`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) data: *const f32,
    pub(crate) row: usize,
    pub(crate) depth: usize,
}

/// A row-major operand by its address and the distance of its rows.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<Pointer> {
    pub(crate) data: Pointer,
    pub(crate) row: usize,
}

/// Sizes of a product; `columns` are whole channel blocks.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    /// Whether the product is added to what `out` holds.
    pub(crate) accumulate: bool,
}

dispatch!(
    /// `out[row][column] (+)= sum over k of left[row][k] right[k][column]`
    ///
    /// # Safety
    /// The operands hold what is described, `out` has room for [rows, columns] that nothing else uses meanwhile, and
    /// `columns` is a multiple of the channel block.
    pub(crate) unsafe fn multiply = product_body<Single>(
        extent: Extent, left: Left, right: Matrix<*const f32>, out: Matrix<*mut f32>)
);
dispatch_pairs!(
    /// As [`multiply`]; words of `left` and `right` are pairs of bfloat16 along the depth, those of `out` single numbers.
    ///
    /// # Safety
    /// As for [`multiply`].
    pub(crate) unsafe fn multiply_pairs = product_body<Pair>(
        extent: Extent, left: Left, right: Matrix<*const f32>, out: Matrix<*mut f32>)
);

#[inline(always)]
unsafe fn product_body<V: Vector, W: Word<V>>(
    extent: Extent,
    left: Left,
    right: Matrix<*const f32>,
    out: Matrix<*mut f32>,
) {
    let groups = extent.rows.div_ceil(V::ROWS);
    let mut column = 0;
    while column < extent.columns {
        let wide = extent.columns - column >= 2 * V::LANES;
        for group in 0..groups {
            let row = group * extent.rows / groups;
            let count = (group + 1) * extent.rows / groups - row;
            // SAFETY: the caller's promise; rows and columns are within the extent.
            unsafe {
                let left = Left {
                    data: left.data.add(row * left.row),
                    ..left
                };
                let right = Matrix {
                    data: right.data.add(column),
                    ..right
                };
                let out = Matrix {
                    data: out.data.add(row * out.row + column),
                    ..out
                };
                if wide {
                    by_count::<V, W, 2>(count, extent, left, right, out);
                } else {
                    by_count::<V, W, 1>(count, extent, left, right, out);
                }
            }
        }
        column += if wide { 2 * V::LANES } else { V::LANES };
    }
}

#[inline(always)]
unsafe fn by_count<V: Vector, W: Word<V>, const COLUMNS: usize>(
    count: usize,
    extent: Extent,
    left: Left,
    right: Matrix<*const f32>,
    out: Matrix<*mut f32>,
) {
    macro_rules! choose {
        ($($rows:literal)*) => {
            match count {
                // SAFETY: the caller's promise, with `count` rows.
                $($rows if $rows <= V::ROWS => unsafe {
                    block::<V, W, $rows, COLUMNS>(extent, left, right, out)
                },)*
                _ => unreachable!("groups have at most {} rows", V::ROWS),
            }
        };
    }
    choose!(1 2 3 4 5 6 7 8 9 10)
}

#[inline(always)]
unsafe fn block<V: Vector, W: Word<V>, const ROWS: usize, const COLUMNS: usize>(
    extent: Extent,
    left: Left,
    right: Matrix<*const f32>,
    out: Matrix<*mut f32>,
) {
    // SAFETY: the caller promises ROWS rows on the left and COLUMNS vectors on the right and in `out`.
    unsafe {
        let mut sums = [[V::zero(); COLUMNS]; ROWS];
        if extent.accumulate {
            for (row, sums) in sums.iter_mut().enumerate() {
                for (column, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(out.data.add(row * out.row + column * V::LANES));
                }
            }
        }
        let (mut left_data, mut right_data) = (left.data, right.data);
        for _ in 0..extent.depth {
            let mut factors = [V::zero(); COLUMNS];
            for (column, factor) in factors.iter_mut().enumerate() {
                *factor = V::load(right_data.add(column * V::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = V::splat(*left_data.add(row * left.row));
                for (sum, factor) in sums.iter_mut().zip(factors) {
                    *sum = W::multiply_add(value, factor, *sum);
                }
            }
            left_data = left_data.wrapping_add(left.depth);
            right_data = right_data.wrapping_add(right.row);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (column, sum) in sums.iter().enumerate() {
                sum.store(out.data.add(row * out.row + column * V::LANES));
            }
        }
    }
}

#[cfg(test)]
mod tests;
