//! Convolutions and projections: loads, products and stores of one output block after another.
//!
//! A block of output tiles goes through three stages, each small enough for the cache: the inputs are loaded (joined,
//! normalised, activated, enlarged) and laid out as rows of a matrix, transformed if the method is Winograd's; the
//! rows are multiplied with the packed weights, some output channels at a time; the products are transformed back and
//! stored with bias and residual, and summed by channel for the next normalisation.

use crate::matrix::{PackedMatrix, Rows, multiply, multiply_pairs};
use crate::memory::{Buffer, Shared};
use crate::simd::{Arithmetic, CHANNEL_BLOCK, InstructionSet, padded, pair, round_numbers};
use crate::source::{Region, Source, load_region};
use crate::threads::for_each;
use crate::tiling::{Rectangle, Tiling};
use crate::winograd::{
    Finish, Tiles, finish_direct, finish_four, finish_two, transform_input_four, transform_input_four_rounded,
    transform_input_two, transform_input_two_rounded,
};

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

/// Weights of one convolution, packed for a method, an instruction set and an arithmetic.
pub(crate) struct Convolution {
    pub(crate) method: Method,
    arithmetic: Arithmetic,
    /// Rows are the inputs, times the taps where patches are gathered; in bf16 two of them make one row of words.
    weights: PackedMatrix,
    bias: Buffer,
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
                for row in 0..weights.depth() {
                    for block in 0..weights.columns() / CHANNEL_BLOCK {
                        match arithmetic {
                            Arithmetic::F32 => {
                                weights.set_kernels(set, side, row, block, &kernel.taps(row, block));
                            }
                            Arithmetic::Bf16 => {
                                let taps = [2 * row, 2 * row + 1].map(|input| kernel.taps(input, block));
                                weights.set_kernel_pairs(set, side, row, block, [&taps[0], &taps[1]]);
                            }
                        }
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
        Self {
            method,
            arithmetic,
            weights,
            bias,
        }
    }

    /// The packed weights and the bias, to write other ones.
    pub(crate) fn parts_mut(&mut self) -> (&mut PackedMatrix, &mut [f32]) {
        (&mut self.weights, &mut self.bias)
    }

    /// Rows of words of the packed weights: inputs, times the taps where patches are gathered.
    pub(crate) fn depth(&self) -> usize {
        self.weights.depth()
    }

    /// Channels of the output, with padding.
    pub(crate) fn outputs(&self) -> usize {
        self.weights.columns()
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    fn inputs(&self) -> usize {
        let rows = self.weights.depth() * self.arithmetic.numbers();
        match self.method {
            Method::Winograd(_) => rows,
            Method::Patches { kernel, .. } => rows / (kernel * kernel),
        }
    }

    /// Distance of the points in the left-hand side, in words. The extra line spreads them over the sets of the cache.
    pub(crate) fn left_point(&self, tiles: usize) -> usize {
        (tiles * self.weights.depth()).next_multiple_of(CHANNEL_BLOCK) + CHANNEL_BLOCK
    }

    /// Panels multiplied at a time: 32 columns of a Winograd product, so that its points stay in the cache.
    fn chunk_panels(&self) -> usize {
        let columns = if matches!(self.method, Method::Winograd(_)) {
            32
        } else {
            64
        };
        (columns / self.weights.columns_of(0, 1).len().max(1)).max(1)
    }

    fn chunks(&self) -> usize {
        self.weights.panels().div_ceil(self.chunk_panels())
    }

    fn product_sizes(&self, tiles: usize) -> (usize, usize) {
        let row = self.weights.columns_of(0, self.chunk_panels()).len();
        (row, tiles * row + CHANNEL_BLOCK)
    }

    /// Channels loaded at a time for a rectangle: about 96 KiB of input.
    fn chunk_channels(&self, rows: usize, columns: usize) -> usize {
        let side = self.method.side();
        let pixels = (side * rows + 2) * (side * columns + 2);
        let most = (24 * 1024 / pixels / CHANNEL_BLOCK * CHANNEL_BLOCK).max(CHANNEL_BLOCK);
        let parts = self.inputs().div_ceil(most);
        padded(self.inputs().div_ceil(parts))
    }

    /// What one thread needs for the tiling.
    pub(crate) fn needs(&self, tiling: &Tiling) -> Needs {
        let tiles = tiling.largest_block();
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
                    Arithmetic::Bf16 => columns.max(kernel) * self.inputs(),
                }
            }
        };
        Needs {
            left: self.method.points() * self.left_point(tiles),
            region,
            product: self.method.points() * self.product_sizes(tiles).1,
        }
    }
}

