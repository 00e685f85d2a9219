//! Arrays that the compiler vectorises for the target's base instructions (SSE2, NEON).

use super::vector::{Pairs, Vector};
use super::words::{bf16_value, round_to_bf16};

#[derive(Clone, Copy)]
pub(crate) struct Portable<const LANES: usize>([f32; LANES]);

/// Fused where that is one instruction of the target: elsewhere it would be a call of the C library.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// Added to a small number, it leaves the nearest whole number in the lowest bits.
const ROUNDER: f32 = 12_582_912.0;

impl<const LANES: usize> Portable<LANES> {
    #[inline(always)]
    fn zip(self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        let mut result = self.0;
        for (value, other) in result.iter_mut().zip(other.0) {
            *value = operation(*value, other);
        }
        Self(result)
    }

    #[inline(always)]
    fn map(self, operation: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map(operation))
    }
}

// SAFETY: no special instructions are used; `load` and `store` touch LANES numbers.
unsafe impl<const N: usize> Vector for Portable<N> {
    const LANES: usize = N;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; N])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the trait; an array of f32 needs the alignment of f32 alone.
        Self(unsafe { from.cast::<[f32; N]>().read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the trait.
        unsafe { to.cast::<[f32; N]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        let mut result = self.0;
        for ((value, factor), term) in result.iter_mut().zip(factor.0).zip(term.0) {
            *value = multiply_add(*value, factor, term);
        }
        Self(result)
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, term: Self) -> Self {
        let mut result = self.0;
        for ((value, factor), term) in result.iter_mut().zip(factor.0).zip(term.0) {
            *value = multiply_add(-*value, factor, term);
        }
        Self(result)
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { b } else { a })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { b } else { a })
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        self.map(|a| (a + ROUNDER) - ROUNDER)
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        self.map(|a| {
            let whole = (a + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits());
            f32::from_bits(whole.wrapping_add(127) << 23)
        })
    }
}

// SAFETY: no special instructions are used; `store_rounded` writes LANES numbers.
unsafe impl<const N: usize> Pairs for Portable<N> {
    #[inline(always)]
    unsafe fn dot_pairs(self, factor: Self, term: Self) -> Self {
        let mut result = term.0;
        for ((value, factor), sum) in self.0.iter().zip(factor.0).zip(&mut result) {
            let (value, factor) = (value.to_bits(), factor.to_bits());
            *sum += bf16_value((value >> 16) as u16) * bf16_value((factor >> 16) as u16);
            *sum += bf16_value(value as u16) * bf16_value(factor as u16);
        }
        Self(result)
    }
    #[inline(always)]
    unsafe fn store_rounded(self, to: *mut u16) {
        // SAFETY: see the trait.
        unsafe { to.cast::<[u16; N]>().write_unaligned(self.0.map(round_to_bf16)) }
    }
    #[inline(always)]
    unsafe fn store_half(self, to: *mut f32, second: bool) {
        // SAFETY: see the trait.
        unsafe {
            let to = to.cast::<[u32; N]>();
            let words = self.0.map(|value| u32::from(round_to_bf16(value)));
            if second {
                let first = to.read();
                to.write(std::array::from_fn(|lane| first[lane] | words[lane] << 16));
            } else {
                to.write(words);
            }
        }
    }
}
