//! Products of matrix tiles: up to 16 rows of 16 words, each word a pair of bfloat16 numbers.

use super::words::bf16_value;

/// Rows of a tile at most, and words of a row.
pub(crate) const TILE: usize = 16;

/// What one configuration of the unit computes: left tiles [rows, depth], right tiles [depth, 16], sums [rows, 16].
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileShape {
    /// 1..=16
    pub(crate) rows: usize,
    /// Words that are summed over at a time, 1..=16.
    pub(crate) depth: usize,
}

/// One or two left tiles by one or two right ones, which stand side by side. All distances are in words of 4 bytes.
#[derive(Clone, Copy)]
pub(crate) struct TileBlock<'a> {
    /// The first row of the first left tile and its distance to the second one.
    pub(crate) left: *const f32,
    pub(crate) second: Option<usize>,
    pub(crate) left_row: usize,
    /// Where the rows begin for each part of the depth, behind `left`: one part, or the taps of a kernel.
    pub(crate) taps: &'a [usize],
    /// Steps of [`TileShape::depth`] words in a part.
    pub(crate) steps: usize,
    /// [taps, steps, depth, 16 * columns]
    pub(crate) right: *const f32,
    /// Right tiles, 1 or 2: a row of `right` is as long.
    pub(crate) columns: usize,
    /// The first row of the sums, and its distance to those of the second left tile.
    pub(crate) out: *mut f32,
    pub(crate) second_out: usize,
    pub(crate) out_row: usize,
}

/// What multiplies tiles. A value is the configured unit of the thread that made it.
pub(crate) trait TileUnit {
    /// # Safety
    /// The processor has the unit, and the thread has no other value.
    unsafe fn configure(shape: TileShape) -> Self;

    /// Writes the sums of a block.
    ///
    /// Of each step the even numbers of the words are summed up in order, and the odd ones; then both, and to what the
    /// steps before gave. Products of bfloat16 are exact.
    ///
    /// # Safety
    /// The operands hold what the block describes, for the configured shape, and nothing else uses `out` meanwhile.
    unsafe fn multiply(&self, block: &TileBlock<'_>);
}

/// The same sums in portable code, in the same order: what checks everything around the unit on any processor.
pub(crate) struct EmulatedTiles(TileShape);

type Tile = [[f32; TILE]; TILE];

impl TileUnit for EmulatedTiles {
    unsafe fn configure(shape: TileShape) -> Self {
        Self(shape)
    }

    unsafe fn multiply(&self, block: &TileBlock<'_>) {
        let TileShape { rows, depth } = self.0;
        let lefts = [Some(0), block.second];
        for (tile, distance) in lefts.into_iter().enumerate() {
            let Some(distance) = distance else { continue };
            for column in 0..block.columns {
                let mut sums: Tile = [[0.0; TILE]; TILE];
                // SAFETY: the caller's promise.
                unsafe {
                    let mut right = block.right.add(column * TILE);
                    for tap in block.taps {
                        let mut left = block.left.add(distance + tap);
                        for _ in 0..block.steps {
                            for (row, sums) in sums.iter_mut().enumerate().take(rows) {
                                add_products(depth, left.add(row * block.left_row), right, block.columns * TILE, sums);
                            }
                            left = left.add(depth);
                            right = right.wrapping_add(depth * block.columns * TILE);
                        }
                    }
                    for (row, sums) in sums.iter().enumerate().take(rows) {
                        let to = block
                            .out
                            .add(tile * block.second_out + row * block.out_row + column * TILE);
                        to.cast::<[f32; TILE]>().write(*sums);
                    }
                }
            }
        }
    }
}

/// One row of a step's products.
///
/// # Safety
/// `depth` words are at `left`, and as many rows of 16 words, `right_row` apart, at `right`.
unsafe fn add_products(depth: usize, left: *const f32, right: *const f32, right_row: usize, sums: &mut [f32; TILE]) {
    let (mut even, mut odd) = ([0.0; TILE], [0.0; TILE]);
    for k in 0..depth {
        // SAFETY: the caller's promise.
        let (value, factors) = unsafe {
            (
                (*left.add(k)).to_bits(),
                *right.add(k * right_row).cast::<[f32; TILE]>(),
            )
        };
        let (low, high) = (bf16_value(value as u16), bf16_value((value >> 16) as u16));
        for (lane, factor) in factors.iter().enumerate() {
            let factor = factor.to_bits();
            even[lane] += low * bf16_value(factor as u16);
            odd[lane] += high * bf16_value((factor >> 16) as u16);
        }
    }
    for (lane, sum) in sums.iter_mut().enumerate() {
        *sum += even[lane] + odd[lane];
    }
}
