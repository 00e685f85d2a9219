//! Winograd's minimal filtering for 3x3 convolutions (Lavin and Gray 2016): tiles of the input and the kernel are
//! mapped to points, multiplied point by point, and mapped back.
//!
//! A tile of m x m outputs takes (m + 2)^2 products for each pair of channels instead of 9 m^2: 2.25 times fewer for
//! m = 2, 4 times fewer for m = 4. The points are 0, 1, -1 and infinity for m = 2. For m = 4 they are 0, 5/8, -5/8, 3/2,
//! -3/2 and infinity: rounding the transformed numbers errs half as much then as with the usual 1 and 2 (Barabasz et al.
//! 2020 choose points so), in as many operations.

use crate::simd::{CHANNEL_BLOCK, Pair, Pairs, Single, Vector, Word, dispatch, dispatch_pairs};
use crate::tiling::Rectangle;

/// One minimal filtering scheme: its one-dimensional maps, applied to columns and then rows.
pub(crate) trait Scheme {
    /// Outputs of a tile, in one dimension.
    const OUTPUTS: usize;
    /// Inputs of a tile, in one dimension: also the number of points.
    const INPUTS: usize;

    /// Inputs to points; only the first `INPUTS` are used.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn input<V: Vector>(d: [V; 6]) -> [V; 6];

    /// Points to outputs; only the first `OUTPUTS` are used.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4];

    /// Kernel taps to points; only the first `INPUTS` are used.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn kernel<V: Vector>(g: [V; 3]) -> [V; 6];

    /// The transpose of `output`: gradients of the outputs to points.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn output_gradient<V: Vector>(d: [V; 4]) -> [V; 6];

    /// The transpose of `kernel`: gradients of the points to those of the taps.
    ///
    /// # Safety
    /// The processor has `V`'s instructions.
    unsafe fn kernel_gradient<V: Vector>(m: [V; 6]) -> [V; 3];
}

/// F(2x2, 3x3)
pub(crate) struct Two;
/// F(4x4, 3x3)
pub(crate) struct Four;
/// No transformation: the products are the outputs.
pub(crate) struct Direct;

impl Scheme for Two {
    const OUTPUTS: usize = 2;
    const INPUTS: usize = 4;

    #[inline(always)]
    unsafe fn input<V: Vector>(d: [V; 6]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            [
                d[0].sub(d[2]),
                d[1].add(d[2]),
                d[2].sub(d[1]),
                d[1].sub(d[3]),
                d[4],
                d[5],
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
        // SAFETY: the caller's promise.
        unsafe { [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3]), m[4], m[5]] }
    }

    #[inline(always)]
    unsafe fn kernel<V: Vector>(g: [V; 3]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let half = V::splat(0.5);
            let even = g[0].add(g[2]).mul(half);
            let odd = g[1].mul(half);
            [g[0], even.add(odd), even.sub(odd), g[2], V::zero(), V::zero()]
        }
    }

    #[inline(always)]
    unsafe fn output_gradient<V: Vector>(d: [V; 4]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = V::zero();
            [d[0], d[0].add(d[1]), d[0].sub(d[1]), zero.sub(d[1]), zero, zero]
        }
    }

    #[inline(always)]
    unsafe fn kernel_gradient<V: Vector>(m: [V; 6]) -> [V; 3] {
        // SAFETY: the caller's promise.
        unsafe {
            let half = V::splat(0.5);
            let even = m[1].add(m[2]).mul(half);
            [m[0].add(even), m[1].sub(m[2]).mul(half), even.add(m[3])]
        }
    }
}

/// The points of [`Four`] beside 0 and infinity are NEAR, -NEAR, FAR and -FAR; their powers are exact.
const NEAR: f32 = 0.625;
const FAR: f32 = 1.5;
const NEAR_2: f32 = NEAR * NEAR;
const FAR_2: f32 = FAR * FAR;
/// Lagrange's denominators: of 0, of the near and of the far points.
const AT_ZERO: f32 = 1.0 / (NEAR_2 * FAR_2);
const AT_NEAR: f32 = 1.0 / (2.0 * NEAR_2 * (NEAR_2 - FAR_2));
const AT_FAR: f32 = 1.0 / (2.0 * FAR_2 * (FAR_2 - NEAR_2));

