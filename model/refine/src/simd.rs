//! Inner loops compiled twice: for every machine, and for AVX2, where the compiler makes vectors twice as wide of the
//! same code; where it does not see that it could, code says so with [`Lanes`]. Which one runs is asked of the processor; both
//! have the same results.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::sync::atomic::{AtomicBool, Ordering};

static PORTABLE: AtomicBool = AtomicBool::new(false);

/// Whether the whole process leaves AVX2 aside from now on: to measure what it gains.
pub fn use_portable(portable: bool) {
    PORTABLE.store(portable, Ordering::Relaxed);
}

/// Whether the processor has AVX2 and it is not left aside.
#[cfg(target_arch = "x86_64")]
pub fn has_avx2() -> bool {
    !PORTABLE.load(Ordering::Relaxed) && std::arch::is_x86_feature_detected!("avx2")
}

/// e to the power `x`, to 2 units in the last place, in operations that compilers vectorise; at most 2^127, 0 below e^-87, and NaN
/// of NaN. (Cephes, `expf`.)
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// At 1.5 * 2^23 the last bit of a float is worth one: adding it rounds.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let x = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut y = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        y = y * x + coefficient;
    }
    let power = rounded.to_bits().wrapping_add(127).wrapping_shl(23);
    (y * x * x + x + 1.0) * f32::from_bits(power)
}

/// The natural logarithm of a number that is at least `f32::MIN_POSITIVE`, to 2 units in the last place, in operations that compilers
/// vectorise; NaN of NaN. (Cephes, `logf`.)
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // The mantissa from sqrt(1/2) to sqrt(2).
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3);
    let exponent = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    let mut y = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333_1e-1,
    ] {
        y = y * m + coefficient;
    }
    let square = m * m;
    let small = y * m * square + exponent * -2.121_944_4e-4 - 0.5 * square;
    // NaN of NaN.
    m + small + exponent * 0.693_359_4 + 0.0 * x
}

/// Eight numbers that are computed with at once. A value shows that the processor can, so that others are made from one.
pub trait Lanes: Copy {
    /// Eight times the same.
    fn splat(self, value: f32) -> Self;
    /// Those of an array.
    fn load(self, values: &[f32; 8]) -> Self;
    /// As an array.
    fn array(self) -> [f32; 8];
    /// `self + other`
    fn plus(self, other: Self) -> Self;
    /// `self - other`
    fn minus(self, other: Self) -> Self;
    /// `self * other`
    fn times(self, other: Self) -> Self;
    /// `self` where it is less than `other`, else `other`.
    fn least(self, other: Self) -> Self;
    /// `self` where it is greater than `other`, else `other`.
    fn most(self, other: Self) -> Self;
    /// `yes` where `self - other` is less than 0, else `no`; where it is no number, either.
    fn less(self, other: Self, yes: Self, no: Self) -> Self;
    /// The first lanes of eight, the second lanes, and so on.
    fn transposed(rows: [Self; 8]) -> [Self; 8];
    /// The sum of each of four, from the first lane to the last.
    fn sums(all: [Self; 4]) -> [f32; 4];
}

/// [`Lanes`] of every processor.
impl Lanes for [f32; 8] {
    #[inline(always)]
    fn splat(self, value: f32) -> Self {
        [value; 8]
    }
    #[inline(always)]
    fn load(self, values: &[f32; 8]) -> Self {
        *values
    }
    #[inline(always)]
    fn array(self) -> [f32; 8] {
        self
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] - other[lane])
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * other[lane])
    }
    #[inline(always)]
    fn least(self, other: Self) -> Self {
        std::array::from_fn(|lane| {
            if self[lane] < other[lane] {
                self[lane]
            } else {
                other[lane]
            }
        })
    }
    #[inline(always)]
    fn most(self, other: Self) -> Self {
        std::array::from_fn(|lane| {
            if self[lane] > other[lane] {
                self[lane]
            } else {
                other[lane]
            }
        })
    }
    #[inline(always)]
    fn less(self, other: Self, yes: Self, no: Self) -> Self {
        std::array::from_fn(|lane| {
            if self[lane] - other[lane] < 0.0 {
                yes[lane]
            } else {
                no[lane]
            }
        })
    }
    #[inline(always)]
    fn transposed(rows: [Self; 8]) -> [Self; 8] {
        std::array::from_fn(|lane| rows.map(|row| row[lane]))
    }
    #[inline(always)]
    fn sums(all: [Self; 4]) -> [f32; 4] {
        all.map(|lanes| lanes[1..].iter().fold(lanes[0], |sum, value| sum + value))
    }
}