/// Numbers of each kind of workspace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs {
    pub(crate) left: usize,
    pub(crate) region: usize,
    pub(crate) product: usize,
}

impl Needs {
    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            left: self.left.max(other.left),
            region: self.region.max(other.region),
            product: self.product.max(other.product),
        }
    }
}

/// Memory of one thread.
pub(crate) struct Workspace {
    pub(crate) left: Buffer,
    pub(crate) region: Buffer,
    pub(crate) product: Buffer,
}

/// Memory of all threads.
#[derive(Default)]
pub(crate) struct Workspaces {
    /// The left-hand side when all threads work on one block.
    shared: Buffer,
    pub(crate) threads: Vec<Workspace>,
}

impl Workspaces {
    pub(crate) fn new(threads: usize, needs: Needs) -> Self {
        let workspace = |_| Workspace {
            left: Buffer::zeroed(needs.left),
            region: Buffer::zeroed(needs.region),
            product: Buffer::zeroed(needs.product),
        };
        Self {
            shared: Buffer::zeroed(if threads > 1 { needs.left } else { 0 }),
            threads: (0..threads).map(workspace).collect(),
        }
    }
}

/// The image itself, [batch, channels, height, width].
#[derive(Clone, Copy)]
pub(crate) struct Planar<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    Activations(Source<'a>),
    Planar(Planar<'a>),
}

/// What is added to the products.
#[derive(Clone, Copy)]
pub(crate) enum Residual<'a> {
    None,
    /// What the output holds before.
    Output,
    /// An activation of the output's shape.
    Tensor(&'a [f32]),
}

/// Where the outputs go.
pub(crate) struct Output<'a> {
    /// [batch, height, width, channels]
    pub(crate) data: &'a mut [f32],
    pub(crate) residual: Residual<'a>,
    /// For each rectangle of the tiling: sums and sums of squares by channel, [rectangles, 2, channels].
    pub(crate) sums: Option<&'a mut [f32]>,
}

/// The loading side of a convolution: lays out the left-hand side of its products.
#[derive(Clone, Copy)]
pub(crate) struct Loading<'a> {
    pub(crate) set: InstructionSet,
    pub(crate) convolution: &'a Convolution,
    pub(crate) input: Input<'a>,
}

/// One convolution under way.
struct Job<'a> {
    loading: Loading<'a>,
    out: Shared<'a>,
    residual: *const f32,
    sums: Option<Shared<'a>>,
    tiling: &'a Tiling,
}

// SAFETY: `residual` is read only: either an activation that nothing writes or the output, of which each thread reads
// and writes its own part.
unsafe impl Sync for Job<'_> {}