impl Scheme for Four {
    const OUTPUTS: usize = 4;
    const INPUTS: usize = 6;

    #[inline(always)]
    unsafe fn input<V: Vector>(d: [V; 6]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let (near, far) = (V::splat(NEAR), V::splat(FAR));
            let (near_2, far_2) = (V::splat(NEAR_2), V::splat(FAR_2));
            let (product, sum) = (V::splat(NEAR_2 * FAR_2), V::splat(NEAR_2 + FAR_2));
            let (even, odd) = (d[2].mul_sub_from(far_2, d[4]), d[1].mul_sub_from(far_2, d[3]));
            let (even_2, odd_2) = (d[2].mul_sub_from(near_2, d[4]), d[1].mul_sub_from(near_2, d[3]));
            [
                d[2].mul_sub_from(sum, d[0].mul_add(product, d[4])),
                odd.mul_add(near, even),
                odd.mul_sub_from(near, even),
                odd_2.mul_add(far, even_2),
                odd_2.mul_sub_from(far, even_2),
                d[3].mul_sub_from(sum, d[1].mul_add(product, d[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let (even, odd) = (m[1].add(m[2]), m[1].sub(m[2]));
            let (even_2, odd_2) = (m[3].add(m[4]), m[3].sub(m[4]));
            [
                m[0].add(even).add(even_2),
                odd_2.mul_add(V::splat(FAR), odd.mul(V::splat(NEAR))),
                even_2.mul_add(V::splat(FAR_2), even.mul(V::splat(NEAR_2))),
                odd_2.mul_add(V::splat(FAR * FAR_2), odd.mul_add(V::splat(NEAR * NEAR_2), m[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn kernel<V: Vector>(g: [V; 3]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let even = g[2].mul_add(V::splat(NEAR_2 * AT_NEAR), g[0].mul(V::splat(AT_NEAR)));
            let odd = g[1].mul(V::splat(NEAR * AT_NEAR));
            let even_2 = g[2].mul_add(V::splat(FAR_2 * AT_FAR), g[0].mul(V::splat(AT_FAR)));
            let odd_2 = g[1].mul(V::splat(FAR * AT_FAR));
            [
                g[0].mul(V::splat(AT_ZERO)),
                even.add(odd),
                even.sub(odd),
                even_2.add(odd_2),
                even_2.sub(odd_2),
                g[2],
            ]
        }
    }

    #[inline(always)]
    unsafe fn output_gradient<V: Vector>(d: [V; 4]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let even = d[2].mul_add(V::splat(NEAR_2), d[0]);
            let odd = d[3].mul_add(V::splat(NEAR * NEAR_2), d[1].mul(V::splat(NEAR)));
            let even_2 = d[2].mul_add(V::splat(FAR_2), d[0]);
            let odd_2 = d[3].mul_add(V::splat(FAR * FAR_2), d[1].mul(V::splat(FAR)));
            [
                d[0],
                even.add(odd),
                even.sub(odd),
                even_2.add(odd_2),
                even_2.sub(odd_2),
                d[3],
            ]
        }
    }

    #[inline(always)]
    unsafe fn kernel_gradient<V: Vector>(m: [V; 6]) -> [V; 3] {
        // SAFETY: the caller's promise.
        unsafe {
            let near = V::splat(AT_NEAR);
            let far = V::splat(AT_FAR);
            let (even, odd) = (m[1].add(m[2]).mul(near), m[1].sub(m[2]).mul(near));
            let (even_2, odd_2) = (m[3].add(m[4]).mul(far), m[3].sub(m[4]).mul(far));
            [
                m[0].mul_add(V::splat(AT_ZERO), even.add(even_2)),
                odd_2.mul_add(V::splat(FAR), odd.mul(V::splat(NEAR))),
                even_2.mul_add(V::splat(FAR_2), even.mul_add(V::splat(NEAR_2), m[5])),
            ]
        }
    }
}

impl Scheme for Direct {
    const OUTPUTS: usize = 1;
    const INPUTS: usize = 1;

    #[inline(always)]
    unsafe fn input<V: Vector>(d: [V; 6]) -> [V; 6] {
        d
    }

    #[inline(always)]
    unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
        [m[0], m[1], m[2], m[3]]
    }

    #[inline(always)]
    unsafe fn kernel<V: Vector>(g: [V; 3]) -> [V; 6] {
        [g[0], g[1], g[2], g[0], g[1], g[2]]
    }

    #[inline(always)]
    unsafe fn output_gradient<V: Vector>(d: [V; 4]) -> [V; 6] {
        [d[0], d[1], d[2], d[3], d[0], d[1]]
    }

    #[inline(always)]
    unsafe fn kernel_gradient<V: Vector>(m: [V; 6]) -> [V; 3] {
        [m[0], m[1], m[2]]
    }
}

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
    pub(crate) unsafe fn transform_input_four = transform_input_four_body(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);
dispatch!(
    /// As `transform_input_four`.
    ///
    /// # Safety
    /// As for `transform_input_four`.
    pub(crate) unsafe fn transform_input_two = transform_input_two_body(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);
dispatch_pairs!(
    /// As `transform_input_four`, rounded to bfloat16: `row` and `point` count such numbers.
    ///
    /// # Safety
    /// As for `transform_input_four`.
    pub(crate) unsafe fn transform_input_four_rounded = transform_input_four_rounded_body(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);
dispatch_pairs!(
    /// As `transform_input_four_rounded`.
    ///
    /// # Safety
    /// As for `transform_input_four`.
    pub(crate) unsafe fn transform_input_two_rounded = transform_input_two_rounded_body(
        region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize)
);

/// The bodies of the four.
macro_rules! transform_input_bodies {
    ($($name:ident: $vector:ident, $scheme:ident, $word:ident;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name<V: $vector>(region: *const f32, tiles: Tiles, to: *mut f32, row: usize, point: usize) {
                // SAFETY: the caller's promise.
                unsafe { transform_input::<V, $scheme, $word>(region, tiles, to, row, point) }
            }
        )*
    };
}
transform_input_bodies! {
    transform_input_four_body: Vector, Four, Single;
    transform_input_two_body: Vector, Two, Single;
    transform_input_four_rounded_body: Pairs, Four, Pair;
    transform_input_two_rounded_body: Pairs, Two, Pair;
}

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
            let place = (tile_row * tiles.columns + tile_column) * row;
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
                            W::store(*value, to, place + (y * S::INPUTS + x) * point + channel);
                        }
                    }
                    channel += V::LANES;
                }
            }
        }
    }
}

/// Where and how the outputs of one rectangle of tiles are written.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    /// `INPUTS`^2 matrices [tiles, columns], rows `product_row` and matrices `product_point` apart.
    pub(crate) product: *const f32,
    pub(crate) product_row: usize,
    pub(crate) product_point: usize,
    /// The rectangle of tiles, and the size of the image.
    pub(crate) rectangle: Rectangle,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// The output's channels `first..first + columns` of `channels` are written.
    pub(crate) first: usize,
    pub(crate) columns: usize,
    pub(crate) channels: usize,
    /// One number for each of the output's channels.
    pub(crate) bias: *const f32,
    /// An activation of the output's shape that is added, or null; may be the output itself.
    pub(crate) residual: *const f32,
    /// The whole output [batch, height, width, channels].
    pub(crate) out: *mut f32,
    /// Sums and sums of squares of the rectangle's outputs [2, channels], or null.
    pub(crate) sums: *mut f32,
}

