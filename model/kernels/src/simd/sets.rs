//! Which instructions there are, and what they multiply.

#[cfg(target_arch = "x86_64")]
use super::amx;

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
    bf16: Bf16,
}

/// What multiplies bfloat16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bf16 {
    Nothing,
    /// [`Pairs`](super::Pairs) of the level's vector.
    Vectors,
    /// Matrix tiles, see [`TileUnit`](super::TileUnit), where the right-hand side is packed; vectors elsewhere.
    Tiles,
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
                let pairs = is_x86_feature_detected!("avx512bf16");
                if pairs && amx::is_available() {
                    sets.push(set(Level::Avx512, Bf16::Tiles));
                }
                sets.push(set(Level::Avx512, if pairs { Bf16::Vectors } else { Bf16::Nothing }));
            }
            if avx2 {
                sets.push(set(Level::Avx2, Bf16::Nothing));
            }
        }
        sets.push(set(Level::Portable8, Bf16::Nothing));
        sets.push(set(Level::Portable16, Bf16::Vectors));
        sets.push(set(Level::Portable16, Bf16::Tiles));
        sets
    }

    /// `amx` (AVX-512, and matrix tiles for bf16), `avx512`, `avx2`, `portable` (vectors of 8), `portable-16` (the shapes
    /// of the AVX-512 kernels in portable code: slower, and what checks those shapes on processors without AVX-512) or
    /// `portable-tiles` (likewise, with the tiles of `amx`).
    pub fn name(self) -> &'static str {
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if self.has_tiles() => "amx",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            Level::Portable8 => "portable",
            Level::Portable16 if self.has_tiles() => "portable-tiles",
            Level::Portable16 => "portable-16",
        }
    }

    /// Whether plans can compute in [`Arithmetic::Bf16`](crate::Arithmetic::Bf16) with this set: where the processor
    /// multiplies pairs of bfloat16, and with `portable-16` and `portable-tiles`, which emulate that slowly to check it
    /// anywhere.
    pub fn computes_bf16(self) -> bool {
        self.bf16 != Bf16::Nothing
    }

    /// Whether products of bfloat16 with packed weights are those of matrix tiles.
    pub(crate) fn has_tiles(self) -> bool {
        self.bf16 == Bf16::Tiles
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
