//! Matrix products with packed right-hand sides: the arithmetic of every convolution and projection.

mod tiles;

pub(crate) use tiles::multiply_tiles;

use crate::memory::Buffer;
use crate::simd::{
    Arithmetic, CHANNEL_BLOCK, InstructionSet, Pair, Single, Vector, Word, dispatch, dispatch_pairs, padded, round_half,
};
use crate::winograd::{
    transform_kernel_four, transform_kernel_four_half, transform_kernel_two, transform_kernel_two_half,
};

/// `points` matrices [depth, columns] of words (numbers, or pairs of bfloat16), stored in the order in which the kernels read them: by panels of
/// [`InstructionSet::panel_width`] columns, within a panel row by row. Columns are padded with zeros to whole channel
/// blocks.
pub(crate) struct PackedMatrix {
    points: usize,
    depth: usize,
    columns: usize,
    panel: usize,
    data: Buffer,
}

impl PackedMatrix {
    /// All zeros.
    pub(crate) fn zeroed(set: InstructionSet, points: usize, depth: usize, columns: usize) -> Self {
        let columns = padded(columns);
        Self {
            points,
            depth,
            columns,
            panel: set.panel_width(),
            data: Buffer::zeroed(points * depth * columns),
        }
    }

    /// Packs `value(point, row, column)`.
    pub(crate) fn pack(
        set: InstructionSet,
        points: usize,
        depth: usize,
        columns: usize,
        value: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let mut matrix = Self::zeroed(set, points, depth, columns);
        for point in 0..points {
            for row in 0..depth {
                for column in 0..columns {
                    let index = matrix.index(point, row, column);
                    matrix.data[index] = value(point, row, column);
                }
            }
        }
        matrix
    }

    fn index(&self, point: usize, row: usize, column: usize) -> usize {
        let start = column / self.panel * self.panel;
        let width = self.panel.min(self.columns - start);
        point * self.depth * self.columns + start * self.depth + row * width + column - start
    }

    /// Sets row `row` of column block `block` at all points to Winograd's transformation of 3x3 kernels, for tiles of
    /// `side` outputs (2 or 4). In bf16 two rows share one of words, the first of them set first.
    pub(crate) fn set_kernels(
        &mut self,
        set: InstructionSet,
        arithmetic: Arithmetic,
        side: usize,
        row: usize,
        block: usize,
        taps: &[[f32; CHANNEL_BLOCK]; 9],
    ) {
        let (row, second) = (row / arithmetic.numbers(), row % arithmetic.numbers() == 1);
        let (offset, point) = (self.block_offset(row, block), self.point());
        assert_eq!(self.points, (side + 2) * (side + 2), "points of the matrix");
        let to = &mut self.data[offset..offset + (self.points - 1) * point + CHANNEL_BLOCK];
        let transform = match (arithmetic, side) {
            (Arithmetic::F32, 4) => transform_kernel_four,
            (Arithmetic::F32, _) => transform_kernel_two,
            (Arithmetic::Bf16, 4) => transform_kernel_four_half,
            (Arithmetic::Bf16, _) => transform_kernel_two_half,
        };
        // SAFETY: `to` reaches from the first point's block to the end of the last one's.
        unsafe { transform(set, taps.as_ptr().cast(), to.as_mut_ptr(), point, second) };
    }

    /// Sets row `row` of column block `block` of a matrix of one point; rows as for [`Self::set_kernels`].
    pub(crate) fn set_block(
        &mut self,
        set: InstructionSet,
        arithmetic: Arithmetic,
        row: usize,
        block: usize,
        values: &[f32; CHANNEL_BLOCK],
    ) {
        let (row, second) = (row / arithmetic.numbers(), row % arithmetic.numbers() == 1);
        let offset = self.block_offset(row, block);
        let to = &mut self.data[offset..offset + CHANNEL_BLOCK];
        match arithmetic {
            Arithmetic::F32 => to.copy_from_slice(values),
            // SAFETY: both are one block.
            Arithmetic::Bf16 => unsafe { round_half(set, values.as_ptr(), to.as_mut_ptr(), CHANNEL_BLOCK, second) },
        }
    }

    /// Offset of `row` of column block `block` (of [`CHANNEL_BLOCK`] columns) at point 0; the
    /// other points follow [`Self::point`] apart.
    fn block_offset(&self, row: usize, block: usize) -> usize {
        self.index(0, row, block * CHANNEL_BLOCK)
    }

    /// Distance of consecutive points.
    fn point(&self) -> usize {
        self.depth * self.columns
    }

    pub(crate) fn points(&self) -> usize {
        self.points
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Columns with their padding.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.columns.div_ceil(self.panel)
    }

    /// The columns of panels `from..to`, as a range.
    pub(crate) fn columns_of(&self, from: usize, to: usize) -> std::ops::Range<usize> {
        from * self.panel..(to * self.panel).min(self.columns)
    }

    /// The packed numbers, for [`Right`].
    pub(crate) fn right(&self) -> Right {
        Right {
            data: self.data.as_ptr(),
            points: self.points,
            depth: self.depth,
            columns: self.columns,
            panel: self.panel,
        }
    }
}

/// A packed right-hand side by its address: see [`PackedMatrix`].
#[derive(Clone, Copy)]
pub(crate) struct Right {
    pub(crate) data: *const f32,
    pub(crate) points: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) panel: usize,
}