dispatch!(
    /// Maps products back to outputs, adds bias and residual, and sums the outputs by channel.
    ///
    /// # Safety
    /// The pointers hold what [`Finish`] describes; the rectangle's outputs and sums, for the channels written, are
    /// used by nothing else meanwhile; columns are whole channel blocks.
    pub(crate) unsafe fn finish_four = finish_four_body(finish: &Finish)
);
dispatch!(
    /// As `finish_four`.
    ///
    /// # Safety
    /// As for `finish_four`.
    pub(crate) unsafe fn finish_two = finish_two_body(finish: &Finish)
);
dispatch!(
    /// As `finish_four`, for products that are outputs already.
    ///
    /// # Safety
    /// As for `finish_four`.
    pub(crate) unsafe fn finish_direct = finish_direct_body(finish: &Finish)
);

#[inline(always)]
unsafe fn finish_four_body<V: Vector>(finish: &Finish) {
    // SAFETY: the caller's promise.
    unsafe { finish_tiles::<V, Four>(finish) }
}

#[inline(always)]
unsafe fn finish_two_body<V: Vector>(finish: &Finish) {
    // SAFETY: the caller's promise.
    unsafe { finish_tiles::<V, Two>(finish) }
}

#[inline(always)]
unsafe fn finish_direct_body<V: Vector>(finish: &Finish) {
    // SAFETY: the caller's promise.
    unsafe { finish_tiles::<V, Direct>(finish) }
}

