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
