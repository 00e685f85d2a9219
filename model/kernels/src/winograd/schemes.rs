//! The maps of the schemes in one dimension.

use crate::simd::Vector;

/// One minimal filtering scheme: its one-dimensional maps, applied to columns and then rows.
pub(crate) trait Scheme {
    /// Outputs of a tile, in one dimension.
    const OUTPUTS: usize;
    /// Inputs of a tile, in one dimension: also the number of points.
    const INPUTS: usize;

    /// Inputs to points; only the first `INPUTS` are used.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn input<V: Vector>(d: [V; 6]) -> [V; 6];

    /// Points to outputs; only the first `OUTPUTS` are used.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4];

    /// Kernel taps to points; only the first `INPUTS` are used.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn kernel<V: Vector>(g: [V; 3]) -> [V; 6];

    /// The transpose of `output`: gradients of the outputs to points.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn output_gradient<V: Vector>(d: [V; 4]) -> [V; 6];

    /// The transpose of `kernel`: gradients of the points to those of the taps.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn kernel_gradient<V: Vector>(m: [V; 6]) -> [V; 3];
}

/// F(2x2, 3x3)
pub(crate) struct Two;
/// F(4x4, 3x3)
pub(crate) struct Four;
/// No transformation: the products are the outputs.
pub(crate) struct Direct;

impl Scheme for Two {
    const OUTPUTS: usize = 2;
    const INPUTS: usize = 4;

    #[inline(always)]
    unsafe fn input<V: Vector>(d: [V; 6]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            [
                d[0].sub(d[2]),
                d[1].add(d[2]),
                d[2].sub(d[1]),
                d[1].sub(d[3]),
                d[4],
                d[5],
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
        // SAFETY: the caller's promise.
        unsafe { [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3]), m[4], m[5]] }
    }

    #[inline(always)]
    unsafe fn kernel<V: Vector>(g: [V; 3]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let half = V::splat(0.5);
            let even = g[0].add(g[2]).mul(half);
            let odd = g[1].mul(half);
            [g[0], even.add(odd), even.sub(odd), g[2], V::zero(), V::zero()]
        }
    }

    #[inline(always)]
    unsafe fn output_gradient<V: Vector>(d: [V; 4]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = V::zero();
            [d[0], d[0].add(d[1]), d[0].sub(d[1]), zero.sub(d[1]), zero, zero]
        }
    }

    #[inline(always)]
    unsafe fn kernel_gradient<V: Vector>(m: [V; 6]) -> [V; 3] {
        // SAFETY: the caller's promise.
        unsafe {
            let half = V::splat(0.5);
            let even = m[1].add(m[2]).mul(half);
            [m[0].add(even), m[1].sub(m[2]).mul(half), even.add(m[3])]
        }
    }
}

/// The points of [`Four`] beside 0 and infinity are NEAR, -NEAR, FAR and -FAR; their powers are exact.
const NEAR: f32 = 0.625;
const FAR: f32 = 1.5;
const NEAR_2: f32 = NEAR * NEAR;
const FAR_2: f32 = FAR * FAR;
/// Lagrange's denominators: of 0, of the near and of the far points.
const AT_ZERO: f32 = 1.0 / (NEAR_2 * FAR_2);
const AT_NEAR: f32 = 1.0 / (2.0 * NEAR_2 * (NEAR_2 - FAR_2));
const AT_FAR: f32 = 1.0 / (2.0 * FAR_2 * (FAR_2 - NEAR_2));

impl Scheme for Four {
    const OUTPUTS: usize = 4;
    const INPUTS: usize = 6;

