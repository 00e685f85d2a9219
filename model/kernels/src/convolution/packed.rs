//! The weights of a convolution, packed for its products.

use super::workspaces::Needs;
use crate::matrix::PackedMatrix;
use crate::memory::Buffer;
use crate::simd::{Arithmetic, CHANNEL_BLOCK, InstructionSet, padded, pair};
use crate::tiling::{Rectangle, Tiling};

/// How the outputs are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// 3x3, stride 1, padding 1, by Winograd's filtering with tiles of this many outputs a side: 2 or 4.
    Winograd(usize),
    /// A square kernel over gathered patches of the input.
    Patches {
        kernel: usize,
        stride: usize,
        padding: usize,
    },
}

impl Method {
    /// Side of an output tile.
    pub(crate) fn side(self) -> usize {
        match self {
            Self::Winograd(outputs) => outputs,
            Self::Patches { .. } => 1,
        }
    }

    pub(crate) fn points(self) -> usize {
        match self {
            Self::Winograd(outputs) => (outputs + 2) * (outputs + 2),
            Self::Patches { .. } => 1,
        }
    }

    /// Side of the output for an input of `size`.
    pub(crate) fn output_size(self, size: usize) -> usize {
        match self {
            Self::Winograd(_) => size,
            Self::Patches {
                kernel,
                stride,
                padding,
            } => (size + 2 * padding - kernel) / stride + 1,
        }
    }
}

/// Which two numbers of the left-hand side share a word in bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// Neighbouring inputs of a row: what a convolution sums over.
    Inputs,
    /// The same input of neighbouring rows, which are tiles of a rectangle or pixels of a line: what the gradient of the
    /// weights sums over.
    Rows,
}

/// Weights of one convolution, packed for a method, an instruction set and an arithmetic.
pub(crate) struct Convolution {
    pub(crate) method: Method,
    pub(crate) arithmetic: Arithmetic,
    /// Rows are the inputs, times the taps where patches are gathered; in bf16 two of them make one row of words.
    pub(super) weights: PackedMatrix,
    pub(super) bias: Buffer,
    /// Whether a 3x3 kernel of stride 1 gathers no patches: the left-hand side is the input with a border of one pixel, and
    /// each tap multiplies its rows from another one on. Matrix tiles can, and leave no time to gather.
    pub(super) shifted: bool,
}

/// The weights to pack: `value(output, input, ky, kx)`. Inputs and outputs are positions in padded channels; whoever
/// makes them returns zero for padding.
pub(crate) struct Kernel<'a> {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) value: &'a dyn Fn(usize, usize, usize, usize) -> f32,
    pub(crate) bias: &'a dyn Fn(usize) -> f32,
}

impl Kernel<'_> {
    /// The 3x3 kernels of one input for a block of outputs, by tap.
    fn taps(&self, input: usize, block: usize) -> [[f32; CHANNEL_BLOCK]; 9] {
        std::array::from_fn(|tap| {
            std::array::from_fn(|lane| {
                let output = block * CHANNEL_BLOCK + lane;
                if output < self.outputs {
                    (self.value)(output, input, tap / 3, tap % 3)
                } else {
                    0.0
                }
            })
        })
    }
}

impl Convolution {
    /// Packs the weights. In bf16 the inputs are whole channel blocks and the set computes it.
    pub(crate) fn pack(set: InstructionSet, arithmetic: Arithmetic, method: Method, kernel: &Kernel<'_>) -> Self {
        let mut convolution = Self::zeroed(set, arithmetic, method, kernel.inputs, kernel.outputs);
        let weights = &mut convolution.weights;
        match method {
            Method::Winograd(side) => {
                for input in 0..kernel.inputs {
                    for block in 0..weights.columns() / CHANNEL_BLOCK {
                        weights.set_kernels(set, arithmetic, side, input, block, &kernel.taps(input, block));
                    }
                }
            }
            Method::Patches { kernel: side, .. } => {
                let value = |row: usize, output: usize| {
                    let tap = row / kernel.inputs;
                    (kernel.value)(output, row % kernel.inputs, tap / side, tap % side)
                };
                let depth = weights.depth();
                *weights = PackedMatrix::pack(set, 1, depth, kernel.outputs, |_, row, output| match arithmetic {
                    Arithmetic::F32 => value(row, output),
                    Arithmetic::Bf16 => pair(value(2 * row, output), value(2 * row + 1, output)),
                });
            }
        }
        for (output, value) in convolution.bias.iter_mut().enumerate().take(kernel.outputs) {
            *value = (kernel.bias)(output);
        }
        convolution
    }

    /// Room for weights of padded `inputs` and `outputs`, all zero.
    pub(crate) fn zeroed(
        set: InstructionSet,
        arithmetic: Arithmetic,
        method: Method,
        inputs: usize,
        outputs: usize,
    ) -> Self {
        let rows = match method {
            Method::Winograd(_) => inputs,
            Method::Patches { kernel, .. } => kernel * kernel * inputs,
        };
        assert!(
            arithmetic == Arithmetic::F32 || set.computes_bf16() && inputs.is_multiple_of(CHANNEL_BLOCK),
            "bf16 with {inputs} inputs on {}",
            set.name()
        );
        let weights = PackedMatrix::zeroed(set, method.points(), rows / arithmetic.numbers(), outputs);
        let bias = Buffer::zeroed(weights.columns());
        let shifted = matches!(
            method,
            Method::Patches {
                kernel: 3,
                stride: 1,
                padding: 1
            }
        );
        Self {
            method,
            arithmetic,
            weights,
            bias,
            shifted: shifted && arithmetic == Arithmetic::Bf16 && set.has_tiles(),
        }
    }

