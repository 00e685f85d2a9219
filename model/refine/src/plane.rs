//! Pictures of one channel, and what is done to them: halving, blurring, windows, resampling.

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
        let values = (0..width * height).map(|at| value(at % width, at / width)).collect();
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

    /// Half as wide and high: means of 2x2 pixels; an odd column or row at the end is left out.
    #[must_use]
    pub fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let (top, bottom) = (self.row(2 * y), self.row(2 * y + 1));
            let pairs = top.chunks_exact(2).zip(bottom.chunks_exact(2));
            values.extend(pairs.map(|(top, bottom)| (top[0] + top[1] + bottom[0] + bottom[1]) / 4.0));
        }
        Self { width, height, values }
    }

    /// Interpolated linearly to another size, pixel centres at half coordinates.
    #[must_use]
    pub fn resized(&self, width: usize, height: usize) -> Self {
        if self.size() == (width, height) {
            return self.clone();
        }
        let (columns, rows) = (taps(self.width, width), taps(self.height, height));
        let mut line = vec![0.0; self.width];
        let mut values = Vec::with_capacity(width * height);
        for (above, below, down) in rows {
            for ((out, above), below) in line.iter_mut().zip(self.row(above)).zip(self.row(below)) {
                *out = above + (below - above) * down;
            }
            values.extend(columns.iter().map(|(left, right, across)| {
                let (left, right) = (line[*left], line[*right]);
                left + (right - left) * across
            }));
        }
        Self { width, height, values }
    }

    /// The value at a position between pixels, clamped to the plane; pixel centres at whole coordinates.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (clamped(x, self.width), clamped(y, self.height));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let (across, down) = (x - left as f32, y - top as f32);
        let (above, below) = (self.row(top), self.row(bottom));
        let upper = above[left] + (above[right] - above[left]) * across;
        let lower = below[left] + (below[right] - below[left]) * across;
        upper + (lower - upper) * down
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
        // Sums from the start of a row, in double precision: differences of them lose nothing that matters.
        let mut across = Vec::with_capacity(self.values.len());
        let mut sums = vec![0.0f64; width + 1];
        let windows: Vec<(usize, usize, f64)> = (0..width)
            .map(|x| window(x, width))
            .map(|(from, to)| (from, to, 1.0 / (to - from) as f64))
            .collect();
        for row in self.values.chunks_exact(width) {
            let mut sum = 0.0;
            for (out, value) in sums[1..].iter_mut().zip(row) {
                sum += f64::from(*value);
                *out = sum;
            }
            across.extend(
                windows
                    .iter()
                    .map(|(from, to, share)| (sums[*to] - sums[*from]) * share),
            );
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
        let sum: f64 = self.values.iter().map(|value| f64::from(*value)).sum();
        (sum / self.values.len().max(1) as f64) as f32
    }

    /// The standard deviation of all pixels; 0 of none.
    pub fn deviation(&self) -> f32 {
        let mean = f64::from(self.mean());
        let squares: f64 = self.values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum();
        (squares / self.values.len().max(1) as f64).sqrt() as f32
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

fn add_scaled(out: &mut [f32], values: &[f32], scale: f32) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += scale * value;
    }
}

fn add_wide(out: &mut [f64], values: &[f64], scale: f64) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += scale * value;
    }
}

/// For each target position: two source positions and the second one's weight.
fn taps(source: usize, target: usize) -> Vec<(usize, usize, f32)> {
    (0..target)
        .map(|at| {
            let position = clamped((at as f32 + 0.5) * source as f32 / target as f32 - 0.5, source);
            let first = position as usize;
            (first, (first + 1).min(source - 1), position - first as f32)
        })
        .collect()
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
