//! How an output is cut into tiles, rectangles of tiles and blocks of rectangles.

/// A rectangle of tiles of one image: what one load of the input serves. Each of its rows of tiles is a strip, which one
/// set of channel sums covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rectangle {
    /// Index in the batch.
    pub(crate) item: usize,
    /// First tile row and number of tile rows.
    pub(crate) row: usize,
    pub(crate) rows: usize,
    /// First tile column and number of tile columns.
    pub(crate) column: usize,
    pub(crate) columns: usize,
    /// Index of the first strip in the batch.
    pub(crate) strip: usize,
}

impl Rectangle {
    pub(crate) fn tiles(&self) -> usize {
        self.rows * self.columns
    }
}

/// The tiles of a batch of outputs [batch, height, width], cut so that a block (consecutive rectangles) has about as
/// many tiles as asked for. Rectangles are in the order of the batch. Strips, and their order, do not depend on what is
/// asked for, so that no sum does.
#[derive(Debug, Clone)]
pub(crate) struct Tiling {
    /// Side of a square tile, in output pixels.
    pub(crate) side: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    rectangles: Vec<Rectangle>,
    per_item: usize,
    per_block: usize,
    strips_per_item: usize,
}

impl Tiling {
    /// Blocks of about `target` tiles, of rectangles with up to `widest` columns.
    pub(crate) fn new(batch: usize, height: usize, width: usize, side: usize, widest: usize, target: usize) -> Self {
        let (tile_rows, tile_columns) = (height.div_ceil(side), width.div_ceil(side));
        let column_parts = tile_columns.div_ceil(widest);
        let rows_wanted = (target / tile_columns.div_ceil(column_parts)).max(1);
        let row_parts = tile_rows.div_ceil(rows_wanted);
        let mut rectangles = Vec::new();
        for item in 0..batch {
            for column_part in 0..column_parts {
                for row_part in 0..row_parts {
                    let row = row_part * tile_rows / row_parts;
                    let column = column_part * tile_columns / column_parts;
                    rectangles.push(Rectangle {
                        item,
                        row,
                        rows: (row_part + 1) * tile_rows / row_parts - row,
                        column,
                        columns: (column_part + 1) * tile_columns / column_parts - column,
                        strip: (item * column_parts + column_part) * tile_rows + row,
                    });
                }
            }
        }
        let per_item = column_parts * row_parts;
        // Small images: several in a block, so that each read of the weights serves more tiles.
        let per_block = if per_item == 1 {
            (target / (tile_rows * tile_columns)).max(1)
        } else {
            1
        };
        Self {
            side,
            height,
            width,
            rectangles,
            per_item,
            per_block,
            strips_per_item: column_parts * tile_rows,
        }
    }

    /// Number of strips of the first `batch` images.
    pub(crate) fn strips(&self, batch: usize) -> usize {
        batch * self.strips_per_item
    }

    /// Rectangles of the first `batch` images.
    pub(crate) fn rectangles(&self, batch: usize) -> &[Rectangle] {
        &self.rectangles[..batch * self.per_item]
    }

    /// Number of blocks of the first `batch` images.
    pub(crate) fn blocks(&self, batch: usize) -> usize {
        (batch * self.per_item).div_ceil(self.per_block)
    }

    /// The rectangles of a block.
    pub(crate) fn block(&self, batch: usize, index: usize) -> &[Rectangle] {
        let rectangles = self.rectangles(batch);
        let first = index * self.per_block;
        &rectangles[first..(first + self.per_block).min(rectangles.len())]
    }

    /// What the rectangles of a block add up to at most.
    pub(crate) fn largest_block(&self, size: impl Fn(&Rectangle) -> usize) -> usize {
        self.rectangles
            .chunks(self.per_block)
            .map(|block| block.iter().map(&size).sum())
            .max()
            .unwrap_or(0)
    }

    /// Most tile rows and most tile columns of a rectangle.
    pub(crate) fn largest_rectangle(&self) -> (usize, usize) {
        let rows = self.rectangles.iter().map(|rectangle| rectangle.rows).max();
        let columns = self.rectangles.iter().map(|rectangle| rectangle.columns).max();
        (rows.unwrap_or(0), columns.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
