//! Resampling of 8-bit pixels, bit for bit as Pillow's `Image.resize` does it with `BOX` and `BICUBIC`.
//!
//! guided-diffusion prepares its training images with Pillow: box-halved while they are at least twice too large, then
//! one bicubic step. Two passes, across and then down, each with 22-bit fixed-point weights and rounding to 8 bits.

use std::borrow::Cow;

use image::RgbImage;

/// Fractional bits of a weight: 32, less 8 for the value and 2 for the sum.
const PRECISION: u32 = 22;

/// Shape of the reconstruction filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Mean of the covered pixels.
    Box,
    /// Cubic convolution with a = -0.5 (Catmull-Rom), widened when it shrinks.
    Bicubic,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Filter::Box => 0.5,
            Filter::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        match self {
            Filter::Box if x > -0.5 && x <= 0.5 => 1.0,
            Filter::Box => 0.0,
            Filter::Bicubic => match x.abs() {
                x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
                x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
                _ => 0.0,
            },
        }
    }
}

/// First input place and fixed-point weights of one output place.
struct Window {
    first: usize,
    weights: Vec<i32>,
}

fn windows(input: usize, output: usize, filter: Filter) -> Vec<Window> {
    let scale = input as f64 / output as f64;
    let filter_scale = scale.max(1.0);
    let support = filter.support() * filter_scale;
    (0..output)
        .map(|place| {
            let centre = (place as f64 + 0.5) * scale;
            // The casts cut towards zero, as C's do; negative ones end at 0.
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(input);
            let mut weights: Vec<f64> = (first..end)
                .map(|x| filter.weight((x as f64 - centre + 0.5) / filter_scale))
                .collect();
            let sum: f64 = weights.iter().sum();
            if sum != 0.0 {
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
            let fixed = |weight: f64| {
                let value = weight * f64::from(1u32 << PRECISION);
                (if weight < 0.0 { value - 0.5 } else { value + 0.5 }) as i32
            };
            Window {
                first,
                weights: weights.into_iter().map(fixed).collect(),
            }
        })
        .collect()
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resizes to `width` x `height` (both at least 1).
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (from_width, from_height) = (image.width() as usize, image.height() as usize);
    let (to_width, to_height) = (width as usize, height as usize);
    let half = 1i32 << (PRECISION - 1);
    let mut pixels = image.as_raw().clone();
    if to_width != from_width {
        let windows = windows(from_width, to_width, filter);
        let mut across = Vec::with_capacity(to_width * from_height * 3);
        for row in pixels.chunks_exact(from_width * 3) {
            for window in &windows {
                let mut sums = [half; 3];
                for (pixel, weight) in row[window.first * 3..].chunks_exact(3).zip(&window.weights) {
                    for channel in 0..3 {
                        sums[channel] += i32::from(pixel[channel]) * weight;
                    }
                }
                across.extend(sums.map(clip));
            }
        }
        pixels = across;
    }
    if to_height != from_height {
        let stride = to_width * 3;
        let mut down = Vec::with_capacity(stride * to_height);
        let mut sums = vec![half; stride];
        for window in windows(from_height, to_height, filter) {
            sums.fill(half);
            for (row, weight) in pixels[window.first * stride..]
                .chunks_exact(stride)
                .zip(&window.weights)
            {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += i32::from(*value) * weight;
                }
            }
            down.extend(sums.iter().map(|sum| clip(*sum)));
        }
        pixels = down;
    }
    // The vector has exactly the size asked for, so this cannot fail; an empty image would show it.
    RgbImage::from_raw(width, height, pixels).unwrap_or_default()
}

/// Resizes by the rule of training: halved while both sides are at least twice too long, then one bicubic step.
pub fn shrink(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let mut halved = Cow::Borrowed(image);
    while halved.width() >= 2 * width && halved.height() >= 2 * height {
        halved = Cow::Owned(halve(&halved));
    }
    resize(&halved, width, height, Filter::Bicubic)
}

/// Half the size by `Filter::Box`.
pub fn halve(image: &RgbImage) -> RgbImage {
    let (width, height) = (image.width() / 2, image.height() / 2);
    if image.width() % 2 != 0 || image.height() % 2 != 0 {
        return resize(image, width.max(1), height.max(1), Filter::Box);
    }
    // Weights of one half and even sides: the two passes are two rounded means.
    let stride = image.width() as usize * 3;
    let mean = |a: u8, b: u8| (u16::from(a) + u16::from(b)).div_ceil(2);
    let mut target = Vec::with_capacity((width * height * 3) as usize);
    for rows in image.as_raw().chunks_exact(2 * stride) {
        let (upper, lower) = rows.split_at(stride);
        for (upper, lower) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for channel in 0..3 {
                let above = mean(upper[channel], upper[channel + 3]);
                let below = mean(lower[channel], lower[channel + 3]);
                target.push((above + below).div_ceil(2) as u8);
            }
        }
    }
    RgbImage::from_raw(width, height, target).unwrap_or_default()
}