#[inline(always)]
unsafe fn finish_tiles<V: Vector, S: Scheme>(finish: &Finish) {
    let rectangle = finish.rectangle;
    let image = rectangle.item * finish.height * finish.width;
    // SAFETY: the caller's promise; outputs past the image's borders are not touched.
    unsafe {
        if !finish.sums.is_null() {
            std::ptr::write_bytes(finish.sums.add(finish.first), 0, finish.columns);
            std::ptr::write_bytes(finish.sums.add(finish.channels + finish.first), 0, finish.columns);
        }
        for tile in 0..rectangle.tiles() {
            let y = (rectangle.row + tile / rectangle.columns) * S::OUTPUTS;
            let x = (rectangle.column + tile % rectangle.columns) * S::OUTPUTS;
            let (rows, columns) = (S::OUTPUTS.min(finish.height - y), S::OUTPUTS.min(finish.width - x));
            let product = finish.product.add(tile * finish.product_row);
            let place = (image + y * finish.width + x) * finish.channels + finish.first;
            if rows == S::OUTPUTS && columns == S::OUTPUTS {
                finish_tile::<V, S>(finish, product, place, S::OUTPUTS, S::OUTPUTS);
            } else {
                finish_tile::<V, S>(finish, product, place, rows, columns);
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)] // the index is a column of `half` and a distance in memory
unsafe fn finish_tile<V: Vector, S: Scheme>(
    finish: &Finish,
    product: *const f32,
    place: usize,
    rows: usize,
    columns: usize,
) {
    let mut channel = 0;
    while channel < finish.columns {
        // SAFETY: the caller's promise.
        unsafe {
            let mut half = [[V::zero(); 6]; 4];
            for x in 0..S::INPUTS {
                let mut values = [V::zero(); 6];
                for (y, value) in values.iter_mut().enumerate().take(S::INPUTS) {
                    *value = V::load(product.add((y * S::INPUTS + x) * finish.product_point + channel));
                }
                let values = S::output(values);
                for y in 0..S::OUTPUTS {
                    half[y][x] = values[y];
                }
            }
            let bias = V::load(finish.bias.add(finish.first + channel));
            let (mut sum, mut squares) = (V::zero(), V::zero());
            for (y, values) in half.iter().enumerate().take(rows) {
                let values = S::output(*values);
                for (x, value) in values.iter().enumerate().take(columns) {
                    let offset = place + (y * finish.width + x) * finish.channels + channel;
                    let mut value = value.add(bias);
                    if !finish.residual.is_null() {
                        value = value.add(V::load(finish.residual.add(offset)));
                    }
                    value.store(finish.out.add(offset));
                    sum = sum.add(value);
                    squares = value.mul_add(value, squares);
                }
            }
            if !finish.sums.is_null() {
                let to = finish.sums.add(finish.first + channel);
                V::load(to).add(sum).store(to);
                let to = to.add(finish.channels);
                V::load(to).add(squares).store(to);
            }
        }
        channel += V::LANES;
    }
}

dispatch!(
    /// Maps kernels to points: `taps` is [3, 3, CHANNEL_BLOCK], `to` the first of `INPUTS`^2 blocks of CHANNEL_BLOCK,
    /// `point` apart.
    ///
    /// # Safety
    /// The pointers hold what is described; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn transform_kernel_four = transform_kernel_four_body(taps: *const f32, to: *mut f32, point: usize)
);
dispatch!(
    /// As `transform_kernel_four`.
    ///
    /// # Safety
    /// As for `transform_kernel_four`.
    pub(crate) unsafe fn transform_kernel_two = transform_kernel_two_body(taps: *const f32, to: *mut f32, point: usize)
);

#[inline(always)]
unsafe fn transform_kernel_four_body<V: Vector>(taps: *const f32, to: *mut f32, point: usize) {
    // SAFETY: the caller's promise.
    unsafe { transform_kernels::<V, Four>(taps, to, point) }
}

#[inline(always)]
unsafe fn transform_kernel_two_body<V: Vector>(taps: *const f32, to: *mut f32, point: usize) {
    // SAFETY: the caller's promise.
    unsafe { transform_kernels::<V, Two>(taps, to, point) }
}

#[inline(always)]
unsafe fn transform_kernels<V: Vector, S: Scheme>(taps: *const f32, to: *mut f32, point: usize) {
    for lane in (0..CHANNEL_BLOCK).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut half = [[V::zero(); 3]; 6];
            for x in 0..3 {
                let column = [0, 1, 2].map(|y| V::load(taps.add((y * 3 + x) * CHANNEL_BLOCK + lane)));
                let values = S::kernel(column);
                for y in 0..S::INPUTS {
                    half[y][x] = values[y];
                }
            }
            for (y, values) in half.iter().enumerate().take(S::INPUTS) {
                let values = S::kernel(*values);
                for (x, value) in values.iter().enumerate().take(S::INPUTS) {
                    value.store(to.add((y * S::INPUTS + x) * point + lane));
                }
            }
        }
    }
}

