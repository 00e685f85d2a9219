//! What stands apart from the picture's frame is the object.
//!
//! The barrier of a path is how far the colours along it lie apart, and the minimum barrier distance of a pixel that of the easiest
//! path to it from the picture's frame (Strand, Ciesielski, Malmberg and Saha, "The Minimum Barrier Distance", 2013; as a measure of
//! what stands out: Zhang, Sclaroff, Lin, Shen, Price and Mech, "Minimum Barrier Salient Object Detection at 80 FPS", 2015). Sky and
//! ground are reached from the frame step by step, however much they change on the way; a thing that is surrounded by them is not,
//! however small.

use crate::map::InputImage;
use crate::plane::Plane;
use crate::simd::{Lanes, exp, ln};
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
    let groups = width.div_ceil(8);
    // What is more than the picture borders on its frame alone, where no way is easier than none.
    let mut colors = vec![[[0.0; 8]; 3]; groups * height.next_multiple_of(8)];
    let mut paths = vec![UNKNOWN; colors.len()];
    let lab = lab(image);
    for y in 0..height {
        for x in 0..width {
            let (group, lane) = (y * groups + x / 8, x % 8);
            let in_frame = x == 0 || y == 0 || x + 1 == width || y + 1 == height;
            for (channel, plane) in lab.iter().enumerate() {
                let color = plane.values[y * width + x];
                colors[group][channel][lane] = color;
                if in_frame {
                    paths[group][channel][lane] = color;
                    paths[group][channel + 3][lane] = color;
                }
            }
        }
    }
    if !paths.is_empty() {
        for _ in 0..ROUNDS {
            for backwards in [false, true] {
                grow_down(&colors, &mut paths, groups, backwards);
                grow_right(&colors, &mut paths, groups, backwards);
            }
        }
    }
    let mut values = Vec::with_capacity(width * height);
    for row in paths.chunks_exact(groups.max(1)).take(height) {
        for (group, paths) in row.iter().enumerate() {
            values.extend_from_slice(&barrier(*paths)[..(width - 8 * group).min(8)]);
        }
    }
    Plane { width, height, values }
}

/// The easiest ways that are known so far to eight pixels side by side: the least of L*, a* and b* along them, then the most.
type Paths<Eight> = [Eight; 6];

/// No way is known: farther than any.
const UNKNOWN: Paths<[f32; 8]> = [[0.0; 8], [0.0; 8], [0.0; 8], [1e30; 8], [0.0; 8], [0.0; 8]];

#[inline(always)]
fn barrier<Eight: Lanes>(paths: Paths<Eight>) -> Eight {
    let [l, a, b] = [
        paths[3].minus(paths[0]),
        paths[4].minus(paths[1]),
        paths[5].minus(paths[2]),
    ];
    l.plus(a).plus(b)
}

/// The paths to pixels of these colours: those from their neighbours where that is easier than what is known.
#[inline(always)]
fn grown<Eight: Lanes>(neighbours: Paths<Eight>, known: Paths<Eight>, colors: [Eight; 3]) -> Paths<Eight> {
    let mut grown = neighbours;
    for channel in 0..3 {
        grown[channel] = colors[channel].least(neighbours[channel]);
        grown[channel + 3] = colors[channel].most(neighbours[channel + 3]);
    }
    let (new, old) = (barrier(grown), barrier(known));
    for part in 0..6 {
        grown[part] = new.less(old, grown[part], known[part]);
    }
    grown
}

#[inline(always)]
fn load<Eight: Lanes, const PARTS: usize>(lanes: Eight, parts: &[[f32; 8]; PARTS]) -> [Eight; PARTS] {
    let mut loaded = [lanes; PARTS];
    for part in 0..PARTS {
        loaded[part] = lanes.load(&parts[part]);
    }
    loaded
}

/// Each part of eight groups, `groups` apart, with the groups as lanes.
#[inline(always)]
fn columns<Eight: Lanes, const PARTS: usize>(
    lanes: Eight,
    rows: &[[[f32; 8]; PARTS]],
    groups: usize,
) -> [[Eight; 8]; PARTS] {
    let mut columns = [[lanes; 8]; PARTS];
    for part in 0..PARTS {
        for line in 0..8 {
            columns[part][line] = lanes.load(&rows[line * groups][part]);
        }
        columns[part] = Eight::transposed(columns[part]);
    }
    columns
}

vectorised! {
    /// Paths grow from row to row, from the first to the last or the other way round.
    fn grow_down(lanes; colors: &[[[f32; 8]; 3]], paths: &mut [Paths<[f32; 8]>], groups: usize, up: bool) {
        let rows = paths.len() / groups;
        for row in 1..rows {
            let (from, to) = if up { (rows - row, rows - row - 1) } else { (row - 1, row) };
            for group in 0..groups {
                let (from, to) = (from * groups + group, to * groups + group);
                let paths_there = grown(load(lanes, &paths[from]), load(lanes, &paths[to]), load(lanes, &colors[to]));
                for part in 0..6 {
                    paths[to][part] = paths_there[part].array();
                }
            }
        }
    }
}

vectorised! {
    /// Paths grow from column to column, those of eight rows at once.
    fn grow_right(lanes; colors: &[[[f32; 8]; 3]], paths: &mut [Paths<[f32; 8]>], groups: usize, left: bool) {
        let rows = paths.len() / groups;
        for row in (0..rows).step_by(8) {
            let mut neighbours = load(lanes, &UNKNOWN);
            for group in 0..groups {
                let group = if left { groups - 1 - group } else { group };
                let start = row * groups + group;
                let colors = columns(lanes, &colors[start..], groups);
                let mut known = columns(lanes, &paths[start..], groups);
                for column in 0..8 {
                    let column = if left { 7 - column } else { column };
                    let mut here = neighbours;
                    for part in 0..6 {
                        here[part] = known[part][column];
                    }
                    neighbours = grown(neighbours, here, [colors[0][column], colors[1][column], colors[2][column]]);
                    for part in 0..6 {
                        known[part][column] = neighbours[part];
                    }
                }
                for part in 0..6 {
                    let lines = L::transposed(known[part]);
                    for line in 0..8 {
                        paths[start + line * groups][part] = lines[line].array();
                    }
                }
            }
        }
    }
}

/// L*, a* and b* (CIE 1976, D65) of a picture in sRGB.
fn lab(image: &InputImage) -> [Plane; 3] {
    let [mut red, mut green, mut blue] = image.colors();
    to_lab(&mut red.values, &mut green.values, &mut blue.values);
    [red, green, blue]
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