    #[inline(always)]
    unsafe fn input<V: Vector>(d: [V; 6]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let (near, far) = (V::splat(NEAR), V::splat(FAR));
            let (near_2, far_2) = (V::splat(NEAR_2), V::splat(FAR_2));
            let (product, sum) = (V::splat(NEAR_2 * FAR_2), V::splat(NEAR_2 + FAR_2));
            let (even, odd) = (d[2].mul_sub_from(far_2, d[4]), d[1].mul_sub_from(far_2, d[3]));
            let (even_2, odd_2) = (d[2].mul_sub_from(near_2, d[4]), d[1].mul_sub_from(near_2, d[3]));
            [
                d[2].mul_sub_from(sum, d[0].mul_add(product, d[4])),
                odd.mul_add(near, even),
                odd.mul_sub_from(near, even),
                odd_2.mul_add(far, even_2),
                odd_2.mul_sub_from(far, even_2),
                d[3].mul_sub_from(sum, d[1].mul_add(product, d[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let (even, odd) = (m[1].add(m[2]), m[1].sub(m[2]));
            let (even_2, odd_2) = (m[3].add(m[4]), m[3].sub(m[4]));
            [
                m[0].add(even).add(even_2),
                odd_2.mul_add(V::splat(FAR), odd.mul(V::splat(NEAR))),
                even_2.mul_add(V::splat(FAR_2), even.mul(V::splat(NEAR_2))),
                odd_2.mul_add(V::splat(FAR * FAR_2), odd.mul_add(V::splat(NEAR * NEAR_2), m[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn kernel<V: Vector>(g: [V; 3]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let even = g[2].mul_add(V::splat(NEAR_2 * AT_NEAR), g[0].mul(V::splat(AT_NEAR)));
            let odd = g[1].mul(V::splat(NEAR * AT_NEAR));
            let even_2 = g[2].mul_add(V::splat(FAR_2 * AT_FAR), g[0].mul(V::splat(AT_FAR)));
            let odd_2 = g[1].mul(V::splat(FAR * AT_FAR));
            [
                g[0].mul(V::splat(AT_ZERO)),
                even.add(odd),
                even.sub(odd),
                even_2.add(odd_2),
                even_2.sub(odd_2),
                g[2],
            ]
        }
    }

    #[inline(always)]
    unsafe fn output_gradient<V: Vector>(d: [V; 4]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let even = d[2].mul_add(V::splat(NEAR_2), d[0]);
            let odd = d[3].mul_add(V::splat(NEAR * NEAR_2), d[1].mul(V::splat(NEAR)));
            let even_2 = d[2].mul_add(V::splat(FAR_2), d[0]);
            let odd_2 = d[3].mul_add(V::splat(FAR * FAR_2), d[1].mul(V::splat(FAR)));
            [
                d[0],
                even.add(odd),
                even.sub(odd),
                even_2.add(odd_2),
                even_2.sub(odd_2),
                d[3],
            ]
        }
    }

    #[inline(always)]
    unsafe fn kernel_gradient<V: Vector>(m: [V; 6]) -> [V; 3] {
        // SAFETY: the caller's promise.
        unsafe {
            let near = V::splat(AT_NEAR);
            let far = V::splat(AT_FAR);
            let (even, odd) = (m[1].add(m[2]).mul(near), m[1].sub(m[2]).mul(near));
            let (even_2, odd_2) = (m[3].add(m[4]).mul(far), m[3].sub(m[4]).mul(far));
            [
                m[0].mul_add(V::splat(AT_ZERO), even.add(even_2)),
                odd_2.mul_add(V::splat(FAR), odd.mul(V::splat(NEAR))),
                even_2.mul_add(V::splat(FAR_2), even.mul_add(V::splat(NEAR_2), m[5])),
            ]
        }
    }
}

impl Scheme for Direct {
    const OUTPUTS: usize = 1;
    const INPUTS: usize = 1;

    #[inline(always)]
    unsafe fn input<V: Vector>(d: [V; 6]) -> [V; 6] {
        d
    }

    #[inline(always)]
    unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
        [m[0], m[1], m[2], m[3]]
    }

    #[inline(always)]
    unsafe fn kernel<V: Vector>(g: [V; 3]) -> [V; 6] {
        [g[0], g[1], g[2], g[0], g[1], g[2]]
    }

    #[inline(always)]
    unsafe fn output_gradient<V: Vector>(d: [V; 4]) -> [V; 6] {
        [d[0], d[1], d[2], d[3], d[0], d[1]]
    }

    #[inline(always)]
    unsafe fn kernel_gradient<V: Vector>(m: [V; 6]) -> [V; 3] {
        [m[0], m[1], m[2]]
    }
}
