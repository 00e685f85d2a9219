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
    for channel in (0..channels).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [V::zero(); 4];
            for pixel in 0..pixels {
                let sum = &mut sums[pixel % 4];
                *sum = sum.add(V::load(from.add(pixel * channels + channel)));
            }
            sums[0].add(sums[1]).add(sums[2].add(sums[3])).store(to.add(channel));
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
mod tests {
    use super::*;
    use crate::simd::InstructionSet;
    use crate::testing::Random;

    fn close(found: &[f32], expected: &[f64], set: InstructionSet) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{}: {found} for {expected}",
                set.name()
            );
        }
    }

    #[test]
    fn masks_over_features_and_their_gradients() {
        let mut random = Random::new(71);
        for set in InstructionSet::available() {
            let (pixels, channels) = (random.below(30) + 1, 32);
            let (feature, mask) = (random.values(pixels * channels), random.values(pixels));
            let gradient = random.values(pixels * channels);
            let masked = Masked {
                feature: feature.as_ptr(),
                mask: mask.as_ptr(),
                pixels,
                channels,
            };
            let (mut out, mut sums) = (vec![0.0; pixels * channels], vec![0.0; 2 * channels]);
            let (mut d_feature, mut d_mask) = (vec![1.0; pixels * channels], vec![1.0; pixels]);
            // SAFETY: the slices have the sizes described.
            unsafe {
                mask_feature(set, masked, out.as_mut_ptr(), sums.as_mut_ptr());
                mask_gradient(
                    set,
                    masked,
                    gradient.as_ptr(),
                    d_feature.as_mut_ptr(),
                    true,
                    d_mask.as_mut_ptr(),
                );
            }
            let product = |i: usize| f64::from(feature[i]) * f64::from(mask[i / channels]);
            let all = 0..pixels * channels;
            close(&out, &all.clone().map(product).collect::<Vec<_>>(), set);
            let of = |channel: usize| (0..pixels).map(move |pixel| product(pixel * channels + channel));
            let plain = (0..channels).map(|channel| of(channel).sum());
            let squares = (0..channels).map(|channel| of(channel).map(|value| value * value).sum());
            close(&sums, &plain.chain(squares).collect::<Vec<f64>>(), set);
            let expected = all.map(|i| 1.0 + f64::from(gradient[i]) * f64::from(mask[i / channels]));
            close(&d_feature, &expected.collect::<Vec<_>>(), set);
            let expected = (0..pixels).map(|pixel| {
                let line = pixel * channels..(pixel + 1) * channels;
                1.0 + line
                    .map(|i| f64::from(gradient[i]) * f64::from(feature[i]))
                    .sum::<f64>()
            });
            close(&d_mask, &expected.collect::<Vec<_>>(), set);
        }
    }

    #[test]
    fn averages_are_spread_over_their_pixels() {
        let mut random = Random::new(79);
        for set in InstructionSet::available() {
            for add in [false, true] {
                let (height, width, channels) = (random.below(5) + 1, random.below(5) + 1, 16);
                let from = random.values(height * width * channels);
                let mut to = vec![if add { 1.0 } else { f32::NAN }; 4 * from.len()];
                // SAFETY: the slices have the sizes described.
                unsafe { spread_halved(set, from.as_ptr(), to.as_mut_ptr(), add, height, width, channels) };
                let expected = (0..to.len()).map(|i| {
                    let (channel, x, y) = (i % channels, i / channels % (2 * width), i / channels / (2 * width));
                    f64::from(u8::from(add)) + f64::from(from[(y / 2 * width + x / 2) * channels + channel]) / 4.0
                });
                close(&to, &expected.collect::<Vec<_>>(), set);
            }
        }
    }

    #[test]
    fn sums_over_pixels_and_enlarged_pixels() {
        let mut random = Random::new(73);
        for set in InstructionSet::available() {
            let (height, width, channels) = (random.below(5) + 1, random.below(5) + 1, 16);
            let from = random.values(4 * height * width * channels);
            let mut sums = vec![0.0; channels];
            let mut small = vec![1.0; height * width * channels];
            // SAFETY: the slices have the sizes described.
            unsafe {
                sum_pixels(set, from.as_ptr(), 4 * height * width, channels, sums.as_mut_ptr());
                sum_enlarged(set, from.as_ptr(), small.as_mut_ptr(), true, height, width, channels);
            }
            let mut expected = vec![0.0; channels];
            let mut expected_small = vec![1.0; height * width * channels];
            for (i, &value) in from.iter().enumerate() {
                let (pixel, channel) = (i / channels, i % channels);
                let (y, x) = (pixel / (2 * width), pixel % (2 * width));
                expected[channel] += f64::from(value);
                expected_small[(y / 2 * width + x / 2) * channels + channel] += f64::from(value);
            }
            close(&sums, &expected, set);
            close(&small, &expected_small, set);
        }
    }

    #[test]
    fn patches_are_gathered_where_they_were_read() {
        let mut random = Random::new(75);
        for set in InstructionSet::available() {
            for add in [false, true] {
                let (height, width, channels) = (random.below(7) + 1, random.below(7) + 1, 16);
                let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
                let patches = random.values(rows * columns * 9 * channels);
                let mut to = vec![1.0; height * width * channels];
                let item = Patches {
                    patches: patches.as_ptr(),
                    channels,
                    height,
                    width,
                };
                // SAFETY: the slices have the sizes described.
                unsafe { gather_patches(set, item, to.as_mut_ptr(), add) };
                let mut expected = vec![f64::from(u8::from(add)); to.len()];
                for (i, &value) in patches.iter().enumerate() {
                    let (output, tap, channel) = (i / channels / 9, i / channels % 9, i % channels);
                    let y = (output / columns * 2 + tap / 3).wrapping_sub(1);
                    let x = (output % columns * 2 + tap % 3).wrapping_sub(1);
                    if y < height && x < width {
                        expected[(y * width + x) * channels + channel] += f64::from(value);
                    }
                }
                close(&to, &expected, set);
            }
        }
    }

    /// <pool(a), b> = <a, gradient(b)>
    #[test]
    fn pooling_and_its_gradient_are_adjoint() {
        let mut random = Random::new(77);
        let (planes, height, width, factor) = (3, 8, 12, 4);
        let (a, b) = (random.values(planes * height * width), random.values(planes * 6));
        let (mut pooled, mut spread) = (vec![0.0; planes * 6], vec![0.0; a.len()]);
        average_pool(&a, planes, height, width, factor, &mut pooled);
        average_pool_gradient(&b, planes, height, width, factor, &mut spread);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        assert!((dot(&pooled, &b) - dot(&a, &spread)).abs() < 1e-5);
        let mean: f32 = (0..16).map(|i| a[i / 4 * width + i % 4]).sum::<f32>() / 16.0;
        assert!((pooled[0] - mean).abs() < 1e-6);
    }
}
