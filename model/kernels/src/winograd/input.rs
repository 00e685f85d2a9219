//! Inputs to points.

use super::schemes::{Four, Scheme, Two};
use crate::simd::{Pair, RowPair, Single, Vector, Word, dispatch, dispatch_pairs};

/// The tiles of one loaded region.
#[derive(Clone, Copy)]
pub(crate) struct Tiles {
    /// Tile rows and columns.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Channels of the region.
    pub(crate) channels: usize,
}

dispatch!(
    /// Maps the tiles of a region [OUTPUTS rows + 2, OUTPUTS columns + 2, channels] to points: writes `INPUTS`^2
    /// matrices [tiles, channels] with rows `row` apart and matrices `point` apart.
    ///
    /// # Safety
    /// `region` and `to` hold what is described; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn transform_input_four = transform_input<Four, Single>(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);
dispatch!(
    /// As `transform_input_four`.
    ///
    /// # Safety
    /// As for `transform_input_four`.
    pub(crate) unsafe fn transform_input_two = transform_input<Two, Single>(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);
dispatch_pairs!(
    /// As `transform_input_four`, rounded to bfloat16: `row` and `point` count such numbers.
    ///
    /// # Safety
    /// As for `transform_input_four`.
    pub(crate) unsafe fn transform_input_four_rounded = transform_input<Four, Pair>(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);
dispatch_pairs!(
    /// As `transform_input_four_rounded`.
    ///
    /// # Safety
    /// As for `transform_input_four`.
    pub(crate) unsafe fn transform_input_two_rounded = transform_input<Two, Pair>(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);
dispatch_pairs!(
    /// As `transform_input_four`, rounded to bfloat16, with two tiles in each row of words.
    ///
    /// # Safety
    /// As for `transform_input_four`.
    pub(crate) unsafe fn transform_input_four_paired = transform_input<Four, RowPair>(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);
dispatch_pairs!(
    /// As `transform_input_four_paired`.
    ///
    /// # Safety
    /// As for `transform_input_four`.
    pub(crate) unsafe fn transform_input_two_paired = transform_input<Two, RowPair>(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);

#[inline(always)]
#[allow(clippy::needless_range_loop)] // the index is a column of `half` and a distance in memory
unsafe fn transform_input<V: Vector, S: Scheme, W: Word<V>>(
    region: *const f32,
    tiles: Tiles,
    to: *mut f32,
    row: usize,
    point: usize,
) {
    let line = (S::OUTPUTS * tiles.columns + 2) * tiles.channels;
    for tile_row in 0..tiles.rows {
        for tile_column in 0..tiles.columns {
            let (place, second) = W::place(tile_row * tiles.columns + tile_column);
            let place = place * row;
            // SAFETY: the region holds OUTPUTS * rows + 2 lines; the tile's last input is inside it.
            unsafe {
                let from = region.add(S::OUTPUTS * (tile_row * line + tile_column * tiles.channels));
                let mut channel = 0;
                while channel < tiles.channels {
                    let mut half = [[V::zero(); 6]; 6];
                    for x in 0..S::INPUTS {
                        let mut values = [V::zero(); 6];
                        for (y, value) in values.iter_mut().enumerate().take(S::INPUTS) {
                            *value = V::load(from.add(y * line + x * tiles.channels + channel));
                        }
                        let values = S::input(values);
                        for y in 0..S::INPUTS {
                            half[y][x] = values[y];
                        }
                    }
                    for (y, values) in half.iter().enumerate().take(S::INPUTS) {
                        let values = S::input(*values);
                        for (x, value) in values.iter().enumerate().take(S::INPUTS) {
                            W::store(*value, to, place + (y * S::INPUTS + x) * point + channel, second);
                        }
                    }
                    channel += V::LANES;
                }
            }
        }
    }
}
