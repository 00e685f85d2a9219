//! One vector type per instruction set: the trait, and functions over it.

/// Channels of every activation are padded with zeros to a multiple of this, so that no kernel has a scalar tail.
/// It is the lanes of the widest vector.
pub(crate) const CHANNEL_BLOCK: usize = 16;

/// `channels` rounded up to whole blocks.
pub(crate) const fn padded(channels: usize) -> usize {
    channels.div_ceil(CHANNEL_BLOCK) * CHANNEL_BLOCK
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

    /// Asks for the cache line at an address that will be read soon; any address will do.
    #[inline(always)]
    fn prefetch(_: *const f32) {}

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
/// As for [`Vector`], where the [`InstructionSet`](super::InstructionSet) says that it [computes bf16](super::InstructionSet::computes_bf16).
pub(crate) unsafe trait Pairs: Vector {
    /// In each lane `term` plus the products of both numbers of `self` and `factor`, summed in single precision.
    unsafe fn dot_pairs(self, factor: Self, term: Self) -> Self;
    /// Rounds to nearest, ties to even, and writes `LANES` numbers of two bytes.
    unsafe fn store_rounded(self, to: *mut u16);
    /// Rounds likewise and writes the numbers as halves of `LANES` words: the first ones, which clears the second ones, or
    /// the second ones beside them.
    unsafe fn store_half(self, to: *mut f32, second: bool);
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
