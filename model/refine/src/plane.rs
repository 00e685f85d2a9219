//! Pictures of one channel, and what is done to them: halving, blurring, windows, resampling.

use crate::simd::{exp, ln};
use crate::vectorised;

/// Values in rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plane {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// `[height, width]`.
    pub values: Vec<f32>,
}

impl Plane {
    /// A plane of one value.
    pub fn filled(width: usize, height: usize, value: f32) -> Self {
        Self {
            width,
            height,
            values: vec![value; width * height],
        }
    }

    /// A plane of what `value` says for each column and row.
    pub fn from_fn(width: usize, height: usize, mut value: impl FnMut(usize, usize) -> f32) -> Self {
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            values.extend((0..width).map(|x| value(x, y)));
        }
        Self { width, height, values }
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// A row.
    pub fn row(&self, y: usize) -> &[f32] {
        &self.values[y * self.width..(y + 1) * self.width]
    }

    /// The value of each pixel, changed.
    #[must_use]
    pub fn map(&self, value: impl Fn(f32) -> f32) -> Self {
        Self {
            values: self.values.iter().map(|v| value(*v)).collect(),
            ..*self
        }
    }

    /// What `value` makes of two planes of one size.
    #[must_use]
    pub fn zip(&self, other: &Self, value: impl Fn(f32, f32) -> f32) -> Self {
        debug_assert_eq!(self.size(), other.size());
        let pairs = self.values.iter().zip(&other.values);
        Self {
            values: pairs.map(|(a, b)| value(*a, *b)).collect(),
            ..*self
        }
    }

    /// The probabilities whose log-odds the values are.
    #[must_use]
    pub fn probabilities(&self) -> Self {
        let mut plane = self.clone();
        to_probabilities(&mut plane.values);
        plane
    }

