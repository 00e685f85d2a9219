//! One vector type per instruction set, behind one trait, and the run-time choice between them.
//!
//! A kernel is written once, as an `#[inline(always)]` function generic over [`Vector`]. The macro `dispatch!` makes
//! one copy of it for each instruction set, compiled with that set's features, and a safe function that picks the
//! copy by an [`InstructionSet`], a value that exists only for sets that this processor has.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;

/// Channels of every activation are padded with zeros to a multiple of this, so that no kernel has a scalar tail.
/// It is the lanes of the widest vector.
pub(crate) const CHANNEL_BLOCK: usize = 16;

/// `channels` rounded up to whole blocks.
pub(crate) const fn padded(channels: usize) -> usize {
    channels.div_ceil(CHANNEL_BLOCK) * CHANNEL_BLOCK
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable8,
    Portable16,
}

/// A set of vector instructions that this processor is known to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstructionSet {
    level: Level,
    /// Whether [`Pairs`] of the level's vector may be used.
    bf16: bool,
}

impl InstructionSet {
    /// The fastest set of this processor.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// All sets of this processor that there are kernels for, fastest first. The last ones are portable code that the
    /// compiler vectorises for the target's base instructions (SSE2, NEON).
    pub fn available() -> Vec<Self> {
        let set = |level, bf16| Self { level, bf16 };
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("avx512f") {
                sets.push(set(Level::Avx512, is_x86_feature_detected!("avx512bf16")));
            }
            if avx2 {
                sets.push(set(Level::Avx2, false));
            }
        }
        sets.push(set(Level::Portable8, false));
        sets.push(set(Level::Portable16, true));
        sets
    }

    /// `avx512`, `avx2`, `portable` (vectors of 8) or `portable-16` (the shapes of the AVX-512 kernels in portable
    /// code: slower, and what checks those shapes on processors without AVX-512).
    pub fn name(self) -> &'static str {
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            Level::Portable8 => "portable",
            Level::Portable16 => "portable-16",
        }
    }

    /// Whether plans can compute in [`Arithmetic::Bf16`](crate::Arithmetic::Bf16) with this set: where the processor
    /// multiplies pairs of bfloat16, and with `portable-16`, which emulates that slowly to check it anywhere.
    pub fn computes_bf16(self) -> bool {
        self.bf16
    }

    pub(crate) fn level(self) -> Level {
        self.level
    }

    /// Columns of a full panel of packed weights: two vectors.
    pub(crate) fn panel_width(self) -> usize {
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => 32,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => 16,
            Level::Portable8 => 16,
            Level::Portable16 => 32,
        }
    }
}

/// What a plan's convolutions and projections multiply. Sums, normalisation, attention and softmax are in single
/// precision always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// Single-precision inputs and weights.
    #[default]
    F32,
    /// Inputs and weights rounded to bfloat16: twice the products in a time and half the weights, for an
    /// [`InstructionSet`] that [computes it](InstructionSet::computes_bf16).
    Bf16,
}

impl Arithmetic {
    /// Numbers in a word of a packed matrix.
    pub(crate) fn numbers(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
        }
    }
}

/// A vector of `LANES` single-precision numbers.
///
/// # Safety
/// Every method may be called only where the processor has the instructions of the implementing type; `load` reads
/// and `store` writes `LANES` consecutive numbers at a pointer that need not be aligned.
pub(crate) unsafe trait Vector: Copy {
    /// Numbers in a vector; a divisor of [`CHANNEL_BLOCK`].
    const LANES: usize;
    /// Rows of the largest register block of the matrix product, with two vectors of columns.
    const ROWS: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// `self * factor + term`
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
    /// `term - self * factor`
    unsafe fn mul_sub_from(self, factor: Self, term: Self) -> Self;
    /// The larger; `self` where it is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller; `self` where it is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// The nearest whole number, for |self| < 2^22.
    unsafe fn round(self) -> Self;
    /// 2 to the power `self`, a whole number in -126..=127.
    unsafe fn power_of_two(self) -> Self;

    /// `self` times 2 to the power `exponent`, a whole number in -126..=127.
    #[inline(always)]
    unsafe fn scale_by_power(self, exponent: Self) -> Self {
        // SAFETY: the caller's promise is the same.
        unsafe { self.mul(exponent.power_of_two()) }
    }

    /// `1 / self` of a number that is at least 1, to about one unit in the last place.
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // SAFETY: the caller's promise is the same.
        unsafe { Self::splat(1.0).div(self) }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's promise is the same.
        unsafe { Self::splat(0.0) }
    }

    /// The lanes' sum, in lane order.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut lanes = [0.0; CHANNEL_BLOCK];
        // SAFETY: the array has room for LANES <= CHANNEL_BLOCK numbers.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes[..Self::LANES].iter().sum()
    }

    /// The largest lane.
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        let mut lanes = [0.0; CHANNEL_BLOCK];
        // SAFETY: the array has room for LANES <= CHANNEL_BLOCK numbers.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes[..Self::LANES].iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }
}

