//! Kernels to points.

use super::schemes::{Four, Scheme, Two};
use crate::simd::{CHANNEL_BLOCK, Vector, dispatch};

dispatch!(
    /// Maps kernels to points: `taps` is [3, 3, CHANNEL_BLOCK], `to` the first of `INPUTS`^2 blocks of CHANNEL_BLOCK,
    /// `point` apart.
    ///
    /// # Safety
    /// The pointers hold what is described; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn transform_kernel_four = transform_kernels<Four>(taps: *const f32, to: *mut f32, point: usize)
);
dispatch!(
    /// As `transform_kernel_four`.
    ///
    /// # Safety
    /// As for `transform_kernel_four`.
    pub(crate) unsafe fn transform_kernel_two = transform_kernels<Two>(taps: *const f32, to: *mut f32, point: usize)
);

#[inline(always)]
unsafe fn transform_kernels<V: Vector, S: Scheme>(taps: *const f32, to: *mut f32, point: usize) {
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
                    value.store(to.add((y * S::INPUTS + x) * point + lane));
                }
            }
        }
    }
}
