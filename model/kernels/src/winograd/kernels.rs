//! Kernels to points.

use super::schemes::{Four, Scheme, Two};
use crate::simd::{CHANNEL_BLOCK, RowPair, Single, Vector, Word, dispatch, dispatch_pairs};

dispatch!(
    /// Maps kernels to points: `taps` is [3, 3, CHANNEL_BLOCK], `to` the first of `INPUTS`^2 blocks of CHANNEL_BLOCK,
    /// `point` apart.
    ///
    /// # Safety
    /// The pointers hold what is described; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn transform_kernel_four = transform_kernels<Four, Single>(
        taps: *const f32, to: *mut f32, point: usize, second: bool)
);
dispatch!(
    /// As `transform_kernel_four`.
    ///
    /// # Safety
    /// As for `transform_kernel_four`.
    pub(crate) unsafe fn transform_kernel_two = transform_kernels<Two, Single>(
        taps: *const f32, to: *mut f32, point: usize, second: bool)
);
dispatch_pairs!(
    /// As `transform_kernel_four`, rounded to bfloat16: one half of the words, see [`Pairs::store_half`](crate::simd::Pairs).
    ///
    /// # Safety
    /// As for `transform_kernel_four`.
    pub(crate) unsafe fn transform_kernel_four_half = transform_kernels<Four, RowPair>(
        taps: *const f32, to: *mut f32, point: usize, second: bool)
);
dispatch_pairs!(
    /// As `transform_kernel_four_half`.
    ///
    /// # Safety
    /// As for `transform_kernel_four`.
    pub(crate) unsafe fn transform_kernel_two_half = transform_kernels<Two, RowPair>(
        taps: *const f32, to: *mut f32, point: usize, second: bool)
);

#[inline(always)]
unsafe fn transform_kernels<V: Vector, S: Scheme, W: Word<V>>(
    taps: *const f32,
    to: *mut f32,
    point: usize,
    second: bool,
) {
    for lane in (0..CHANNEL_BLOCK).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut half = [[V::zero(); 3]; 6];
            for x in 0..3 {
                let column = [0, 1, 2].map(|y| V::load(taps.add((y * 3 + x) * CHANNEL_BLOCK + lane)));
                let values = S::kernel(column);
                for y in 0..S::INPUTS {
                    half[y][x] = values[y];
                }
            }
            for (y, values) in half.iter().enumerate().take(S::INPUTS) {
                let values = S::kernel(*values);
                for (x, value) in values.iter().enumerate().take(S::INPUTS) {
                    W::store(*value, to, (y * S::INPUTS + x) * point + lane, second);
                }
            }
        }
    }
}