/// A vector that also multiplies pairs of bfloat16 numbers: a lane then holds two of them, the first in its low half.
///
/// # Safety
/// As for [`Vector`], where the [`InstructionSet`] says that it [computes bf16](InstructionSet::computes_bf16).
pub(crate) unsafe trait Pairs: Vector {
    /// In each lane `term` plus the products of both numbers of `self` and `factor`, summed in single precision.
    unsafe fn dot_pairs(self, factor: Self, term: Self) -> Self;
    /// Rounds to nearest, ties to even, and writes `LANES` numbers of two bytes.
    unsafe fn store_rounded(self, to: *mut u16);
}

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

    /// Writes the numbers of a vector, from number `index` of the words at `to` on.
    ///
    /// # Safety
    /// The processor has `V`'s instructions, and there is room.
    unsafe fn store(value: V, to: *mut f32, index: usize);
}

/// One single-precision number.
pub(crate) struct Single;
/// Two bfloat16 numbers.
pub(crate) struct Pair;

impl<V: Vector> Word<V> for Single {
    #[inline(always)]
    unsafe fn multiply_add(value: V, factor: V, term: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { value.mul_add(factor, term) }
    }
    #[inline(always)]
    unsafe fn store(value: V, to: *mut f32, index: usize) {
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
    unsafe fn store(value: V, to: *mut f32, index: usize) {
        // SAFETY: the caller's promise.
        unsafe { value.store_rounded(to.cast::<u16>().add(index)) }
    }
}

/// e to the power `x`, to about two units in the last place; saturates outside -87..88, NaN stays NaN.
///
/// # Safety
/// The processor has `V`'s instructions.
#[inline(always)]
#[allow(clippy::excessive_precision)] // the coefficients as published (Cephes)
pub(crate) unsafe fn exp<V: Vector>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let x = x.min(V::splat(88.37)).max(V::splat(-87.33));
        let exponent = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
        // ln 2 in two parts (Cody and Waite), the first exact in few bits.
        let r = exponent.mul_sub_from(V::splat(0.693_359_375), x);
        let r = exponent.mul_sub_from(V::splat(-2.121_944_40e-4), r);
        let p = V::splat(1.987_569_15e-4);
        let p = p.mul_add(r, V::splat(1.398_199_950_7e-3));
        let p = p.mul_add(r, V::splat(8.333_451_907_3e-3));
        let p = p.mul_add(r, V::splat(4.166_579_589_4e-2));
        let p = p.mul_add(r, V::splat(1.666_666_545_9e-1));
        let p = p.mul_add(r, V::splat(5.000_000_120_1e-1));
        let p = p.mul_add(r.mul(r), r.add(V::splat(1.0)));
        p.scale_by_power(exponent)
    }
}

/// x * sigmoid(x).
///
/// # Safety
/// The processor has `V`'s instructions.
#[inline(always)]
pub(crate) unsafe fn silu<V: Vector>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe { x.mul(sigmoid(x)) }
}

/// 1 / (1 + e^-x).
///
/// # Safety
/// The processor has `V`'s instructions.
#[inline(always)]
pub(crate) unsafe fn sigmoid<V: Vector>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe { exp(V::zero().sub(x)).add(V::splat(1.0)).reciprocal() }
}

