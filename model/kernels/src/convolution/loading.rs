//! The loading side: from the input to the left-hand side of the products.

use super::packed::{Convolution, Method, Pairing};
use crate::memory::Shared;
use crate::simd::{Arithmetic, InstructionSet, round_half, round_numbers};
use crate::source::{Region, Source, load_region};
use crate::tiling::{Rectangle, Tiling};
use crate::winograd::{
    Tiles, transform_input_four, transform_input_four_paired, transform_input_four_rounded, transform_input_two,
    transform_input_two_paired, transform_input_two_rounded,
};

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

/// The loading side of a convolution: lays out the left-hand side of its products.
#[derive(Clone, Copy)]
pub(crate) struct Loading<'a> {
    pub(crate) set: InstructionSet,
    pub(crate) convolution: &'a Convolution,
    pub(crate) input: Input<'a>,
    pub(crate) pairing: Pairing,
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
            Method::Patches { .. } if self.convolution.shifts(self.pairing) => rectangle.rows + 2,
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
        let rows = |rectangle: &Rectangle| convolution.left_rows(self.pairing, rectangle);
        let point = convolution.left_point(self.pairing, rectangles.iter().map(rows).sum());
        let (mut first_row, mut part) = (0, task);
        for rectangle in rectangles {
            let parts = self.parts(rectangle);
            if part >= parts {
                part -= parts;
                first_row += rows(rectangle);
                continue;
            }
            match convolution.method {
                Method::Winograd(side) => {
                    let count = convolution.chunk_channels(rectangle.rows, rectangle.columns);
                    let channels = (part * count, ((part + 1) * count).min(convolution.inputs()));
                    self.prepare_winograd(rectangle, side, channels, left, first_row, point, region);
                }
                Method::Patches {
                    kernel,
                    stride,
                    padding,
                } => {
                    let used = rows(rectangle) / parts;
                    let row = first_row + part * used;
                    let y = (rectangle.row + part) * stride;
                    match self.input {
                        Input::Activations(ref source) => {
                            let kernel = (kernel, stride, padding);
                            self.prepare_patches(source, rectangle, kernel, y, left, (row, used), region);
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
        first_row: usize,
        point: usize,
        region: &mut [f32],
    ) {
        let Input::Activations(source) = &self.input else {
            unreachable!("checked in `convolve`")
        };
        let words = self.convolution.left_row(self.pairing);
        let count = channels.1 - channels.0;
        let (rows, columns) = (side * rectangle.rows + 2, side * rectangle.columns + 2);
        assert!(region.len() >= rows * columns * count, "workspace of regions");
        let points = self.convolution.method.points();
        let used = first_row + self.convolution.left_rows(self.pairing, rectangle);
        assert!((points - 1) * point + used * words <= left.len());
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
        // Inputs in a word.
        let numbers = self.convolution.depth() / words;
        let to = left.pointer(first_row * words + channels.0 / numbers);
        let (row, point) = (numbers * words, numbers * point);
        let transform = match (self.convolution.arithmetic, self.pairing, side) {
            (Arithmetic::F32, _, 4) => transform_input_four,
            (Arithmetic::F32, ..) => transform_input_two,
            (Arithmetic::Bf16, Pairing::Inputs, 4) => transform_input_four_rounded,
            (Arithmetic::Bf16, Pairing::Inputs, _) => transform_input_two_rounded,
            (Arithmetic::Bf16, Pairing::Rows, 4) => transform_input_four_paired,
            (Arithmetic::Bf16, Pairing::Rows, _) => transform_input_two_paired,
        };
        // SAFETY: the source was checked for the batch; the region and the left-hand side were measured above, and
        // no other task writes these tiles' rows in these channels.
        unsafe {
            load_region(self.set, source, place, region.as_mut_ptr());
            transform(self.set, region.as_ptr(), tiles, to, row, point);
        }
    }

    /// Patches of one row of outputs, or one line of the input itself: `used` rows of the left-hand side.
    #[allow(clippy::too_many_arguments)]
    fn prepare_patches(
        &self,
        source: &Source<'_>,
        rectangle: &Rectangle,
        (kernel, stride, padding): (usize, usize, usize),
        y: usize,
        left: Shared<'_>,
        (row, used): (usize, usize),
        region: &mut [f32],
    ) {
        let (words, arithmetic) = (self.convolution.left_row(self.pairing), self.convolution.arithmetic);
        assert!((row + used) * words <= left.len());
        let mut place = Region {
            item: rectangle.item,
            top: y as isize - padding as isize,
            left: (rectangle.column * stride) as isize - padding as isize,
            rows: 1,
            columns: rectangle.columns,
            channels: (0, source.channels()),
        };
        // From the row of output `column` on, behind `before` of its numbers.
        let mut load = |place: Region, column: usize, before: usize| {
            let count = place.columns * source.channels();
            // SAFETY: the source was checked for the batch, the rows are inside the left-hand side, and no other task
            // writes them.
            unsafe {
                if arithmetic == Arithmetic::F32 {
                    load_region(self.set, source, place, left.pointer((row + column) * words + before));
                    return;
                }
                let loaded = &mut region[..count];
                load_region(self.set, source, place, loaded.as_mut_ptr());
                if self.pairing == Pairing::Inputs {
                    let to = left.pointer((row + column) * words + before / 2);
                    round_numbers(self.set, loaded.as_ptr(), to, count);
                    return;
                }
                for (index, numbers) in loaded.chunks(words).enumerate() {
                    let column = column + index;
                    let to = left.pointer((row + column / 2) * words + before);
                    round_half(self.set, numbers.as_ptr(), to, numbers.len(), column % 2 == 1);
                }
            }
        };
        if kernel == 1 && stride == 1 {
            load(place, 0, 0);
            return;
        }
        if self.convolution.shifts(self.pairing) {
            place.columns = used;
            load(place, 0, 0);
            return;
        }
        place.columns = kernel;
        for column in 0..rectangle.columns {
            place.left = ((rectangle.column + column) * stride) as isize - padding as isize;
            for ky in 0..kernel {
                place.top = (y + ky) as isize - padding as isize;
                load(place, column, ky * kernel * source.channels());
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