dispatch!(
    /// Maps the gradients of kernels' points, `INPUTS`^2 blocks of CHANNEL_BLOCK `point` apart, to those of the taps,
    /// [3, 3, CHANNEL_BLOCK].
    ///
    /// # Safety
    /// The pointers hold what is described; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn kernel_gradient_four = kernel_gradient_four_body(from: *const f32, point: usize, taps: *mut f32)
);
dispatch!(
    /// As `kernel_gradient_four`.
    ///
    /// # Safety
    /// As for `kernel_gradient_four`.
    pub(crate) unsafe fn kernel_gradient_two = kernel_gradient_two_body(from: *const f32, point: usize, taps: *mut f32)
);

#[inline(always)]
unsafe fn kernel_gradient_four_body<V: Vector>(from: *const f32, point: usize, taps: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { kernel_gradients::<V, Four>(from, point, taps) }
}

#[inline(always)]
unsafe fn kernel_gradient_two_body<V: Vector>(from: *const f32, point: usize, taps: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { kernel_gradients::<V, Two>(from, point, taps) }
}

#[inline(always)]
unsafe fn kernel_gradients<V: Vector, S: Scheme>(from: *const f32, point: usize, taps: *mut f32) {
    for lane in (0..CHANNEL_BLOCK).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut half = [[V::zero(); 6]; 3];
            for x in 0..S::INPUTS {
                let mut column = [V::zero(); 6];
                for (y, value) in column.iter_mut().enumerate().take(S::INPUTS) {
                    *value = V::load(from.add((y * S::INPUTS + x) * point + lane));
                }
                let values = S::kernel_gradient(column);
                for y in 0..3 {
                    half[y][x] = values[y];
                }
            }
            for (y, values) in half.iter().enumerate() {
                let values = S::kernel_gradient(*values);
                for (x, value) in values.iter().enumerate() {
                    value.store(taps.add((y * 3 + x) * CHANNEL_BLOCK + lane));
                }
            }
        }
    }
}