/// [`Lanes`] of processors that have AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx2(__m256);

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// Zeros.
    ///
    /// # Safety
    /// The processor must have AVX2.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { _mm256_setzero_ps() })
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "all are sound for one reason: a value shows that the processor has AVX2"
)]
impl Lanes for Avx2 {
    #[inline(always)]
    fn splat(self, value: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(value) })
    }
    #[inline(always)]
    fn load(self, values: &[f32; 8]) -> Self {
        Self(unsafe { _mm256_loadu_ps(values.as_ptr()) })
    }
    #[inline(always)]
    fn array(self) -> [f32; 8] {
        let mut values = [0.0; 8];
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), self.0) };
        values
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn least(self, other: Self) -> Self {
        Self(unsafe { _mm256_min_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn most(self, other: Self) -> Self {
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn less(self, other: Self, yes: Self, no: Self) -> Self {
        // Without the sum this becomes a masked store where `no` is what memory holds; those take AMD ten times as long.
        let no = no.plus(self.splat(0.0));
        Self(unsafe { _mm256_blendv_ps(no.0, yes.0, self.minus(other).0) })
    }
    #[inline(always)]
    fn transposed([a, b, c, d, e, f, g, h]: [Self; 8]) -> [Self; 8] {
        unsafe {
            // Pairs of rows, then fours of them, in each half; then the halves change places. (Closures would be left without AVX2.)
            let (ab, ab_high) = (_mm256_unpacklo_ps(a.0, b.0), _mm256_unpackhi_ps(a.0, b.0));
            let (cd, cd_high) = (_mm256_unpacklo_ps(c.0, d.0), _mm256_unpackhi_ps(c.0, d.0));
            let (ef, ef_high) = (_mm256_unpacklo_ps(e.0, f.0), _mm256_unpackhi_ps(e.0, f.0));
            let (gh, gh_high) = (_mm256_unpacklo_ps(g.0, h.0), _mm256_unpackhi_ps(g.0, h.0));
            let upper = [
                _mm256_shuffle_ps::<0x44>(ab, cd),
                _mm256_shuffle_ps::<0xEE>(ab, cd),
                _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm256_shuffle_ps::<0xEE>(ab_high, cd_high),
            ];
            let lower = [
                _mm256_shuffle_ps::<0x44>(ef, gh),
                _mm256_shuffle_ps::<0xEE>(ef, gh),
                _mm256_shuffle_ps::<0x44>(ef_high, gh_high),
                _mm256_shuffle_ps::<0xEE>(ef_high, gh_high),
            ];
            let mut columns = [a; 8];
            for lane in 0..4 {
                columns[lane] = Self(_mm256_permute2f128_ps::<0x20>(upper[lane], lower[lane]));
                columns[lane + 4] = Self(_mm256_permute2f128_ps::<0x31>(upper[lane], lower[lane]));
            }
            columns
        }
    }
    #[inline(always)]
    fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        unsafe {
            // In each half: lanes 0 and 1 of two, and 2 and 3; then lane by lane those of all four.
            let (ab, cd) = (_mm256_unpacklo_ps(a.0, b.0), _mm256_unpacklo_ps(c.0, d.0));
            let (ab_high, cd_high) = (_mm256_unpackhi_ps(a.0, b.0), _mm256_unpackhi_ps(c.0, d.0));
            let lanes = [
                _mm256_shuffle_ps::<0x44>(ab, cd),
                _mm256_shuffle_ps::<0xEE>(ab, cd),
                _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm256_shuffle_ps::<0xEE>(ab_high, cd_high),
            ];
            let mut sum = _mm256_castps256_ps128(lanes[0]);
            for low in &lanes[1..] {
                sum = _mm_add_ps(sum, _mm256_castps256_ps128(*low));
            }
            for high in lanes {
                sum = _mm_add_ps(sum, _mm256_extractf128_ps::<1>(high));
            }
            _mm_storeu_ps(sums.as_mut_ptr(), sum);
        }
        sums
    }
}

/// Defines a function without a result whose body is also compiled for AVX2. A name before the arguments, `(name; arguments)`,
/// becomes a value of [`Lanes`].
#[macro_export]
macro_rules! vectorised {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $crate::vectorised! { $(#[$attribute])* $visibility fn $name(_lanes; $($argument: $type),*) $body }
    };
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($lanes:ident; $($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name($($argument: $type),*) {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn any<L: $crate::simd::Lanes>($lanes: L, $($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($argument: $type),*) {
                    // SAFETY: this function runs where the processor has AVX2.
                    any(unsafe { $crate::simd::Avx2::new() }, $($argument),*)
                }
                if $crate::simd::has_avx2() {
                    // SAFETY: the processor has AVX2.
                    return unsafe { avx2($($argument),*) };
                }
            }
            any([0.0; 8], $($argument),*)
        }
    };
}

#[cfg(test)]
mod tests;
