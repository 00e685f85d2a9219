//! What is done pixel by pixel: masks over features, sums over channels or pixels, and changes of layout.

use crate::simd::{Vector, dispatch};

/// One item of a masked feature: `feature` is [pixels, channels], `mask` [pixels].
#[derive(Clone, Copy)]
pub(crate) struct Masked {
    pub(crate) feature: *const f32,
    pub(crate) mask: *const f32,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
}

dispatch!(
    /// `out = feature * mask`, and the sums and sums of squares of `out` by channel, [2, channels].
    ///
    /// # Safety
    /// The pointers hold what is described; channels are whole blocks; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn mask_feature = mask_feature_body(masked: Masked, out: *mut f32, sums: *mut f32)
);

#[inline(always)]
unsafe fn mask_feature_body<V: Vector>(masked: Masked, out: *mut f32, sums: *mut f32) {
    let Masked {
        feature,
        mask,
        pixels,
        channels,
    } = masked;
    for channel in (0..channels).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let (mut sum, mut squares) = (V::zero(), V::zero());
            for pixel in 0..pixels {
                let place = pixel * channels + channel;
                let value = V::load(feature.add(place)).mul(V::splat(*mask.add(pixel)));
                value.store(out.add(place));
                sum = sum.add(value);
                squares = value.mul_add(value, squares);
            }
            sum.store(sums.add(channel));
            squares.store(sums.add(channels + channel));
        }
    }
}

dispatch!(
    /// Gradients of `mask_feature`: `feature_gradient (+)= mask * gradient`, and
    /// `mask_gradient += sum over channels of feature * gradient`.
    ///
    /// # Safety
    /// As for `mask_feature`.
    pub(crate) unsafe fn mask_gradient = mask_gradient_body(
        masked: Masked, gradient: *const f32, feature_gradient: *mut f32, add: bool, mask_gradient: *mut f32)
);

#[inline(always)]
unsafe fn mask_gradient_body<V: Vector>(
    masked: Masked,
    gradient: *const f32,
    feature_gradient: *mut f32,
    add: bool,
    mask_gradient: *mut f32,
) {
    let Masked {
        feature,
        mask,
        pixels,
        channels,
    } = masked;
    for pixel in 0..pixels {
        // SAFETY: the caller's promise.
        unsafe {
            let value = V::splat(*mask.add(pixel));
            let mut sum = V::zero();
            for channel in (0..channels).step_by(V::LANES) {
                let place = pixel * channels + channel;
                let gradient = V::load(gradient.add(place));
                sum = gradient.mul_add(V::load(feature.add(place)), sum);
                let mut result = gradient.mul(value);
                if add {
                    result = result.add(V::load(feature_gradient.add(place)));
                }
                result.store(feature_gradient.add(place));
            }
            *mask_gradient.add(pixel) += sum.sum();
        }
    }
}

dispatch!(
    /// `to = from`, or `to += from` with `add`: `count` numbers in whole channel blocks.
    ///
    /// # Safety
    /// The pointers hold `count` numbers; nothing else uses what is written meanwhile.
    pub(crate) unsafe fn copy_or_add = copy_or_add_body(from: *const f32, to: *mut f32, add: bool, count: usize)
);

#[inline(always)]
unsafe fn copy_or_add_body<V: Vector>(from: *const f32, to: *mut f32, add: bool, count: usize) {
    for place in (0..count).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut value = V::load(from.add(place));
            if add {
                value = value.add(V::load(to.add(place)));
            }
            value.store(to.add(place));
        }
    }
}

dispatch!(
    /// Sums over pixels: [pixels, channels] to [channels].
    ///
    /// # Safety
    /// As for `mask_feature`.
    pub(crate) unsafe fn sum_pixels = sum_pixels_body(from: *const f32, pixels: usize, channels: usize, to: *mut f32)
);

#[inline(always)]
unsafe fn sum_pixels_body<V: Vector>(from: *const f32, pixels: usize, channels: usize, to: *mut f32) {
    // Whole cache lines at a time.
    const BLOCK: usize = 32;
    for start in (0..pixels).step_by(BLOCK) {
        for channel in (0..channels).step_by(V::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let mut sums = [V::zero(); 4];
                for pixel in start..(start + BLOCK).min(pixels) {
                    let from = from.add(pixel * channels + channel);
                    V::prefetch(from.wrapping_add(BLOCK * channels));
                    let sum = &mut sums[pixel % 4];
                    *sum = sum.add(V::load(from));
                }
                let mut sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
                let to = to.add(channel);
                if start > 0 {
                    sum = sum.add(V::load(to));
                }
                sum.store(to);
            }
        }
    }
}

dispatch!(
    /// The gradient of nearest-neighbour enlargement of one item: each of [height, width, channels] (+)= the sum of its
    /// 2 x 2 pixels of [2 height, 2 width, channels].
    ///
    /// # Safety
    /// As for `mask_feature`.
    pub(crate) unsafe fn sum_enlarged = sum_enlarged_body(
        from: *const f32, to: *mut f32, add: bool, height: usize, width: usize, channels: usize)
);