/// Convolves the first `batch` images of the tiling. The workspaces are as large as [`Convolution::needs`] says for
/// this tiling; wrong sizes panic.
pub(crate) fn convolve(
    set: InstructionSet,
    workspaces: &mut Workspaces,
    convolution: &Convolution,
    tiling: &Tiling,
    batch: usize,
    input: Input<'_>,
    output: Output<'_>,
) {
    let loading = Loading {
        set,
        convolution,
        input,
    };
    loading.check(tiling, batch);
    let values = batch * tiling.height * tiling.width * convolution.outputs();
    assert!(output.data.len() >= values, "the output is too short");
    let out = Shared::new(output.data);
    let residual = match output.residual {
        Residual::None => std::ptr::null(),
        Residual::Output => out.pointer(0).cast_const(),
        Residual::Tensor(tensor) => {
            assert!(tensor.len() >= values, "the residual is too short");
            tensor.as_ptr()
        }
    };
    let sums = output.sums.map(|sums| {
        assert!(
            sums.len() >= tiling.rectangles(batch).len() * 2 * convolution.outputs(),
            "too few sums"
        );
        Shared::new(sums)
    });
    let needs = convolution.needs(tiling);
    for workspace in &workspaces.threads {
        assert!(workspace.left.len() >= needs.left, "workspace of left-hand sides");
        assert!(workspace.region.len() >= needs.region, "workspace of regions");
        assert!(workspace.product.len() >= needs.product, "workspace of products");
    }
    let job = Job {
        loading,
        out,
        residual,
        sums,
        tiling,
    };
    let blocks = tiling.blocks(batch);
    let threads = workspaces.threads.len();
    if threads == 1 || blocks >= threads * 2 || blocks.is_multiple_of(threads) {
        for_each(&mut workspaces.threads, blocks, |workspace, index| {
            let (first, rectangles) = tiling.block(batch, index);
            let left = Shared::new(&mut workspace.left);
            for task in 0..loading.prepare_tasks(rectangles) {
                loading.prepare(rectangles, task, left, &mut workspace.region);
            }
            for chunk in 0..convolution.chunks() {
                job.multiply(first, rectangles, chunk, left, &mut workspace.product);
            }
        });
    } else {
        assert!(
            workspaces.shared.len() >= needs.left,
            "shared workspace of left-hand sides"
        );
        let left = Shared::new(&mut workspaces.shared);
        for index in 0..blocks {
            let (first, rectangles) = tiling.block(batch, index);
            for_each(
                &mut workspaces.threads,
                loading.prepare_tasks(rectangles),
                |workspace, task| {
                    loading.prepare(rectangles, task, left, &mut workspace.region);
                },
            );
            for_each(&mut workspaces.threads, convolution.chunks(), |workspace, chunk| {
                job.multiply(first, rectangles, chunk, left, &mut workspace.product);
            });
        }
    }
}