/// A rectangle of tiles of an activation's gradient, and where its points go.
#[derive(Clone, Copy)]
pub(crate) struct GradientTiles {
    /// The whole gradient [batch, height, width, channels].
    pub(crate) data: *const f32,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) rectangle: Rectangle,
    /// `INPUTS`^2 matrices [tiles, channels], `point` apart.
    pub(crate) to: *mut f32,
    pub(crate) point: usize,
}

dispatch!(
    /// Maps the tiles of an output's gradient to points.
    ///
    /// # Safety
    /// The pointers hold what [`GradientTiles`] describes; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn transform_gradient_four = transform_gradient_four_body(tiles: &GradientTiles)
);
dispatch!(
    /// As `transform_gradient_four`.
    ///
    /// # Safety
    /// As for `transform_gradient_four`.
    pub(crate) unsafe fn transform_gradient_two = transform_gradient_two_body(tiles: &GradientTiles)
);

#[inline(always)]
unsafe fn transform_gradient_four_body<V: Vector>(tiles: &GradientTiles) {
    // SAFETY: the caller's promise.
    unsafe { transform_gradient::<V, Four>(tiles) }
}

#[inline(always)]
unsafe fn transform_gradient_two_body<V: Vector>(tiles: &GradientTiles) {
    // SAFETY: the caller's promise.
    unsafe { transform_gradient::<V, Two>(tiles) }
}

#[inline(always)]
unsafe fn transform_gradient<V: Vector, S: Scheme>(tiles: &GradientTiles) {
    let rectangle = tiles.rectangle;
    let image = rectangle.item * tiles.height * tiles.width;
    for tile in 0..rectangle.tiles() {
        let y = (rectangle.row + tile / rectangle.columns) * S::OUTPUTS;
        let x = (rectangle.column + tile % rectangle.columns) * S::OUTPUTS;
        let (rows, columns) = (S::OUTPUTS.min(tiles.height - y), S::OUTPUTS.min(tiles.width - x));
        // SAFETY: the caller's promise; numbers past the image's borders are not read.
        unsafe {
            let from = tiles.data.add((image + y * tiles.width + x) * tiles.channels);
            let to = tiles.to.add(tile * tiles.channels);
            if rows == S::OUTPUTS && columns == S::OUTPUTS {
                transform_gradient_tile::<V, S>(tiles, from, to, S::OUTPUTS, S::OUTPUTS);
            } else {
                transform_gradient_tile::<V, S>(tiles, from, to, rows, columns);
            }
        }
    }
}

#[inline(always)]
unsafe fn transform_gradient_tile<V: Vector, S: Scheme>(
    tiles: &GradientTiles,
    from: *const f32,
    to: *mut f32,
    rows: usize,
    columns: usize,
) {
    let mut channel = 0;
    while channel < tiles.channels {
        // SAFETY: the caller's promise.
        unsafe {
            let mut half = [[V::zero(); 4]; 6];
            for x in 0..columns {
                let mut values = [V::zero(); 4];
                for (y, value) in values.iter_mut().enumerate().take(rows) {
                    *value = V::load(from.add((y * tiles.width + x) * tiles.channels + channel));
                }
                let values = S::output_gradient(values);
                for y in 0..S::INPUTS {
                    half[y][x] = values[y];
                }
            }
            for (y, values) in half.iter().enumerate().take(S::INPUTS) {
                let values = S::output_gradient(*values);
                for (x, value) in values.iter().enumerate().take(S::INPUTS) {
                    value.store(to.add((y * S::INPUTS + x) * tiles.point + channel));
                }
            }
        }
        channel += V::LANES;
    }
}
