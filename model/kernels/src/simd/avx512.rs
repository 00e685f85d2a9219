//! AVX-512 (foundation instructions, and bfloat16 where there is): 16 lanes, 32 registers.

use super::vector::{Pairs, Vector};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

// SAFETY: each method is the intrinsic of the same meaning; callers promise AVX-512F.
unsafe impl Vector for Avx512 {
    const LANES: usize = 16;
    // 10 x 2 accumulators hide the latency; more rows would need more addresses than there are registers for them.
    const ROWS: usize = 10;

    #[inline(always)]
    fn prefetch(address: *const f32) {
        // SAFETY: nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the trait.
        Self(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the trait.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, term: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_fnmadd_ps(self.0, factor.0, term.0) })
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // The instruction returns its second operand where one is NaN.
        // SAFETY: see the impl.
        Self(unsafe { _mm512_max_ps(other.0, self.0) })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_min_ps(other.0, self.0) })
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // Scale 0: to a whole number, to nearest.
        // SAFETY: see the impl.
        Self(unsafe { _mm512_roundscale_ps::<0>(self.0) })
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        // SAFETY: see the impl.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent)))
        }
    }
    #[inline(always)]
    unsafe fn scale_by_power(self, exponent: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_scalef_ps(self.0, exponent.0) })
    }
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // 14 bits, doubled by one step of Newton's: a third of a division's time.
        // SAFETY: see the impl.
        unsafe {
            let guess = _mm512_rcp14_ps(self.0);
            Self(_mm512_mul_ps(
                guess,
                _mm512_fnmadd_ps(self.0, guess, _mm512_set1_ps(2.0)),
            ))
        }
    }
}

// SAFETY: each method is the intrinsic of the same meaning; callers promise AVX512-BF16.
unsafe impl Pairs for Avx512 {
    #[inline(always)]
    unsafe fn dot_pairs(self, factor: Self, term: Self) -> Self {
        // SAFETY: see the impl; all bit patterns are valid in both types.
        unsafe {
            let [value, factor]: [__m512bh; 2] = std::mem::transmute([self.0, factor.0]);
            Self(_mm512_dpbf16_ps(term.0, value, factor))
        }
    }
    #[inline(always)]
    unsafe fn store_rounded(self, to: *mut u16) {
        // SAFETY: see the trait.
        unsafe {
            let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(self.0));
            _mm256_storeu_si256(to.cast(), rounded);
        }
    }
    #[inline(always)]
    unsafe fn store_half(self, to: *mut f32, second: bool) {
        // SAFETY: see the trait.
        unsafe {
            let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(self.0));
            let mut words = _mm512_cvtepu16_epi32(rounded);
            if second {
                words = _mm512_or_si512(_mm512_slli_epi32::<16>(words), _mm512_loadu_si512(to.cast()));
            }
            _mm512_storeu_si512(to.cast(), words);
        }
    }
}