impl Loading<'_> {
    /// Panics where input, convolution and tiling do not fit each other, or the input is too short for `batch` images.
    pub(crate) fn check(&self, tiling: &Tiling, batch: usize) {
        let (height, width, channels) = match self.input {
            Input::Activations(source) => {
                source.check(batch);
                let scale = if source.upsample { 2 } else { 1 };
                (source.height * scale, source.width * scale, source.channels())
            }
            Input::Planar(planar) => {
                assert!(
                    matches!(self.convolution.method, Method::Patches { .. }),
                    "images are read as patches"
                );
                assert!(planar.data.len() >= batch * planar.channels * planar.height * planar.width);
                (planar.height, planar.width, planar.channels)
            }
        };
        let method = self.convolution.method;
        assert_eq!(channels, self.convolution.inputs(), "channels of the input");
        assert_eq!(
            (method.output_size(height), method.output_size(width)),
            (tiling.height, tiling.width)
        );
        assert_eq!(method.side(), tiling.side, "the tiling is for another method");
    }

    /// Parts into which the loading of a rectangle is cut: by channels for Winograd, by rows of tiles for patches.
    fn parts(&self, rectangle: &Rectangle) -> usize {
        match self.convolution.method {
            Method::Winograd(_) => {
                let channels = self.convolution.chunk_channels(rectangle.rows, rectangle.columns);
                self.convolution.inputs().div_ceil(channels)
            }
            Method::Patches { .. } => rectangle.rows,
        }
    }

    /// Number of parts in which [`Self::prepare`] lays out the rectangles.
    pub(crate) fn prepare_tasks(&self, rectangles: &[Rectangle]) -> usize {
        rectangles.iter().map(|rectangle| self.parts(rectangle)).sum()
    }

    /// Lays out one part of the left-hand side.
    pub(crate) fn prepare(&self, rectangles: &[Rectangle], task: usize, left: Shared<'_>, region: &mut [f32]) {
        let convolution = self.convolution;
        let tiles: usize = rectangles.iter().map(Rectangle::tiles).sum();
        let point = convolution.left_point(tiles);
        let (mut first_tile, mut part) = (0, task);
        for rectangle in rectangles {
            let parts = self.parts(rectangle);
            if part >= parts {
                part -= parts;
                first_tile += rectangle.tiles();
                continue;
            }
            match convolution.method {
                Method::Winograd(side) => {
                    let count = convolution.chunk_channels(rectangle.rows, rectangle.columns);
                    let channels = (part * count, ((part + 1) * count).min(convolution.inputs()));
                    self.prepare_winograd(rectangle, side, channels, left, first_tile, point, region);
                }
                Method::Patches {
                    kernel,
                    stride,
                    padding,
                } => {
                    let row = first_tile + part * rectangle.columns;
                    let y = (rectangle.row + part) * stride;
                    match self.input {
                        Input::Activations(ref source) => {
                            let kernel = (kernel, stride, padding);
                            self.prepare_patches(source, rectangle, kernel, y, left, row, region);
                        }
                        Input::Planar(planar) => {
                            self.prepare_planar(planar, rectangle, (kernel, stride, padding), y, left, row);
                        }
                    }
                }
            }
            return;
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn prepare_winograd(
        &self,
        rectangle: &Rectangle,
        side: usize,
        channels: (usize, usize),
        left: Shared<'_>,
        first_tile: usize,
        point: usize,
        region: &mut [f32],
    ) {
        let Input::Activations(source) = &self.input else {
            unreachable!("checked in `convolve`")
        };
        let depth = self.convolution.weights.depth();
        let count = channels.1 - channels.0;
        let (rows, columns) = (side * rectangle.rows + 2, side * rectangle.columns + 2);
        assert!(region.len() >= rows * columns * count, "workspace of regions");
        let points = self.convolution.method.points();
        assert!((points - 1) * point + (first_tile + rectangle.tiles()) * depth <= left.len());
        let place = Region {
            item: rectangle.item,
            top: (rectangle.row * side) as isize - 1,
            left: (rectangle.column * side) as isize - 1,
            rows,
            columns,
            channels,
        };
        let tiles = Tiles {
            rows: rectangle.rows,
            columns: rectangle.columns,
            channels: count,
        };
        let numbers = self.convolution.arithmetic.numbers();
        let to = left.pointer(first_tile * depth + channels.0 / numbers);
        let (depth, point) = (numbers * depth, numbers * point);
        let transform = match (self.convolution.arithmetic, side) {
            (Arithmetic::F32, 4) => transform_input_four,
            (Arithmetic::F32, _) => transform_input_two,
            (Arithmetic::Bf16, 4) => transform_input_four_rounded,
            (Arithmetic::Bf16, _) => transform_input_two_rounded,
        };
        // SAFETY: the source was checked for the batch; the region and the left-hand side were measured above, and
        // no other task writes these tiles' rows in these channels.
        unsafe {
            load_region(self.set, source, place, region.as_mut_ptr());
            transform(self.set, region.as_ptr(), tiles, to, depth, point);
        }
    }

    /// Patches of one row of outputs.
    #[allow(clippy::too_many_arguments)]
    fn prepare_patches(
        &self,
        source: &Source<'_>,
        rectangle: &Rectangle,
        (kernel, stride, padding): (usize, usize, usize),
        y: usize,
        left: Shared<'_>,
        row: usize,
        region: &mut [f32],
    ) {
        let (depth, arithmetic) = (self.convolution.weights.depth(), self.convolution.arithmetic);
        assert!((row + rectangle.columns) * depth <= left.len());
        let mut place = Region {
            item: rectangle.item,
            top: y as isize - padding as isize,
            left: (rectangle.column * stride) as isize - padding as isize,
            rows: 1,
            columns: rectangle.columns,
            channels: (0, source.channels()),
        };
        let mut load = |place: Region, to: *mut f32| {
            // SAFETY: the source was checked for the batch, the rows are inside the left-hand side, and no other task
            // writes them.
            unsafe {
                match arithmetic {
                    Arithmetic::F32 => load_region(self.set, source, place, to),
                    Arithmetic::Bf16 => {
                        let count = place.columns * source.channels();
                        let loaded = &mut region[..count];
                        load_region(self.set, source, place, loaded.as_mut_ptr());
                        round_numbers(self.set, loaded.as_ptr(), to, count);
                    }
                }
            }
        };
        if kernel == 1 && stride == 1 {
            load(place, left.pointer(row * depth));
            return;
        }
        place.columns = kernel;
        let words = kernel * source.channels() / arithmetic.numbers();
        for column in 0..rectangle.columns {
            place.left = ((rectangle.column + column) * stride) as isize - padding as isize;
            for ky in 0..kernel {
                place.top = (y + ky) as isize - padding as isize;
                load(place, left.pointer((row + column) * depth + ky * words));
            }
        }
    }

    /// Patches of one row of outputs, from an image.
    fn prepare_planar(
        &self,
        planar: Planar<'_>,
        rectangle: &Rectangle,
        (kernel, stride, padding): (usize, usize, usize),
        y: usize,
        left: Shared<'_>,
        row: usize,
    ) {
        let depth = self.convolution.weights.depth();
        // SAFETY: no other task writes these rows.
        let rows = unsafe { left.part(row * depth, rectangle.columns * depth) };
        for (column, values) in rows.chunks_exact_mut(depth).enumerate() {
            let x = (rectangle.column + column) * stride;
            for (tap, values) in values.chunks_exact_mut(planar.channels).enumerate() {
                let (y, x) = (
                    (y + tap / kernel).wrapping_sub(padding),
                    (x + tap % kernel).wrapping_sub(padding),
                );
                for (channel, value) in values.iter_mut().enumerate() {
                    *value = if y < planar.height && x < planar.width {
                        let plane = rectangle.item * planar.channels + channel;
                        planar.data[(plane * planar.height + y) * planar.width + x]
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}

impl Job<'_> {
    /// Multiplies a block's rows with one chunk of the weights and stores the outputs.
    fn multiply(
        &self,
        first_rectangle: usize,
        rectangles: &[Rectangle],
        chunk: usize,
        left: Shared<'_>,
        product: &mut [f32],
    ) {
        let Loading { set, convolution, .. } = self.loading;
        let weights = &convolution.weights;
        let tiles: usize = rectangles.iter().map(Rectangle::tiles).sum();
        let point = convolution.left_point(tiles);
        let from = chunk * convolution.chunk_panels();
        let panels = (from, (from + convolution.chunk_panels()).min(weights.panels()));
        let columns = weights.columns_of(panels.0, panels.1);
        let (product_row, product_point) = convolution.product_sizes(tiles);
        assert!(
            (weights.points() - 1) * point + tiles * weights.depth() <= left.len(),
            "left-hand side"
        );
        assert!(
            weights.points() * product_point <= product.len(),
            "workspace of products"
        );
        let multiply = match convolution.arithmetic {
            Arithmetic::F32 => multiply,
            Arithmetic::Bf16 => multiply_pairs,
        };
        // SAFETY: the left-hand side and the products were measured above; the rows are written already.
        unsafe {
            multiply(
                set,
                tiles,
                Rows {
                    data: left.pointer(0).cast_const(),
                    row: weights.depth(),
                    point,
                },
                weights.right(),
                panels,
                Rows {
                    data: product.as_mut_ptr(),
                    row: product_row,
                    point: product_point,
                },
            );
        }
        let mut tile = 0;
        for (index, rectangle) in rectangles.iter().enumerate() {
            let sums = 2 * (first_rectangle + index) * weights.columns();
            let finish = Finish {
                product: product[tile * product_row..].as_ptr(),
                product_row,
                product_point,
                rectangle: *rectangle,
                height: self.tiling.height,
                width: self.tiling.width,
                first: columns.start,
                columns: columns.len(),
                channels: weights.columns(),
                bias: convolution.bias.as_ptr(),
                residual: self.residual,
                out: self.out.pointer(0),
                sums: self
                    .sums
                    .as_ref()
                    .map_or(std::ptr::null_mut(), |shared| shared.pointer(sums)),
            };
            // SAFETY: output, residual and sums were measured in `convolve`; no other task writes this rectangle's
            // outputs and sums in these channels.
            unsafe {
                match convolution.method {
                    Method::Winograd(4) => finish_four(set, &finish),
                    Method::Winograd(_) => finish_two(set, &finish),
                    Method::Patches { .. } => finish_direct(set, &finish),
                }
            }
            tile += rectangle.tiles();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Affine, Part};
    use crate::testing::Random;
    use crate::threads::Threads;

    /// What the kernels should compute, in f64, straight from the definition.
    struct Naive<'a> {
        inputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        weight: &'a [f32],
        /// (item, channel, y, x) -> value inside the image, 0 outside
        input: &'a dyn Fn(usize, usize, isize, isize) -> f64,
    }

    impl Naive<'_> {
        fn at(&self, item: usize, output: usize, y: usize, x: usize) -> f64 {
            let mut sum = 0.0;
            for input in 0..self.inputs {
                for ky in 0..self.kernel {
                    for kx in 0..self.kernel {
                        let weight =
                            self.weight[((output * self.inputs + input) * self.kernel + ky) * self.kernel + kx];
                        let y = (y * self.stride + ky) as isize - self.padding as isize;
                        let x = (x * self.stride + kx) as isize - self.padding as isize;
                        sum += f64::from(weight) * (self.input)(item, input, y, x);
                    }
                }
            }
            sum
        }
    }

    #[test]
    fn convolutions_equal_naive_ones() {
        let mut random = Random::new(7);
        let methods = [
            Method::Winograd(4),
            Method::Winograd(2),
            Method::Patches {
                kernel: 3,
                stride: 1,
                padding: 1,
            },
            Method::Patches {
                kernel: 3,
                stride: 2,
                padding: 1,
            },
            Method::Patches {
                kernel: 1,
                stride: 1,
                padding: 0,
            },
        ];
        for threads in [1, 3] {
            let pool = Threads::new(threads).unwrap();
            for set in InstructionSet::available() {
                for round in 0..60 {
                    let method = methods[round % methods.len()];
                    check(&mut random, &pool, set, Arithmetic::F32, method);
                    if set.computes_bf16() && round < 2 * methods.len() {
                        check(&mut random, &pool, set, Arithmetic::Bf16, method);
                    }
                }
            }
        }
    }

    fn check(random: &mut Random, pool: &Threads, set: InstructionSet, arithmetic: Arithmetic, method: Method) {
        // Two roundings to 8 bits of each product, larger by what the points of a tile add up.
        let tolerance = match (arithmetic, method) {
            (Arithmetic::F32, _) => 2e-5,
            (Arithmetic::Bf16, Method::Patches { .. }) => 2e-2,
            (Arithmetic::Bf16, Method::Winograd(2)) => 3e-2,
            (Arithmetic::Bf16, Method::Winograd(_)) => 8e-2,
        };
        let (kernel, stride, padding) = match method {
            Method::Winograd(_) => (3, 1, 1),
            Method::Patches {
                kernel,
                stride,
                padding,
            } => (kernel, stride, padding),
        };
        let (most, batch) = (random.below(3) + 1, 1);
        let batch = batch + random.below(most);
        let (height, width) = (random.below(14) + 1, random.below(14) + 1);
        let counts = [
            random.below(40) + 1,
            if random.flag() { random.below(20) + 1 } else { 0 },
        ];
        let widths = counts.map(padded);
        let (inputs, outputs) = (counts[0] + counts[1], random.below(50) + 1);
        let (upsample, activate) = (stride == 1 && random.flag(), random.flag());
        let normalise = random.flag();
        let scale = usize::from(upsample) + 1;

        // Padding holds zeros in activations; in the affine map it must be zero for the result to stay zero.
        let parts: [Vec<f32>; 2] = std::array::from_fn(|part| {
            (0..most * height * width * widths[part])
                .map(|i| {
                    if i % widths[part] < counts[part] {
                        random.value()
                    } else {
                        0.0
                    }
                })
                .collect()
        });
        let total = widths[0] + widths[1];
        let real = |channel: usize| {
            if channel < widths[0] {
                channel < counts[0]
            } else {
                channel - widths[0] < counts[1]
            }
        };
        let maps: [Vec<f32>; 2] = std::array::from_fn(|_| {
            (0..most * total)
                .map(|i| if real(i % total) { random.value() + 0.5 } else { 0.0 })
                .collect()
        });
        let position = |channel: usize| {
            if channel < counts[0] {
                channel
            } else {
                widths[0] + channel - counts[0]
            }
        };
        let channel_at = |position: usize| {
            if position < widths[0] {
                (position < counts[0]).then_some(position)
            } else {
                (position - widths[0] < counts[1]).then(|| counts[0] + position - widths[0])
            }
        };
        let fan = (inputs * kernel * kernel) as f32;
        let weight: Vec<f32> = random
            .values(outputs * inputs * kernel * kernel)
            .iter()
            .map(|value| value / fan.sqrt())
            .collect();
        let bias = random.values(outputs);

        let convolution = Convolution::pack(
            set,
            arithmetic,
            method,
            &Kernel {
                inputs: total,
                outputs,
                value: &|output, input, ky, kx| {
                    channel_at(input).map_or(0.0, |input| {
                        weight[((output * inputs + input) * kernel + ky) * kernel + kx]
                    })
                },
                bias: &|output| bias[output],
            },
        );
        let (rows, columns) = (method.output_size(height * scale), method.output_size(width * scale));
        let tiling = Tiling::new(most, rows, columns, method.side(), random.below(30) + 1);
        let mut workspaces = Workspaces::new(pool.count(), convolution.needs(&tiling));
        let stored = convolution.outputs();
        let mut out: Vec<f32> = (0..batch * rows * columns * stored)
            .map(|i| if i % stored < outputs { random.value() } else { 0.0 })
            .collect();
        let before = out.clone();
        let other: Vec<f32> = before.iter().map(|value| value * 0.5).collect();
        let residual = match random.below(3) {
            0 => Residual::None,
            1 => Residual::Output,
            _ => Residual::Tensor(&other),
        };
        let added = |index: usize| match residual {
            Residual::None => 0.0,
            Residual::Output => f64::from(before[index]),
            Residual::Tensor(tensor) => f64::from(tensor[index]),
        };
        let rectangles = tiling.rectangles(batch);
        let mut sums = vec![f32::NAN; rectangles.len() * 2 * stored];
        let affine = normalise.then_some(Affine {
            scale: &maps[0],
            shift: &maps[1],
            activate,
        });
        let source = Source {
            first: Part {
                data: &parts[0],
                channels: widths[0],
            },
            second: (widths[1] > 0).then_some(Part {
                data: &parts[1],
                channels: widths[1],
            }),
            height,
            width,
            upsample,
            affine,
        };
        let output = Output {
            data: &mut out,
            residual,
            sums: Some(&mut sums),
        };
        pool.install(|| {
            convolve(
                set,
                &mut workspaces,
                &convolution,
                &tiling,
                batch,
                Input::Activations(source),
                output,
            );
        });

        let input = |item: usize, channel: usize, y: isize, x: isize| {
            let (y, x) = (y.div_euclid(scale as isize), x.div_euclid(scale as isize));
            if y < 0 || x < 0 || y >= height as isize || x >= width as isize {
                return 0.0;
            }
            let pixel = (item * height + y as usize) * width + x as usize;
            let value = if channel < counts[0] {
                parts[0][pixel * widths[0] + channel]
            } else {
                parts[1][pixel * widths[1] + channel - counts[0]]
            };
            let mut value = f64::from(value);
            if normalise {
                let index = item * total + position(channel);
                value = value * f64::from(maps[0][index]) + f64::from(maps[1][index]);
                if activate {
                    value /= 1.0 + (-value).exp();
                }
            }
            value
        };
        let naive = Naive {
            inputs,
            kernel,
            stride,
            padding,
            weight: &weight,
            input: &input,
        };
        let mut expected_sums = vec![0.0; batch * 2 * stored];
        for item in 0..batch {
            for y in 0..rows {
                for x in 0..columns {
                    for channel in 0..stored {
                        let index = ((item * rows + y) * columns + x) * stored + channel;
                        let expected = if channel < outputs {
                            naive.at(item, channel, y, x) + f64::from(bias[channel]) + added(index)
                        } else {
                            0.0
                        };
                        assert!(
                            (f64::from(out[index]) - expected).abs() < tolerance,
                            "{} {arithmetic:?} {method:?}: {} for {expected} at item {item} y {y} x {x} channel {channel} of {batch}x{rows}x{columns}x{outputs}",
                            set.name(),
                            out[index],
                        );
                        let found = f64::from(out[index]);
                        expected_sums[item * 2 * stored + channel] += found;
                        expected_sums[(item * 2 + 1) * stored + channel] += found * found;
                    }
                }
            }
        }
        let mut found_sums = vec![0.0; batch * 2 * stored];
        for (rectangle, sums) in rectangles.iter().zip(sums.chunks_exact(2 * stored)) {
            for (total, sum) in found_sums[rectangle.item * 2 * stored..].iter_mut().zip(sums) {
                *total += f64::from(*sum);
            }
        }
        for (found, expected) in found_sums.iter().zip(&expected_sums) {
            assert!(
                (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "sums: {found} for {expected}"
            );
        }
    }

    #[test]
    fn images_are_read_as_planes() {
        let mut random = Random::new(3);
        let method = Method::Patches {
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        for set in InstructionSet::available() {
            let (batch, height, width, outputs) = (2, random.below(9) + 1, random.below(9) + 1, random.below(30) + 1);
            let image = random.values(batch * 3 * height * width);
            let weight = random.values(outputs * 27);
            let convolution = Convolution::pack(
                set,
                Arithmetic::F32,
                method,
                &Kernel {
                    inputs: 3,
                    outputs,
                    value: &|output, input, ky, kx| weight[(output * 3 + input) * 9 + ky * 3 + kx],
                    bias: &|_| 0.25,
                },
            );
            let tiling = Tiling::new(batch, height, width, 1, 20);
            let mut workspaces = Workspaces::new(1, convolution.needs(&tiling));
            let mut out = vec![0.0; batch * height * width * convolution.outputs()];
            let planar = Planar {
                data: &image,
                channels: 3,
                height,
                width,
            };
            let output = Output {
                data: &mut out,
                residual: Residual::None,
                sums: None,
            };
            convolve(
                set,
                &mut workspaces,
                &convolution,
                &tiling,
                batch,
                Input::Planar(planar),
                output,
            );
            let input = |item: usize, channel: usize, y: isize, x: isize| {
                let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
                let index = |y: usize, x: usize| ((item * 3 + channel) * height + y) * width + x;
                if inside {
                    f64::from(image[index(y as usize, x as usize)])
                } else {
                    0.0
                }
            };
            let naive = Naive {
                inputs: 3,
                kernel: 3,
                stride: 1,
                padding: 1,
                weight: &weight,
                input: &input,
            };
            for (index, &found) in out.iter().enumerate() {
                let (pixel, channel) = (index / convolution.outputs(), index % convolution.outputs());
                if channel < outputs {
                    let (item, y, x) = (pixel / (height * width), pixel / width % height, pixel % width);
                    let expected = naive.at(item, channel, y, x) + 0.25;
                    assert!(
                        (f64::from(found) - expected).abs() < 1e-5,
                        "{}: {found} for {expected}",
                        set.name()
                    );
                }
            }
        }
    }
}