#[inline(always)]
unsafe fn sum_enlarged_body<V: Vector>(
    from: *const f32,
    to: *mut f32,
    add: bool,
    height: usize,
    width: usize,
    channels: usize,
) {
    let line = 2 * width * channels;
    for pixel in 0..height * width {
        let (y, x) = (pixel / width, pixel % width);
        for channel in (0..channels).step_by(V::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let from = from.add(2 * y * line + 2 * x * channels + channel);
                let above = V::load(from).add(V::load(from.add(channels)));
                let from = from.add(line);
                let below = V::load(from).add(V::load(from.add(channels)));
                let place = to.add(pixel * channels + channel);
                let mut value = above.add(below);
                if add {
                    value = value.add(V::load(place));
                }
                value.store(place);
            }
        }
    }
}

dispatch!(
    /// The gradient of averages over 2 x 2 pixels of one item: each of [2 height, 2 width, channels] (+)= a quarter of its
    /// pixel of [height, width, channels].
    ///
    /// # Safety
    /// As for `mask_feature`.
    pub(crate) unsafe fn spread_halved = spread_halved_body(
        from: *const f32, to: *mut f32, add: bool, height: usize, width: usize, channels: usize)
);

#[inline(always)]
unsafe fn spread_halved_body<V: Vector>(
    from: *const f32,
    to: *mut f32,
    add: bool,
    height: usize,
    width: usize,
    channels: usize,
) {
    let line = 2 * width * channels;
    for pixel in 0..height * width {
        let (y, x) = (pixel / width, pixel % width);
        for channel in (0..channels).step_by(V::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let value = V::load(from.add(pixel * channels + channel)).mul(V::splat(0.25));
                let to = to.add(2 * y * line + 2 * x * channels + channel);
                for place in [0, channels, line, line + channels] {
                    let place = to.add(place);
                    let value = if add { value.add(V::load(place)) } else { value };
                    value.store(place);
                }
            }
        }
    }
}

/// One item of the gradient of a 3x3 convolution with stride 2 and padding 1.
#[derive(Clone, Copy)]
pub(crate) struct Patches {
    /// [outputs' pixels, 9, channels]: what each output's gradient gives to its patch.
    pub(crate) patches: *const f32,
    pub(crate) channels: usize,
    /// Size of the input.
    pub(crate) height: usize,
    pub(crate) width: usize,
}

dispatch!(
    /// Sums what the patches give to each pixel of the input, [height, width, channels].
    ///
    /// # Safety
    /// As for `mask_feature`.
    pub(crate) unsafe fn gather_patches = gather_patches_body(patches: Patches, to: *mut f32, add: bool)
);

#[inline(always)]
unsafe fn gather_patches_body<V: Vector>(patches: Patches, to: *mut f32, add: bool) {
    let Patches {
        patches,
        channels,
        height,
        width,
    } = patches;
    let (rows, columns) = ((height - 1) / 2 + 1, (width - 1) / 2 + 1);
    for y in 0..height {
        for x in 0..width {
            for channel in (0..channels).step_by(V::LANES) {
                // SAFETY: the caller's promise; outputs outside the image are skipped.
                unsafe {
                    let place = to.add((y * width + x) * channels + channel);
                    let mut sum = if add { V::load(place) } else { V::zero() };
                    for ky in 0..3 {
                        // The output whose tap `ky` reads line `y`: 2 row + ky - 1 = y.
                        let twice = (y + 1).wrapping_sub(ky);
                        if twice % 2 != 0 || twice / 2 >= rows {
                            continue;
                        }
                        for kx in 0..3 {
                            let twice_x = (x + 1).wrapping_sub(kx);
                            if twice_x % 2 != 0 || twice_x / 2 >= columns {
                                continue;
                            }
                            let output = twice / 2 * columns + twice_x / 2;
                            let from = (output * 9 + ky * 3 + kx) * channels + channel;
                            sum = sum.add(V::load(patches.add(from)));
                        }
                    }
                    sum.store(place);
                }
            }
        }
    }
}

/// Averages `planes` planes of [height, width] over squares of `factor` pixels a side.
pub(crate) fn average_pool(from: &[f32], planes: usize, height: usize, width: usize, factor: usize, to: &mut [f32]) {
    let (rows, columns) = (height / factor, width / factor);
    let share = 1.0 / (factor * factor) as f32;
    for (from, to) in from
        .chunks_exact(height * width)
        .zip(to.chunks_exact_mut(rows * columns))
        .take(planes)
    {
        to.fill(0.0);
        for (y, line) in from.chunks_exact(width).enumerate() {
            for (x, value) in line.iter().enumerate() {
                to[y / factor * columns + x / factor] += value * share;
            }
        }
    }
}

/// The gradient of [`average_pool`], added.
pub(crate) fn average_pool_gradient(
    from: &[f32],
    planes: usize,
    height: usize,
    width: usize,
    factor: usize,
    to: &mut [f32],
) {
    let (rows, columns) = (height / factor, width / factor);
    let share = 1.0 / (factor * factor) as f32;
    for (from, to) in from
        .chunks_exact(rows * columns)
        .zip(to.chunks_exact_mut(height * width))
        .take(planes)
    {
        for (y, line) in to.chunks_exact_mut(width).enumerate() {
            for (x, value) in line.iter_mut().enumerate() {
                *value += from[y / factor * columns + x / factor] * share;
            }
        }
    }
}

#[cfg(test)]
mod tests;
