//! Convolutions and projections: loads, products and stores of one output block after another.
//!
//! A block of output tiles goes through three stages, each small enough for the cache: the inputs are loaded (joined,
//! normalised, activated, enlarged) and laid out as rows of a matrix, transformed if the method is Winograd's; the
//! rows are multiplied with the packed weights, some output channels at a time; the products are transformed back and
//! stored with bias and residual, and summed by channel for the next normalisation.

mod loading;
mod packed;
#[cfg(test)]
mod tests;
mod workspaces;

pub(crate) use loading::{Input, Loading, Planar};
pub(crate) use packed::{Convolution, Kernel, Method, Pairing};
pub(crate) use workspaces::{Needs, Workspace, Workspaces};

use crate::matrix::{Rows, multiply, multiply_pairs, multiply_tiles};
use crate::memory::Shared;
use crate::simd::{Arithmetic, InstructionSet};
use crate::source::NEAR;
use crate::threads::for_each;
use crate::tiling::{Rectangle, Tiling};
use crate::winograd::{Finish, finish_direct, finish_four, finish_two};

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
    /// For each strip of the tiling: sums and sums of squares by channel, [strips, 2, channels].
    pub(crate) sums: Option<&'a mut [f32]>,
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
        pairing: Pairing::Inputs,
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
            sums.len() >= tiling.strips(batch) * 2 * convolution.outputs(),
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
            let rectangles = tiling.block(batch, index);
            let left = Shared::new(&mut workspace.left);
            for task in 0..loading.prepare_tasks(rectangles) {
                loading.prepare(rectangles, task, left, &mut workspace.region);
            }
            for chunk in 0..convolution.chunks() {
                job.multiply(rectangles, chunk, left, &mut workspace.product);
            }
        });
    } else {
        assert!(
            workspaces.shared.len() >= needs.left,
            "shared workspace of left-hand sides"
        );
        let left = Shared::new(&mut workspaces.shared);
        for index in 0..blocks {
            let rectangles = tiling.block(batch, index);
            for_each(
                &mut workspaces.threads,
                loading.prepare_tasks(rectangles),
                |workspace, task| {
                    loading.prepare(rectangles, task, left, &mut workspace.region);
                },
            );
            for_each(&mut workspaces.threads, convolution.chunks(), |workspace, chunk| {
                job.multiply(rectangles, chunk, left, &mut workspace.product);
            });
        }
    }
}

impl Job<'_> {
    /// Multiplies a block's rows with one chunk of the weights and stores the outputs.
    fn multiply(&self, rectangles: &[Rectangle], chunk: usize, left: Shared<'_>, product: &mut [f32]) {
        let Loading { set, convolution, .. } = self.loading;
        let weights = &convolution.weights;
        let left_rows = |rectangle: &Rectangle| convolution.left_rows(Pairing::Inputs, rectangle);
        let left_row = convolution.left_row(Pairing::Inputs);
        let rows: usize = rectangles.iter().map(left_rows).sum();
        let point = convolution.left_point(Pairing::Inputs, rows);
        let from = chunk * convolution.chunk_panels();
        let panels = (from, (from + convolution.chunk_panels()).min(weights.panels()));
        let columns = weights.columns_of(panels.0, panels.1);
        let products = rectangles.iter().map(|rectangle| convolution.product_rows(rectangle));
        let (product_row, product_point) = convolution.product_sizes(products.sum());
        assert!(
            (weights.points() - 1) * point + rows * left_row <= left.len(),
            "left-hand side"
        );
        assert!(
            weights.points() * product_point <= product.len(),
            "workspace of products"
        );
        let left_at = |row: usize| Rows {
            data: left.pointer(row * left_row).cast_const(),
            row: left_row,
            point,
        };
        let mut product_at = |row: usize| Rows {
            data: product[row * product_row..].as_mut_ptr(),
            row: product_row,
            point: product_point,
        };
        // SAFETY: the left-hand side and the products were measured above; the rows are written already. The last rows of a
        // rectangle's products are those of its last output: from there the last tap is at the end of its left-hand side.
        unsafe {
            if convolution.shifted {
                let (mut row, mut to) = (0, 0);
                for rectangle in rectangles {
                    let taps = convolution.taps(rectangle.columns);
                    let count = convolution.product_rows(rectangle);
                    let right = weights.right();
                    multiply_tiles(set, count - 2, left_at(row), &taps, right, panels, product_at(to));
                    row += left_rows(rectangle);
                    to += count;
                }
            } else {
                let multiply = match convolution.arithmetic {
                    Arithmetic::F32 => multiply,
                    Arithmetic::Bf16 => multiply_pairs,
                };
                multiply(set, rows, left_at(0), weights.right(), panels, product_at(0));
            }
        }
        let mut row = 0;
        for rectangle in rectangles {
            let sums = 2 * rectangle.strip * weights.columns();
            let finish = Finish {
                product: product[row * product_row..].as_ptr(),
                product_row,
                product_line: convolution.product_line(rectangle),
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
                far: self.out.len() > NEAR,
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
            row += convolution.product_rows(rectangle);
        }
    }
}
