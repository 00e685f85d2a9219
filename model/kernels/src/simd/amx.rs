//! AMX: eight tiles of 16 rows of 64 bytes, which `tdpbf16ps` multiplies. In inline assembly, as its intrinsics are not stable.

use super::tiles::{TILE, TileBlock, TileShape, TileUnit};
use std::arch::asm;

/// Whether processor and system have the tiles and this process may use them. Asks the system for the permission, once.
#[cfg(target_os = "linux")]
pub(super) fn is_available() -> bool {
    static AVAILABLE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && is_permitted())
}

/// Other systems give the permission in other ways, which nobody has tried.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_available() -> bool {
    false
}

#[cfg(target_os = "linux")]
fn has_instructions() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// CPUID, leaf 7, edx.
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    /// CPUID, leaf 1, ecx: the system has set XCR0.
    const OSXSAVE: u32 = 1 << 27;
    __cpuid(0).eax >= 7
        && __cpuid(1).ecx & OSXSAVE != 0
        && __cpuid_count(7, 0).edx & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
        && saved_states() & TILES == TILES
}

/// Bits of XCR0: the tiles' configuration, and the tiles.
#[cfg(target_os = "linux")]
const TILES: u32 = 3 << 17;

/// XCR0, low half: what the system saves when it switches between threads. The processor has OSXSAVE.
#[cfg(target_os = "linux")]
fn saved_states() -> u32 {
    let states: u32;
    // SAFETY: register 0 can be read wherever there is OSXSAVE, which the caller has checked.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") states, out("edx") _, options(nomem, nostack, preserves_flags)) };
    states
}

/// Linux makes room for the tiles of a process once it asks (`arch_prctl(2)`).
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call touches no memory of the process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// The tiles of this thread: 0 to 3 are sums, 4 and 5 left, 6 and 7 right. They are released with the value, so that the
/// system has none to save between products.
pub(crate) struct Amx {
    shape: TileShape,
    /// Not for another thread.
    _thread: std::marker::PhantomData<*mut ()>,
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_row: [u16; 16],
    rows: [u8; 16],
}

/// What the loops of a block read where they have no register for it; in bytes.
#[repr(C)]
struct Distances {
    second: usize,
    steps: usize,
    left_step: usize,
    right_step: usize,
    second_out: usize,
}

/// The loops of a block, with the instructions of its number of tiles.
macro_rules! block {
    ($block:ident, $depth:ident, zero $($zero:literal)* step $($step:literal)* store $($store:literal)*) => {{
        let distances = Distances {
            second: 4 * $block.second.unwrap_or(0),
            steps: $block.steps,
            left_step: 4 * $depth,
            right_step: 4 * $depth * $block.columns * TILE,
            second_out: 4 * $block.second_out,
        };
        asm!(
            $($zero,)*
            "2:",
            "mov {left}, [{tap}]",
            "add {tap}, 8",
            "lea {left}, [{first} + 4 * {left}]",
            "mov {second}, [{distances}]",
            "add {second}, {left}",
            "mov {steps}, [{distances} + 8]",
            "3:",
            $($step,)*
            "add {left}, [{distances} + 16]",
            "add {second}, [{distances} + 16]",
            "add {right}, [{distances} + 24]",
            "dec {steps}",
            "jnz 3b",
            "dec {taps}",
            "jnz 2b",
            "mov {second}, [{distances} + 32]",
            "add {second}, {out}",
            $($store,)*
            distances = in(reg) &raw const distances,
            first = in(reg) $block.left,
            left_row = in(reg) 4 * $block.left_row,
            tap = inout(reg) $block.taps.as_ptr() => _,
            taps = inout(reg) $block.taps.len() => _,
            right = inout(reg) $block.right => _,
            right_row = in(reg) 4 * $block.columns * TILE,
            out = in(reg) $block.out,
            out_row = in(reg) 4 * $block.out_row,
            left = out(reg) _,
            second = out(reg) _,
            steps = out(reg) _,
            options(nostack),
        );
    }};
}

impl TileUnit for Amx {
    unsafe fn configure(shape: TileShape) -> Self {
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes_of_row: [0; 16],
            rows: [0; 16],
        };
        let (rows, depth) = (shape.rows as u8, shape.depth as u8);
        for (tile, (rows, words)) in [(rows, TILE as u8); 4]
            .into_iter()
            .chain([(rows, depth); 2])
            .chain([(depth, TILE as u8); 2])
            .enumerate()
        {
            configuration.rows[tile] = rows;
            configuration.bytes_of_row[tile] = 4 * u16::from(words);
        }
        // SAFETY: the processor has the unit; the configuration is of its palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, preserves_flags)) };
        Self {
            shape,
            _thread: std::marker::PhantomData,
        }
    }

    unsafe fn multiply(&self, block: &TileBlock<'_>) {
        let depth = self.shape.depth;
        debug_assert!(block.steps > 0 && !block.taps.is_empty());
        // SAFETY: the tiles are configured and read and write what the caller promises.
        unsafe {
            match (block.second.is_some(), block.columns) {
                (true, 2) => block!(block, depth,
                    zero "tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"
                    step
                    "tileloadd tmm4, [{left} + {left_row}]"
                    "tileloadd tmm6, [{right} + {right_row}]"
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm7, [{right} + {right_row} + 64]"
                    "tdpbf16ps tmm1, tmm4, tmm7"
                    "tileloadd tmm5, [{second} + {left_row}]"
                    "tdpbf16ps tmm2, tmm5, tmm6"
                    "tdpbf16ps tmm3, tmm5, tmm7"
                    store
                    "tilestored [{out} + {out_row}], tmm0"
                    "tilestored [{out} + {out_row} + 64], tmm1"
                    "tilestored [{second} + {out_row}], tmm2"
                    "tilestored [{second} + {out_row} + 64], tmm3"),
                (true, _) => block!(block, depth,
                    zero "tilezero tmm0" "tilezero tmm2"
                    step
                    "tileloadd tmm4, [{left} + {left_row}]"
                    "tileloadd tmm6, [{right} + {right_row}]"
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm5, [{second} + {left_row}]"
                    "tdpbf16ps tmm2, tmm5, tmm6"
                    store
                    "tilestored [{out} + {out_row}], tmm0"
                    "tilestored [{second} + {out_row}], tmm2"),
                (false, 2) => block!(block, depth,
                    zero "tilezero tmm0" "tilezero tmm1"
                    step
                    "tileloadd tmm4, [{left} + {left_row}]"
                    "tileloadd tmm6, [{right} + {right_row}]"
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm7, [{right} + {right_row} + 64]"
                    "tdpbf16ps tmm1, tmm4, tmm7"
                    store
                    "tilestored [{out} + {out_row}], tmm0"
                    "tilestored [{out} + {out_row} + 64], tmm1"),
                (false, _) => block!(block, depth,
                    zero "tilezero tmm0"
                    step
                    "tileloadd tmm4, [{left} + {left_row}]"
                    "tileloadd tmm6, [{right} + {right_row}]"
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    store
                    "tilestored [{out} + {out_row}], tmm0"),
            }
        }
    }
}

impl Drop for Amx {
    fn drop(&mut self) {
        // SAFETY: the processor has the unit.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}
