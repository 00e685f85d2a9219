//! One vector type per instruction set, behind one trait, and the run-time choice between them.
//!
//! A kernel is written once, as an `#[inline(always)]` function generic over [`Vector`]. The macro `dispatch!` makes
//! one copy of it for each instruction set, compiled with that set's features, and a safe function that picks the
//! copy by an [`InstructionSet`], a value that exists only for sets that this processor has.
//!
//! Matrix tiles are another unit, [`TileUnit`], which such a set may have beside its vectors.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
mod sets;
mod tiles;
mod vector;
mod words;

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::Amx;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;
pub(crate) use sets::Level;
pub use sets::{Arithmetic, InstructionSet};
pub(crate) use tiles::{EmulatedTiles, TILE, TileBlock, TileShape, TileUnit};
pub(crate) use vector::{CHANNEL_BLOCK, Pairs, Vector, exp, padded, sigmoid, silu};
pub(crate) use words::{Pair, RowPair, Single, Word, pair};

/// Defines a safe function `name(set, arguments...)` that runs the generic kernel `body::<V>(arguments...)`, or
/// `body::<V, Types>(arguments...)`, compiled for the instruction set. The body must be `#[inline(always)]` and sound for all arguments that the safe function's
/// callers can form: visibility is kept inside the crate and the callers state why their arguments are in bounds.
macro_rules! dispatch {
    ($(#[$attribute:meta])* $visibility:vis unsafe fn $name:ident = $body:ident $(<$($extra:ty),+>)? ($($argument:ident: $type:ty),* $(,)?)) => {
        $(#[$attribute])*
        #[allow(clippy::too_many_arguments)]
        $visibility unsafe fn $name(set: $crate::simd::InstructionSet, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx512($($argument: $type),*) {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $body::<$crate::simd::Avx512 $($(, $extra)+)?>($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx2($($argument: $type),*) {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $body::<$crate::simd::Avx2 $($(, $extra)+)?>($($argument),*) }
            }
            // SAFETY: an `InstructionSet` of a level exists only where the processor has it; the rest is the
            // caller's promise.
            unsafe {
                match set.level() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx512 => avx512($($argument),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx2 => avx2($($argument),*),
                    $crate::simd::Level::Portable8 => $body::<$crate::simd::Portable<8> $($(, $extra)+)?>($($argument),*),
                    $crate::simd::Level::Portable16 => $body::<$crate::simd::Portable<16> $($(, $extra)+)?>($($argument),*),
                }
            }
        }
    };
}
pub(crate) use dispatch;

/// As `dispatch!`, for bodies that need [`Pairs`]. Panics with a set that does not compute bf16.
macro_rules! dispatch_pairs {
    ($(#[$attribute:meta])* $visibility:vis unsafe fn $name:ident = $body:ident $(<$($extra:ty),+>)? ($($argument:ident: $type:ty),* $(,)?)) => {
        $(#[$attribute])*
        $visibility unsafe fn $name(set: $crate::simd::InstructionSet, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
            unsafe fn avx512($($argument: $type),*) {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $body::<$crate::simd::Avx512 $($(, $extra)+)?>($($argument),*) }
            }
            assert!(set.computes_bf16(), "{} does not compute bf16", set.name());
            // SAFETY: an `InstructionSet` that computes bf16 exists only where the processor does; the rest is the
            // caller's promise.
            unsafe {
                match set.level() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx512 => avx512($($argument),*),
                    _ => $body::<$crate::simd::Portable<16> $($(, $extra)+)?>($($argument),*),
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
        unsafe { Pair::store(V::load(from.add(index)), to, index, false) };
    }
}

dispatch_pairs!(
    /// Writes `count` numbers, whole channel blocks, as one half of as many words: see [`Pairs::store_half`].
    ///
    /// # Safety
    /// As for `round_numbers`.
    pub(crate) unsafe fn round_half = round_half_body(from: *const f32, to: *mut f32, count: usize, second: bool)
);

#[inline(always)]
unsafe fn round_half_body<V: Pairs>(from: *const f32, to: *mut f32, count: usize, second: bool) {
    for index in (0..count).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe { V::load(from.add(index)).store_half(to.add(index), second) };
    }
}

#[cfg(test)]
mod tests;
