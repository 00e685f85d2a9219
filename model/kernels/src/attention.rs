//! Self-attention over all positions of an image, one head at a time.
//!
//! Keys and values of a head are packed once as right-hand sides of matrix products; the queries go through in blocks
//! of rows, whose scores stay in the cache between the two products.

use crate::convolution::Workspace;
use crate::matrix::{Right, Rows, multiply};
use crate::memory::Shared;
use crate::simd::{CHANNEL_BLOCK, InstructionSet, padded};
use crate::softmax::exponentials;
use crate::threads::for_each;

/// Queries of a block.
const QUERIES: usize = 48;

/// Sizes of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Channels of a head, without padding.
    pub(crate) depth: usize,
}

impl Attention {
    /// Channels of all heads, each padded to whole blocks: those of the output, and a third of those of the input.
    pub(crate) fn channels(self) -> usize {
        self.heads * padded(self.depth)
    }

    /// Numbers that one thread needs for images of `positions` pixels.
    pub(crate) fn needs(self, positions: usize) -> usize {
        let positions = padded(positions);
        let depth = padded(self.depth);
        2 * positions * depth + QUERIES * (positions + depth + 1) + 4 * CHANNEL_BLOCK
    }

    /// `softmax(query key) value` for the first `batch` images. `input` is [batch, positions, 3, heads, padded depth]
    /// with query, key and value along the third axis and the query already scaled; `output` is
    /// [batch, positions, heads, padded depth]. The left-hand workspaces are as large as
    /// [`Self::needs`] says.
    pub(crate) fn run(
        self,
        set: InstructionSet,
        workspaces: &mut [Workspace],
        batch: usize,
        positions: usize,
        input: &[f32],
        output: &mut [f32],
    ) {
        assert!(
            input.len() >= batch * positions * 3 * self.channels(),
            "the attention's input is too short"
        );
        assert!(
            output.len() >= batch * positions * self.channels(),
            "the attention's output is too short"
        );
        for workspace in workspaces.iter() {
            assert!(
                workspace.left.len() >= self.needs(positions),
                "workspace of the attention"
            );
        }
        let output = Shared::new(output);
        for_each(workspaces, batch * self.heads, |workspace, task| {
            self.head(
                set,
                &mut workspace.left,
                task / self.heads,
                task % self.heads,
                positions,
                input,
                output,
            );
        });
    }

    #[allow(clippy::too_many_arguments)]
    fn head(
        self,
        set: InstructionSet,
        workspace: &mut [f32],
        item: usize,
        head: usize,
        positions: usize,
        input: &[f32],
        output: Shared<'_>,
    ) {
        let (depth, width) = (self.depth, padded(self.depth));
        let row = 3 * self.channels();
        let input = &input[item * positions * row..][..positions * row];
        let padded_positions = padded(positions);
        let (keys, rest) = workspace.split_at_mut(padded_positions * width);
        let (values, rest) = rest.split_at_mut(padded_positions * width);
        let (scores, rest) = rest.split_at_mut(QUERIES * padded_positions);
        let (mixed, inverse) = rest.split_at_mut(QUERIES * width);

        let panel = set.panel_width();
        let part =
            |which: usize, position: usize| &input[position * row + which * self.channels() + head * width..][..width];
        // Keys: [depth, positions] in panels of positions. Values: [positions, depth] in panels of channels.
        for start in (0..padded_positions).step_by(panel) {
            let columns = panel.min(padded_positions - start);
            let packed = &mut keys[start * depth..][..columns * depth];
            for column in 0..columns {
                if start + column < positions {
                    let key = part(1, start + column);
                    for k in 0..depth {
                        packed[k * columns + column] = key[k];
                    }
                } else {
                    for k in 0..depth {
                        packed[k * columns + column] = 0.0;
                    }
                }
            }
        }
        for start in (0..width).step_by(panel) {
            let columns = panel.min(width - start);
            let packed = &mut values[start * positions..][..columns * positions];
            for (position, to) in packed.chunks_exact_mut(columns).enumerate() {
                to.copy_from_slice(&part(2, position)[start..start + columns]);
            }
        }
        let keys = Right {
            data: keys.as_ptr(),
            points: 1,
            depth,
            columns: padded_positions,
            panel,
        };
        let values = Right {
            data: values.as_ptr(),
            points: 1,
            depth: positions,
            columns: width,
            panel,
        };

        for first in (0..positions).step_by(QUERIES) {
            let rows = QUERIES.min(positions - first);
            let queries = part(0, first).as_ptr();
            // SAFETY: `rows` queries of `depth` numbers begin at `queries`, `row` apart; keys and values are packed
            // above with the panel width of the set; scores, products and inverses have room for QUERIES rows.
            unsafe {
                multiply(
                    set,
                    rows,
                    Rows {
                        data: queries,
                        row,
                        point: 0,
                    },
                    keys,
                    (0, padded_positions.div_ceil(panel)),
                    Rows {
                        data: scores.as_mut_ptr(),
                        row: padded_positions,
                        point: 0,
                    },
                );
                exponentials(
                    set,
                    scores.as_mut_ptr(),
                    rows,
                    positions,
                    padded_positions,
                    inverse.as_mut_ptr(),
                );
                multiply(
                    set,
                    rows,
                    Rows {
                        data: scores.as_ptr(),
                        row: padded_positions,
                        point: 0,
                    },
                    values,
                    (0, width.div_ceil(panel)),
                    Rows {
                        data: mixed.as_mut_ptr(),
                        row: width,
                        point: 0,
                    },
                );
            }
            for query in 0..rows {
                let place = (item * positions + first + query) * self.channels() + head * width;
                // SAFETY: no other task writes this head of this image.
                let to = unsafe { output.part(place, width) };
                for (to, &value) in to.iter_mut().zip(&mixed[query * width..][..width]) {
                    *to = value * inverse[query];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