    /// Half as wide and high: means of 2x2 pixels; an odd column or row at the end is left out.
    #[must_use]
    pub fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut values = Vec::new();
        halve(&self.values, self.size(), &mut values);
        Self { width, height, values }
    }

    /// Interpolated linearly to another size, pixel centres at half coordinates.
    #[must_use]
    pub fn resized(&self, width: usize, height: usize) -> Self {
        if self.size() == (width, height) {
            return self.clone();
        }
        let taps = |source, target| -> Vec<Tap> { (0..target).map(|at| Tap::new(at, source, target)).collect() };
        self.sampled(&taps(self.width, width), &taps(self.height, height))
    }

    /// Interpolated linearly at some columns and rows of another size.
    pub(crate) fn sampled(&self, columns: &[Tap], rows: &[Tap]) -> Self {
        let mut line = vec![0.0; self.width];
        let mut values = Vec::with_capacity(columns.len() * rows.len());
        for row in rows {
            mix(self.row(row.first), self.row(row.second), row.fraction, &mut line);
            values.extend(columns.iter().map(|tap| {
                let (left, right) = (line[tap.first], line[tap.second]);
                left + (right - left) * tap.fraction
            }));
        }
        Self {
            width: columns.len(),
            height: rows.len(),
            values,
        }
    }

    /// The value at a position between pixels, clamped to the plane; pixel centres at whole coordinates.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        self.value(&Between::new(self.size(), x, y))
    }

    /// The value there, of a plane of the size that it was made for.
    #[inline(always)]
    pub(crate) fn value(&self, place: &Between) -> f32 {
        let corner = |row: usize, column: usize| self.values[row * self.width + column];
        let [[left, right], [top, bottom]] = place.pixels;
        let (above, below) = (corner(top, left), corner(bottom, left));
        let upper = above + (corner(top, right) - above) * place.across;
        let lower = below + (corner(bottom, right) - below) * place.across;
        upper + (lower - upper) * place.down
    }

    /// Convolved with a Gaussian that reaches three deviations, mirrored at the border.
    #[must_use]
    pub fn blurred(&self, deviation: f32) -> Self {
        let weights = gaussian(deviation);
        let reach = weights.len() as isize - 1;
        let (width, height) = self.size();
        let mut across = Vec::with_capacity(self.values.len());
        let mut padded = vec![0.0; width + 2 * reach as usize];
        for row in self.values.chunks_exact(width) {
            for (at, value) in padded.iter_mut().enumerate() {
                *value = row[mirrored(at as isize - reach, width)];
            }
            let start = across.len();
            across.resize(start + width, 0.0);
            for shift in 0..=2 * reach as usize {
                let weight = weights[shift.abs_diff(reach as usize)];
                add_scaled(&mut across[start..], &padded[shift..shift + width], weight);
            }
        }
        let mut values = vec![0.0; width * height];
        for (y, out) in values.chunks_exact_mut(width).enumerate() {
            for shift in -reach..=reach {
                let from = mirrored(y as isize + shift, height);
                add_scaled(out, &across[from * width..][..width], weights[shift.unsigned_abs()]);
            }
        }
        Self { values, ..*self }
    }

    /// The mean over a window of `2 radius + 1` pixels each way around each pixel, as far as the plane reaches.
    #[must_use]
    pub fn window_means(&self, radius: usize) -> Self {
        let (width, height) = self.size();
        let window = |at: usize, length: usize| (at.saturating_sub(radius), (at + radius + 1).min(length));
        // Sums from the start of a row, in double precision: differences of them lose nothing that matters. Of some rows at once,
        // as each sum waits for the one before.
        const ROWS: usize = 4;
        let mut across = vec![0.0f64; self.values.len()];
        let mut sums = vec![[0.0f64; ROWS]; width + 1];
        let windows: Vec<(usize, usize, f64)> = (0..width)
            .map(|x| window(x, width))
            .map(|(from, to)| (from, to, 1.0 / (to - from) as f64))
            .collect();
        for (rows, out) in self.values.chunks(ROWS * width).zip(across.chunks_mut(ROWS * width)) {
            let count = rows.len() / width;
            let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &rows[row.min(count - 1) * width..][..width]);
            let mut sum = [0.0; ROWS];
            for x in 0..width {
                for row in 0..ROWS {
                    sum[row] += f64::from(rows[row][x]);
                }
                sums[x + 1] = sum;
            }
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                for (out, (from, to, share)) in out.iter_mut().zip(&windows) {
                    *out = (sums[*to][row] - sums[*from][row]) * share;
                }
            }
        }
        let mut column = vec![0.0f64; width];
        let mut values = Vec::with_capacity(self.values.len());
        let (mut first, mut last) = (0, 0);
        for y in 0..height {
            let (from, to) = window(y, height);
            while last < to {
                add_wide(&mut column, &across[last * width..][..width], 1.0);
                last += 1;
            }
            while first < from {
                add_wide(&mut column, &across[first * width..][..width], -1.0);
                first += 1;
            }
            let share = 1.0 / (to - from) as f64;
            values.extend(column.iter().map(|sum| (sum * share) as f32));
        }
        Self { values, ..*self }
    }

    /// The mean of all pixels; 0 of none.
    pub fn mean(&self) -> f32 {
        self.mean_of(f64::from) as f32
    }

    /// The standard deviation of all pixels; 0 of none.
    pub fn deviation(&self) -> f32 {
        let mean = f64::from(self.mean());
        self.mean_of(|value| (f64::from(value) - mean).powi(2)).sqrt() as f32
    }

    fn mean_of(&self, value: impl Fn(f32) -> f64) -> f64 {
        // Several sums, as each waits for the one before.
        let mut sums = [0.0; 8];
        for values in self.values.chunks(sums.len()) {
            sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += value(*v));
        }
        sums.iter().sum::<f64>() / self.values.len().max(1) as f64
    }
}

/// The value below which a share of the values lies (`share` from 0 to 1); 0 of none. Reorders them.
pub fn quantile(values: &mut [f32], share: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let index = (share.clamp(0.0, 1.0) * (values.len() - 1) as f64).round() as usize;
    *values.select_nth_unstable_by(index, f32::total_cmp).1
}

fn clamped(at: f32, length: usize) -> f32 {
    at.clamp(0.0, (length - 1) as f32)
}

vectorised! {
    fn to_probabilities(log_odds: &mut [f32]) {
        for value in log_odds {
            *value = 1.0 / (1.0 + exp(-*value));
        }
    }
}

