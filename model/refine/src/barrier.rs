//! What stands apart from the picture's frame is the object.
//!
//! The barrier of a path is how far the colours along it lie apart, and the minimum barrier distance of a pixel that of the easiest
//! path to it from the picture's frame (Strand, Ciesielski, Malmberg and Saha, "The Minimum Barrier Distance", 2013; as a measure of
//! what stands out: Zhang, Sclaroff, Lin, Shen, Price and Mech, "Minimum Barrier Salient Object Detection at 80 FPS", 2015). Sky and
//! ground are reached from the frame step by step, however much they change on the way; a thing that is surrounded by them is not,
//! however small.

use crate::map::InputImage;
use crate::plane::Plane;
use crate::simd::{exp, ln};
use crate::vectorised;

/// Times that paths may grow in each direction, around corners.
const ROUNDS: usize = 2;
/// Bins of the values that a threshold is looked for in.
const BINS: usize = 64;
/// Added to the deviation of what is compared: noise does not stand out.
const NOISE: f32 = 10.0;

/// How far each pixel stands apart from the picture's frame, in deviations: above 0 rather object, below rather background.
///
/// With d the [`distances`], t Otsu's threshold of d^1.5 and s their standard deviation: `(d^1.5 - t) / (s + 10)`. The power is there
/// because what stands out most counts, and objects are small.
pub fn evidence(image: &InputImage) -> Plane {
    let powers = distances(image).map(|distance| distance * distance.sqrt());
    let (threshold, deviation) = (threshold(&powers.values), powers.deviation() + NOISE);
    powers.map(|power| (power - threshold) / deviation)
}

/// The least barrier of a path from the picture's frame, one pixel wide, to each pixel: the differences between the largest and the
/// least L*, a* and b* on the way, summed.
///
/// Paths grow down, to the right, up and to the left, twice; what would need more turns is found a little too far.
pub fn distances(image: &InputImage) -> Plane {
    let (width, height) = (image.width, image.height);
    let colors = lab(image);
    let in_frame = |at: usize| {
        let (x, y) = (at % width, at / width);
        x == 0 || y == 0 || x + 1 == width || y + 1 == height
    };
    let from_here = |(at, color): (usize, &[f32; 4])| {
        let mut path = Path {
            least: *color,
            most: *color,
        };
        if !in_frame(at) {
            path.most[3] = f32::INFINITY;
        }
        path
    };
    let mut paths: Vec<Path> = colors.iter().enumerate().map(from_here).collect();
    if !paths.is_empty() {
        let (down, right) = ((width as isize, height), (1, width));
        let backwards = |(step, lines): (isize, usize)| (-step, lines);
        for _ in 0..ROUNDS {
            sweep(&mut paths, &colors, 0, down, right);
            sweep(&mut paths, &colors, 0, right, down);
            sweep(&mut paths, &colors, (height - 1) * width, backwards(down), right);
            sweep(&mut paths, &colors, width - 1, backwards(right), down);
        }
    }
    Plane {
        width,
        height,
        values: paths.iter().map(Path::barrier).collect(),
    }
}

/// The easiest way to a pixel that is known so far: the least and the most of L*, a* and b* along it. The fourth is 0, and infinite
/// where no way is known.
#[derive(Clone, Copy)]
struct Path {
    least: [f32; 4],
    most: [f32; 4],
}

impl Path {
    #[inline(always)]
    fn barrier(&self) -> f32 {
        let [l, a, b, unknown] = std::array::from_fn(|channel| self.most[channel] - self.least[channel]);
        (l + a) + (b + unknown)
    }
}

vectorised! {
    /// From the line of pixels that begins at `start` on, paths go `step` pixels to the next line, `step.1 - 1` times, wherever that is
    /// the easiest way there. A line has `along.1` pixels, each `along.0` after the one before.
    fn sweep(paths: &mut [Path], colors: &[[f32; 4]], start: usize, step: (isize, usize), along: (isize, usize)) {
        for line in 1..step.1 {
            let mut at = start.wrapping_add_signed(line as isize * step.0);
            for _ in 0..along.1 {
                let (path, known, color) = (paths[at.wrapping_add_signed(-step.0)], paths[at], colors[at]);
                let grown = Path {
                    least: std::array::from_fn(|channel| path.least[channel].min(color[channel])),
                    most: std::array::from_fn(|channel| path.most[channel].max(color[channel])),
                };
                paths[at] = if grown.barrier() < known.barrier() { grown } else { known };
                at = at.wrapping_add_signed(along.0);
            }
        }
    }
}

