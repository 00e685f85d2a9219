//! Products with packed right-hand sides in matrix tiles.

use super::{Right, Rows};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Amx, Level};
use crate::simd::{EmulatedTiles, InstructionSet, TILE, TileBlock, TileShape, TileUnit};

/// As [`multiply_pairs`](super::multiply_pairs), where what is summed over lies in parts: row r of the left-hand side is made
/// of the rows that begin `taps[..]` words behind row r of `left`. `right` has the parts one below the other.
///
/// # Safety
/// As for [`multiply`](super::multiply), and every part is inside of what `left` points to. `right.depth` is that of all
/// parts, each of whole half tiles (8 words).
pub(crate) unsafe fn multiply_tiles(
    set: InstructionSet,
    rows: usize,
    left: Rows<*const f32>,
    taps: &[usize],
    right: Right,
    panels: (usize, usize),
    out: Rows<*mut f32>,
) {
    assert!(set.has_tiles(), "{} has no tiles", set.name());
    let depth = right.depth / taps.len();
    assert!(
        depth > 0 && depth * taps.len() == right.depth && depth.is_multiple_of(TILE / 2) && right.panel == 2 * TILE,
        "{} words in {} parts, panels of {} columns",
        right.depth,
        taps.len(),
        right.panel
    );
    if rows == 0 {
        return;
    }
    // SAFETY: a set that has tiles exists only where the processor does; the rest is the caller's promise.
    unsafe {
        match set.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => multiply_in::<Amx>(rows, left, taps, right, panels, out),
            _ => multiply_in::<EmulatedTiles>(rows, left, taps, right, panels, out),
        }
    }
}

/// Two tiles of rows by a panel at a time: their sums stay in the unit over the whole depth.
unsafe fn multiply_in<Unit: TileUnit>(
    rows: usize,
    left: Rows<*const f32>,
    taps: &[usize],
    right: Right,
    panels: (usize, usize),
    out: Rows<*mut f32>,
) {
    let part = right.depth / taps.len();
    let shape = TileShape {
        rows: rows.min(TILE),
        depth: if part.is_multiple_of(TILE) { TILE } else { TILE / 2 },
    };
    // SAFETY: the caller promises the unit, and the operands as `multiply_tiles` describes them. A tile begins `shape.rows`
    // before the end at the latest, and computes again what the tile before it has of its rows.
    unsafe {
        let unit = Unit::configure(shape);
        for point in 0..right.points {
            for row in (0..rows).step_by(2 * TILE) {
                let first = row.min(rows - shape.rows);
                let second = (row + TILE < rows).then(|| (row + TILE).min(rows - shape.rows) - first);
                for panel in panels.0..panels.1 {
                    let start = panel * right.panel;
                    unit.multiply(&TileBlock {
                        left: left.data.add(point * left.point + first * left.row),
                        second: second.map(|rows| rows * left.row),
                        left_row: left.row,
                        taps,
                        steps: part / shape.depth,
                        right: right.data.add((point * right.columns + start) * right.depth),
                        columns: right.panel.min(right.columns - start) / TILE,
                        out: out
                            .data
                            .add(point * out.point + first * out.row + start - panels.0 * right.panel),
                        second_out: second.unwrap_or(0) * out.row,
                        out_row: out.row,
                    });
                }
            }
        }
    }
}