    /// The packed weights and the bias, to write other ones.
    pub(crate) fn parts_mut(&mut self) -> (&mut PackedMatrix, &mut [f32]) {
        (&mut self.weights, &mut self.bias)
    }

    /// What each output sums up: inputs, times the taps where patches are gathered.
    pub(crate) fn depth(&self) -> usize {
        self.weights.depth() * self.arithmetic.numbers()
    }

    /// Channels of the output, with padding.
    pub(crate) fn outputs(&self) -> usize {
        self.weights.columns()
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    pub(super) fn inputs(&self) -> usize {
        match self.method {
            Method::Winograd(_) => self.depth(),
            Method::Patches { kernel, .. } => self.depth() / (kernel * kernel),
        }
    }

    /// Words of a row of the left-hand side.
    pub(crate) fn left_row(&self, pairing: Pairing) -> usize {
        match pairing {
            Pairing::Inputs if self.shifted => self.weights.depth() / 9,
            Pairing::Inputs => self.weights.depth(),
            Pairing::Rows => self.depth(),
        }
    }

    /// Rows of words of the left-hand side for a rectangle.
    pub(crate) fn left_rows(&self, pairing: Pairing, rectangle: &Rectangle) -> usize {
        let shared = match pairing {
            Pairing::Inputs => 1,
            Pairing::Rows => self.arithmetic.numbers(),
        };
        match self.method {
            Method::Winograd(_) => rectangle.tiles().div_ceil(shared),
            Method::Patches { .. } if self.shifts(pairing) => (rectangle.rows + 2) * (rectangle.columns + 2),
            Method::Patches { .. } => rectangle.rows * rectangle.columns.div_ceil(shared),
        }
    }

    /// Whether the left-hand side is the input itself.
    pub(super) fn shifts(&self, pairing: Pairing) -> bool {
        self.shifted && pairing == Pairing::Inputs
    }

    /// Where the rows of each tap begin, in words, if the input is the left-hand side of a rectangle so wide.
    pub(super) fn taps(&self, columns: usize) -> [usize; 9] {
        std::array::from_fn(|tap| (tap / 3 * (columns + 2) + tap % 3) * self.left_row(Pairing::Inputs))
    }

    /// Rows of the product from one row of a rectangle's tiles to the next. Where the input is the left-hand side, the two
    /// rows at a line's end belong to no output.
    pub(super) fn product_line(&self, rectangle: &Rectangle) -> usize {
        rectangle.columns + if self.shifted { 2 } else { 0 }
    }

    pub(super) fn product_rows(&self, rectangle: &Rectangle) -> usize {
        rectangle.rows * self.product_line(rectangle)
    }

    /// Tiles of a block at most: enough for the multipliers, and few enough that everything of a block stays in the cache.
    pub(crate) fn block_tiles(&self) -> usize {
        match self.method {
            Method::Winograd(_) => 32,
            // The borders of blocks are loaded twice.
            Method::Patches { .. } if self.shifted => 512,
            Method::Patches { .. } => 96,
        }
    }

    /// Distance of the points in a left-hand side of so many rows, in words. The extra line spreads them over the sets of
    /// the cache.
    pub(crate) fn left_point(&self, pairing: Pairing, rows: usize) -> usize {
        (rows * self.left_row(pairing)).next_multiple_of(CHANNEL_BLOCK) + CHANNEL_BLOCK
    }

    /// Panels multiplied at a time: 32 columns of a Winograd product, so that its points stay in the cache.
    pub(super) fn chunk_panels(&self) -> usize {
        let columns = if matches!(self.method, Method::Winograd(_)) {
            32
        } else {
            64
        };
        (columns / self.weights.columns_of(0, 1).len().max(1)).max(1)
    }

    pub(super) fn chunks(&self) -> usize {
        self.weights.panels().div_ceil(self.chunk_panels())
    }

    /// Distances of rows and points in a product of so many rows.
    pub(super) fn product_sizes(&self, rows: usize) -> (usize, usize) {
        let row = self.weights.columns_of(0, self.chunk_panels()).len();
        (row, rows * row + CHANNEL_BLOCK)
    }

    /// Channels loaded at a time for a rectangle: about 96 KiB of input.
    pub(super) fn chunk_channels(&self, rows: usize, columns: usize) -> usize {
        let side = self.method.side();
        let pixels = (side * rows + 2) * (side * columns + 2);
        let most = (24 * 1024 / pixels / CHANNEL_BLOCK * CHANNEL_BLOCK).max(CHANNEL_BLOCK);
        let parts = self.inputs().div_ceil(most);
        padded(self.inputs().div_ceil(parts))
    }

    /// What one thread needs for the tiling.
    pub(crate) fn needs(&self, tiling: &Tiling) -> Needs {
        let left_rows = tiling.largest_block(|rectangle| self.left_rows(Pairing::Inputs, rectangle));
        let product_rows = tiling.largest_block(|rectangle| self.product_rows(rectangle));
        let region = match self.method {
            Method::Winograd(side) => {
                let (rows, columns) = tiling.largest_rectangle();
                (1..=rows)
                    .map(|rows| (side * rows + 2) * (side * columns + 2) * self.chunk_channels(rows, columns))
                    .max()
                    .unwrap_or(0)
            }
            // What a tap's row reads is loaded there before it is rounded.
            Method::Patches { kernel, .. } => {
                let (_, columns) = tiling.largest_rectangle();
                match self.arithmetic {
                    Arithmetic::F32 => 0,
                    Arithmetic::Bf16 => (columns + kernel - 1) * self.inputs(),
                }
            }
        };
        Needs {
            left: self.method.points() * self.left_point(Pairing::Inputs, left_rows),
            region,
            product: self.method.points() * self.product_sizes(product_rows).1,
        }
    }
}
