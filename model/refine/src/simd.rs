//! Inner loops compiled twice: for every machine, and for AVX2, where the compiler makes vectors twice as wide of the
//! same code. Which one runs is asked of the processor; both have the same results.

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

/// Defines a function without a result whose body is also compiled for AVX2.
#[macro_export]
macro_rules! vectorised {
    ($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        fn $name($($argument: $type),*) {
            #[inline(always)]
            fn portable($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) {
                    portable($($argument),*)
                }
                if $crate::simd::has_avx2() {
                    // SAFETY: the processor has AVX2.
                    return unsafe { avx2($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    };
}