/// L*, a* and b* (CIE 1976, D65) and 0, of each pixel of a picture in sRGB.
fn lab(image: &InputImage) -> Vec<[f32; 4]> {
    let [mut red, mut green, mut blue] = image.colors();
    to_lab(&mut red.values, &mut green.values, &mut blue.values);
    let channels = red.values.iter().zip(&green.values).zip(&blue.values);
    channels.map(|((l, a), b)| [*l, *a, *b, 0.0]).collect()
}

vectorised! {
    /// Red, green and blue from 0 to 1 become L*, a* and b*.
    fn to_lab(red: &mut [f32], green: &mut [f32], blue: &mut [f32]) {
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            let (r, g, b) = (linear(*red), linear(*green), linear(*blue));
            let x = root((0.412_453 * r + 0.357_580 * g + 0.180_423 * b) / 0.950_47);
            let y = root(0.212_671 * r + 0.715_160 * g + 0.072_169 * b);
            let z = root((0.019_334 * r + 0.119_193 * g + 0.950_227 * b) / 1.088_83);
            *red = 116.0 * y - 16.0;
            *green = 500.0 * (x - y);
            *blue = 200.0 * (y - z);
        }
    }
}

/// What sRGB's values stand for.
#[inline(always)]
fn linear(value: f32) -> f32 {
    let value = value.clamp(0.0, 1.0);
    let bright = exp(2.4 * ln((value + 0.055) / 1.055));
    if value > 0.040_45 { bright } else { value / 12.92 }
}

/// The cube root of CIE's lightness, a line near black.
#[inline(always)]
fn root(value: f32) -> f32 {
    let bright = exp(ln(value.max(f32::MIN_POSITIVE)) / 3.0);
    if value > 0.008_856 {
        bright
    } else {
        7.787 * value + 16.0 / 116.0
    }
}

/// Otsu's threshold ("A Threshold Selection Method from Gray-Level Histograms", 1979) over 64 bins from the least value to
/// the greatest: the upper edge of the bin up to which the variance between the two groups is largest, the middle of
/// those edges where it is the same for several. Values that are all the same, or not finite, have none: it is 0.
fn threshold(values: &[f32]) -> f32 {
    let (least, most) = values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), value| {
            (least.min(*value), most.max(*value))
        });
    let bin = (f64::from(most) - f64::from(least)) / BINS as f64;
    if !bin.is_finite() || bin <= 0.0 {
        return 0.0;
    }
    let mut counts = [0u32; BINS];
    for value in values {
        let index = ((f64::from(*value) - f64::from(least)) / bin) as usize;
        counts[index.min(BINS - 1)] += 1;
    }
    let center = |index: usize| f64::from(least) + (index as f64 + 0.5) * bin;
    let total = values.len() as f64;
    let mean: f64 = (0..BINS)
        .map(|index| f64::from(counts[index]) * center(index))
        .sum::<f64>()
        / total;
    let (mut share, mut moment) = (0.0, 0.0);
    let (mut best, mut first, mut last) = (0.0, 0, 0);
    for (index, count) in counts.iter().enumerate().take(BINS - 1) {
        share += f64::from(*count) / total;
        moment += f64::from(*count) / total * center(index);
        let variance = (mean * share - moment).powi(2) / (share * (1.0 - share)).max(1e-9);
        if variance > best {
            (best, first, last) = (variance, index, index);
        } else if variance == best {
            // Only empty bins lie between.
            last = index;
        }
    }
    (f64::from(least) + ((first + last) as f64 / 2.0 + 1.0) * bin) as f32
}

#[cfg(test)]
mod tests;