/// A stack of row-major matrices by its address.
#[derive(Clone, Copy)]
pub(crate) struct Rows<Pointer> {
    pub(crate) data: Pointer,
    /// Distance of consecutive rows.
    pub(crate) row: usize,
    /// Distance of consecutive matrices.
    pub(crate) point: usize,
}

/// For every point: `out[row][column] = sum over k of left[row][k] right[k][column]`, for the columns of panels
/// `panels.0..panels.1`; the first of them is column 0 of `out`.
#[inline(always)]
unsafe fn multiply_words<V: Vector, W: Word<V>>(
    rows: usize,
    left: Rows<*const f32>,
    right: Right,
    panels: (usize, usize),
    out: Rows<*mut f32>,
) {
    // Groups of nearly equal size: a short last group would leave the multipliers idle.
    let groups = rows.div_ceil(V::ROWS);
    for point in 0..right.points {
        for panel in panels.0..panels.1 {
            let start = panel * right.panel;
            let width = right.panel.min(right.columns - start);
            // SAFETY: the caller promises that `left`, `right` and `out` hold the matrices that they describe; a
            // panel's part of `right` begins after the full panels before it.
            unsafe {
                let panel_data = right.data.add((point * right.columns + start) * right.depth);
                let out_data = out.data.add(point * out.point + start - panels.0 * right.panel);
                let left_data = left.data.add(point * left.point);
                for group in 0..groups {
                    let row = group * rows / groups;
                    let count = (group + 1) * rows / groups - row;
                    let left_rows = left_data.add(row * left.row);
                    let out_rows = out_data.add(row * out.row);
                    if width == 2 * V::LANES {
                        rows_by_count::<V, W, 2>(
                            count,
                            right.depth,
                            left_rows,
                            left.row,
                            panel_data,
                            out_rows,
                            out.row,
                        );
                    } else {
                        rows_by_count::<V, W, 1>(
                            count,
                            right.depth,
                            left_rows,
                            left.row,
                            panel_data,
                            out_rows,
                            out.row,
                        );
                    }
                }
            }
        }
    }
}

dispatch!(
    /// See `multiply_words`.
    ///
    /// # Safety
    /// `left` points to `right.points` matrices [rows, right.depth], `right` is a live [`PackedMatrix`] of a set with
    /// the same panel width, `panels` is within its panels, and `out` points to `right.points` matrices with room for
    /// [rows, columns of the panels] that nothing else uses meanwhile.
    pub(crate) unsafe fn multiply = multiply_words<Single>(
        rows: usize,
        left: Rows<*const f32>,
        right: Right,
        panels: (usize, usize),
        out: Rows<*mut f32>,
    )
);

/// As [`multiply`]; words of `left` and `right` are pairs of bfloat16, those of `out` single numbers.
///
/// # Safety
/// As for [`multiply`]. A set with tiles takes depths of whole half tiles (8 words).
pub(crate) unsafe fn multiply_pairs(
    set: InstructionSet,
    rows: usize,
    left: Rows<*const f32>,
    right: Right,
    panels: (usize, usize),
    out: Rows<*mut f32>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if set.has_tiles() {
            multiply_tiles(set, rows, left, &[0], right, panels, out);
        } else {
            multiply_vectors(set, rows, left, right, panels, out);
        }
    }
}

dispatch_pairs!(
    /// [`multiply_pairs`] with vectors.
    ///
    /// # Safety
    /// As for [`multiply_pairs`].
    unsafe fn multiply_vectors = multiply_words<Pair>(
        rows: usize,
        left: Rows<*const f32>,
        right: Right,
        panels: (usize, usize),
        out: Rows<*mut f32>,
    )
);

/// Chooses the register block with `count` rows.
#[inline(always)]
unsafe fn rows_by_count<V: Vector, W: Word<V>, const COLUMNS: usize>(
    count: usize,
    depth: usize,
    left: *const f32,
    left_row: usize,
    right: *const f32,
    out: *mut f32,
    out_row: usize,
) {
    macro_rules! choose {
        ($($rows:literal)*) => {
            match count {
                // SAFETY: the caller's promise, with `count` rows.
                $($rows if $rows <= V::ROWS => unsafe {
                    register_block::<V, W, $rows, COLUMNS>(depth, left, left_row, right, out, out_row)
                },)*
                _ => unreachable!("groups have at most {} rows", V::ROWS),
            }
        };
    }
    choose!(1 2 3 4 5 6 7 8 9 10)
}

/// `ROWS` rows by `COLUMNS` vectors, accumulated in registers over the whole depth.
#[inline(always)]
unsafe fn register_block<V: Vector, W: Word<V>, const ROWS: usize, const COLUMNS: usize>(
    depth: usize,
    left: *const f32,
    left_row: usize,
    right: *const f32,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY: the caller promises ROWS rows of `depth` numbers at `left`, `depth` rows of COLUMNS vectors at `right`,
    // and room for ROWS rows of COLUMNS vectors at `out`.
    unsafe {
        let mut sums = [[V::zero(); COLUMNS]; ROWS];
        for k in 0..depth {
            let mut factors = [V::zero(); COLUMNS];
            for (column, factor) in factors.iter_mut().enumerate() {
                *factor = V::load(right.add((k * COLUMNS + column) * V::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = V::splat(*left.add(row * left_row + k));
                for (sum, factor) in sums.iter_mut().zip(factors) {
                    *sum = W::multiply_add(value, factor, *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (column, sum) in sums.iter().enumerate() {
                sum.store(out.add(row * out_row + column * V::LANES));
            }
        }
    }
}

#[cfg(test)]
mod tests;
