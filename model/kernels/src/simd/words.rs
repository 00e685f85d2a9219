//! Numbers of a product: single precision, or pairs of bfloat16.

use super::vector::{Pairs, Vector};

/// The nearest bfloat16, ties to even; NaN stays NaN.
pub(crate) fn round_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Two bfloat16 numbers as one word of a packed matrix.
pub(crate) fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits(u32::from(round_to_bf16(first)) | u32::from(round_to_bf16(second)) << 16)
}

/// The number that a bfloat16 stands for.
pub(crate) fn bf16_value(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// What the products of a convolution are computed in, and so what a word of its left-hand side and its weights holds.
pub(crate) trait Word<V: Vector> {
    /// `term` plus the products of the words' numbers.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn multiply_add(value: V, factor: V, term: V) -> V;

    /// The row of words that holds row `row` of numbers, and whether it is the second one there.
    #[inline(always)]
    fn place(row: usize) -> (usize, bool) {
        (row, false)
    }

    /// Writes the numbers of a vector, from number `index` of the words at `to` on: as the second of two rows there, or not.
    ///
    /// # Safety
    /// The processor has `V`'s instructions, and there is room.
    unsafe fn store(value: V, to: *mut f32, index: usize, second: bool);
}

/// One single-precision number.
pub(crate) struct Single;
/// Two bfloat16 numbers that are neighbours in a row.
pub(crate) struct Pair;
/// Two bfloat16 numbers of neighbouring rows.
pub(crate) struct RowPair;

impl<V: Vector> Word<V> for Single {
    #[inline(always)]
    unsafe fn multiply_add(value: V, factor: V, term: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { value.mul_add(factor, term) }
    }
    #[inline(always)]
    unsafe fn store(value: V, to: *mut f32, index: usize, _: bool) {
        // SAFETY: the caller's promise.
        unsafe { value.store(to.add(index)) }
    }
}

impl<V: Pairs> Word<V> for Pair {
    #[inline(always)]
    unsafe fn multiply_add(value: V, factor: V, term: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { value.dot_pairs(factor, term) }
    }
    #[inline(always)]
    unsafe fn store(value: V, to: *mut f32, index: usize, _: bool) {
        // SAFETY: the caller's promise.
        unsafe { value.store_rounded(to.cast::<u16>().add(index)) }
    }
}

impl<V: Pairs> Word<V> for RowPair {
    #[inline(always)]
    unsafe fn multiply_add(value: V, factor: V, term: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { value.dot_pairs(factor, term) }
    }
    #[inline(always)]
    fn place(row: usize) -> (usize, bool) {
        (row / 2, row % 2 == 1)
    }
    #[inline(always)]
    unsafe fn store(value: V, to: *mut f32, index: usize, second: bool) {
        // SAFETY: the caller's promise.
        unsafe { value.store_half(to.add(index), second) }
    }
}