/// Defines a safe function `name(set, arguments...)` that runs the generic kernel `body::<V>(arguments...)` compiled
/// for the instruction set. The body must be `#[inline(always)]` and sound for all arguments that the safe function's
/// callers can form: visibility is kept inside the crate and the callers state why their arguments are in bounds.
macro_rules! dispatch {
    ($(#[$attribute:meta])* $visibility:vis unsafe fn $name:ident = $body:ident ($($argument:ident: $type:ty),* $(,)?)) => {
        $(#[$attribute])*
        #[allow(clippy::too_many_arguments)]
        $visibility unsafe fn $name(set: $crate::simd::InstructionSet, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx512($($argument: $type),*) {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $body::<$crate::simd::Avx512>($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx2($($argument: $type),*) {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $body::<$crate::simd::Avx2>($($argument),*) }
            }
            // SAFETY: an `InstructionSet` of a level exists only where the processor has it; the rest is the
            // caller's promise.
            unsafe {
                match set.level() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx512 => avx512($($argument),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx2 => avx2($($argument),*),
                    $crate::simd::Level::Portable8 => $body::<$crate::simd::Portable<8>>($($argument),*),
                    $crate::simd::Level::Portable16 => $body::<$crate::simd::Portable<16>>($($argument),*),
                }
            }
        }
    };
}
pub(crate) use dispatch;

/// As `dispatch!`, for bodies that need [`Pairs`]. Panics with a set that does not compute bf16.
macro_rules! dispatch_pairs {
    ($(#[$attribute:meta])* $visibility:vis unsafe fn $name:ident = $body:ident ($($argument:ident: $type:ty),* $(,)?)) => {
        $(#[$attribute])*
        $visibility unsafe fn $name(set: $crate::simd::InstructionSet, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
            unsafe fn avx512($($argument: $type),*) {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $body::<$crate::simd::Avx512>($($argument),*) }
            }
            assert!(set.computes_bf16(), "{} does not compute bf16", set.name());
            // SAFETY: an `InstructionSet` that computes bf16 exists only where the processor does; the rest is the
            // caller's promise.
            unsafe {
                match set.level() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx512 => avx512($($argument),*),
                    _ => $body::<$crate::simd::Portable<16>>($($argument),*),
                }
            }
        }
    };
}
pub(crate) use dispatch_pairs;

dispatch_pairs!(
    /// Writes `count` numbers, whole channel blocks, as bfloat16.
    ///
    /// # Safety
    /// `from` holds the numbers and `to` has room for them; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn round_numbers = round_numbers_body(from: *const f32, to: *mut f32, count: usize)
);

#[inline(always)]
unsafe fn round_numbers_body<V: Pairs>(from: *const f32, to: *mut f32, count: usize) {
    for index in (0..count).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe { Pair::store(V::load(from.add(index)), to, index) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(always)]
    unsafe fn activate<V: Vector>(values: &mut [f32], use_silu: bool) {
        for chunk in values.chunks_exact_mut(V::LANES) {
            // SAFETY: a chunk holds LANES numbers.
            unsafe {
                let x = V::load(chunk.as_ptr());
                let y = if use_silu { silu(x) } else { exp(x) };
                y.store(chunk.as_mut_ptr());
            }
        }
    }
    dispatch!(unsafe fn activate_with = activate(values: &mut [f32], use_silu: bool));

    #[test]
    fn exp_and_silu_follow_the_f64_functions() {
        let inputs: Vec<f32> = (0..16_000).map(|i| (i as f32 - 8_000.0) * 0.0109).collect();
        for set in InstructionSet::available() {
            let (mut exponentials, mut gated) = (inputs.clone(), inputs.clone());
            // SAFETY: the slices are whole vectors.
            unsafe {
                activate_with(set, &mut exponentials, false);
                activate_with(set, &mut gated, true);
            }
            for (i, &x) in inputs.iter().enumerate() {
                let x64 = f64::from(x);
                let expected = x64.clamp(-87.33, 88.37).exp();
                let relative = (f64::from(exponentials[i]) - expected).abs() / expected;
                assert!(relative < 3e-7, "{}: exp({x}) is off by {relative:e}", set.name());
                let expected = x64 / (1.0 + (-x64).exp());
                let error = (f64::from(gated[i]) - expected).abs();
                assert!(
                    error <= 4e-7 * expected.abs() + 1e-30,
                    "{}: silu({x}) is off by {error:e}",
                    set.name()
                );
            }
        }
    }

    /// Ties, carries into the exponent, infinities, numbers that round to infinity, and NaN.
    #[test]
    fn rounding_to_bfloat16_is_to_nearest_and_even() {
        let mut values: Vec<f32> = [
            (0x3f80_0000u32, 0x3f80u16),
            (0x3f80_8000, 0x3f80),
            (0x3f81_8000, 0x3f82),
            (0x3f80_8001, 0x3f81),
            (0xbfff_ffff, 0xc000),
            (0x7f80_0000, 0x7f80),
            (0x7f7f_ffff, 0x7f80),
            (0x8000_0000, 0x8000),
        ]
        .iter()
        .map(|&(bits, rounded)| {
            assert_eq!(round_to_bf16(f32::from_bits(bits)), rounded, "{bits:x}");
            f32::from_bits(bits)
        })
        .collect();
        assert!(bf16_value(round_to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
        values.extend((0..1016).map(|i| (i as f32 * 0.37).sin() * (i as f32 * 0.11).exp()));
        for set in InstructionSet::available()
            .into_iter()
            .filter(|set| set.computes_bf16())
        {
            let mut words = vec![0.0f32; values.len() / 2];
            // SAFETY: as many numbers as two for each word.
            unsafe { round_numbers(set, values.as_ptr(), words.as_mut_ptr(), values.len()) };
            for (word, values) in words.iter().zip(values.chunks_exact(2)) {
                assert_eq!(
                    word.to_bits(),
                    pair(values[0], values[1]).to_bits(),
                    "{}: {values:?}",
                    set.name()
                );
            }
        }
    }

    #[test]
    fn not_a_number_is_passed_on() {
        for set in InstructionSet::available() {
            let mut values = [f32::NAN; 16];
            // SAFETY: sixteen numbers are whole vectors.
            unsafe { activate_with(set, &mut values, false) };
            assert!(values.iter().all(|value| value.is_nan()), "{}: exp(NaN)", set.name());
            let mut values = [f32::NAN; 16];
            // SAFETY: as above.
            unsafe { activate_with(set, &mut values, true) };
            assert!(values.iter().all(|value| value.is_nan()), "{}: silu(NaN)", set.name());
        }
    }
}