vectorised! {
    /// Natural logarithms of numbers that are at least `f32::MIN_POSITIVE`.
    pub(crate) fn to_logarithms(values: &mut [f32]) {
        for value in values {
            *value = ln(*value);
        }
    }
}

vectorised! {
    fn add_scaled(out: &mut [f32], values: &[f32], scale: f32) {
        for (out, value) in out.iter_mut().zip(values) {
            *out += scale * value;
        }
    }
}

vectorised! {
    fn add_wide(out: &mut [f64], values: &[f64], scale: f64) {
        for (out, value) in out.iter_mut().zip(values) {
            *out += scale * value;
        }
    }
}

/// A position between pixels.
pub(crate) struct Between {
    /// The columns and the rows on both sides.
    pixels: [[usize; 2]; 2],
    across: f32,
    down: f32,
}

impl Between {
    #[inline(always)]
    pub(crate) fn new((width, height): (usize, usize), x: f32, y: f32) -> Self {
        let (x, y) = (clamped(x, width), clamped(y, height));
        // As 32 bits, a machine's own conversion.
        let (left, top) = (x as i32, y as i32);
        let (across, down) = (x - left as f32, y - top as f32);
        let both = |first: i32, length: usize| [first as usize, (first as usize + 1).min(length - 1)];
        Self {
            pixels: [both(left, width), both(top, height)],
            across,
            down,
        }
    }
}

/// Adds the means of 2x2 pixels of a picture to `out`; an odd column or row at the end is left out.
pub(crate) fn halve(values: &[f32], (width, height): (usize, usize), out: &mut Vec<f32>) {
    let start = out.len();
    out.resize(start + (width / 2) * (height / 2), 0.0);
    if width > 1 {
        let pairs = values.chunks_exact(2 * width);
        let rows = out[start..].chunks_exact_mut(width / 2);
        rows.zip(pairs).for_each(|(out, pair)| halve_rows(pair, width, out));
    }
}

vectorised! {
    /// The means of 2x2 pixels of two rows.
    fn halve_rows(pair: &[f32], width: usize, out: &mut [f32]) {
        let (top, bottom) = pair.split_at(width);
        let pairs = top.chunks_exact(2).zip(bottom.chunks_exact(2));
        for (out, (top, bottom)) in out.iter_mut().zip(pairs) {
            *out = (top[0] + top[1] + bottom[0] + bottom[1]) / 4.0;
        }
    }
}

/// Where a position between two of a line's values lies.
pub(crate) struct Tap {
    first: usize,
    second: usize,
    /// The second one's weight.
    fraction: f32,
}

impl Tap {
    /// The place among `source` values of one of `target` that cover the same line.
    pub(crate) fn new(at: usize, source: usize, target: usize) -> Self {
        let position = clamped((at as f32 + 0.5) * source as f32 / target as f32 - 0.5, source);
        let first = position as usize;
        Self {
            first,
            second: (first + 1).min(source - 1),
            fraction: position - first as f32,
        }
    }
}

vectorised! {
    /// What lies between two rows.
    fn mix(above: &[f32], below: &[f32], fraction: f32, out: &mut [f32]) {
        for ((out, above), below) in out.iter_mut().zip(above).zip(below) {
            *out = above + (below - above) * fraction;
        }
    }
}

/// Weights at distances from 0 to three deviations of a Gaussian that sums to 1 over both sides.
pub fn gaussian(deviation: f32) -> Vec<f32> {
    let reach = (3.0 * deviation).ceil() as usize;
    let weights: Vec<f64> = (0..=reach)
        .map(|distance| (-((distance * distance) as f64) / (2.0 * f64::from(deviation).powi(2))).exp())
        .collect();
    let total = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.iter().map(|weight| (weight / total) as f32).collect()
}

/// `at` reflected into `0..length`, the border's own value repeated.
pub fn mirrored(at: isize, length: usize) -> usize {
    let period = 2 * length as isize;
    let at = at.rem_euclid(period);
    if at < length as isize {
        at as usize
    } else {
        (period - 1 - at) as usize
    }
}

#[cfg(test)]
mod tests;
