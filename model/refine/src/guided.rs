//! The guided filter (He, Sun and Tang, "Guided Image Filtering", 2013): in the windows around each pixel a plane is fitted
//! as a linear function of a picture's channels, so that its edges fall on theirs.
//!
//! Also in its fast form (He and Sun, "Fast Guided Filter", 2015): fitted at a smaller size, applied at the full one.

use crate::plane::Plane;

/// Variance of a channel (in `0..=1`) below which it is noise.
const EPSILON: f32 = 1e-4;
/// Pairs of channels, the covariance's upper triangle.
const PAIRS: [(usize, usize); 6] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];

/// The channels of a picture, ready to be followed by any number of planes.
pub struct Guide {
    channels: Vec<Plane>,
    radius: usize,
    /// Of the channels in each window.
    means: Vec<Plane>,
    /// Of the channels' covariance in each window: the upper triangle of its inverse.
    inverses: Vec<[f64; 6]>,
}

/// Linear functions of the channels, one for each pixel: the sum of `slopes[c] * channel[c]`, and `offset`.
#[derive(Clone, Debug)]
pub struct Fit {
    /// One plane for each channel.
    pub slopes: Vec<Plane>,
    /// What is added.
    pub offset: Plane,
}

impl Guide {
    /// Of one to three channels of one size, each 0 to 1, with windows of `2 radius + 1` pixels each way.
    pub fn new(channels: Vec<Plane>, radius: usize) -> Self {
        let means: Vec<Plane> = channels.iter().map(|channel| channel.window_means(radius)).collect();
        let pairs = PAIRS.iter().enumerate().filter(|(_, (_, b))| *b < channels.len());
        let matrix: Vec<(usize, Plane)> = pairs
            .map(|(at, &(a, b))| (at, covariance(&channels[a], &channels[b], &means[a], &means[b], radius)))
            .collect();
        let pixels = channels.first().map_or(0, |channel| channel.values.len());
        let inverses = (0..pixels)
            .map(|pixel| {
                // A single channel has a variance and no more.
                if let [(_, variance)] = matrix.as_slice() {
                    return [1.0 / noisy(variance.values[pixel]), 0.0, 0.0, 0.0, 0.0, 0.0];
                }
                let mut triangle = [0.0; 6];
                for (at, plane) in &matrix {
                    triangle[*at] = plane.values[pixel];
                }
                inverse(triangle)
            })
            .collect();
        Self {
            channels,
            radius,
            means,
            inverses,
        }
    }

    /// Of colours at half their size, with windows of `2 radius + 1` pixels of that, for [`Guide::follow`]; they must have at least 2
    /// pixels each way.
    pub fn halved(colors: &[Plane; 3], radius: usize) -> Self {
        Self::new(colors.iter().map(Plane::halved).collect(), radius)
    }

    /// Brings `plane`, of the colours' size, along the edges of the colours that the guide was [halved](Self::halved) from:
    /// around each pixel it becomes the linear function of the colours that fits it best.
    #[must_use]
    pub fn follow(&self, colors: &[Plane; 3], plane: &Plane) -> Plane {
        let target = plane.halved();
        let mut offset = target.window_means(self.radius);
        let slopes = self.slopes(&target, &offset);
        for (slope, mean) in slopes.iter().zip(&self.means) {
            add_product(&mut offset, slope, mean, -1.0);
        }
        let (width, height) = plane.size();
        let spread = |plane: &Plane| plane.window_means(self.radius).resized(width, height);
        let mut out = spread(&offset);
        for (slope, color) in slopes.iter().zip(colors) {
            add_product(&mut out, &spread(slope), color, 1.0);
        }
        out
    }

    /// The functions whose slopes fit `target`, of the guide's size, best around each pixel, and whose value there is the
    /// target's own: unlike the filter's offset, theirs smooths nothing.
    pub fn fit(&self, target: &Plane) -> Fit {
        let slopes = self.slopes(target, &target.window_means(self.radius));
        let slopes: Vec<Plane> = slopes.iter().map(|slope| slope.window_means(self.radius)).collect();
        let mut offset = target.clone();
        for (slope, channel) in slopes.iter().zip(&self.channels) {
            add_product(&mut offset, slope, channel, -1.0);
        }
        Fit { slopes, offset }
    }

    /// The slopes that fit `target`, with these means, best in the window around each pixel.
    fn slopes(&self, target: &Plane, target_means: &Plane) -> Vec<Plane> {
        let channels = self.channels.iter().zip(&self.means);
        let right: Vec<Plane> = channels
            .map(|(channel, means)| covariance(channel, target, means, target_means, self.radius))
            .collect();
        let mut slopes = right.clone();
        for (pixel, inverse) in self.inverses.iter().enumerate() {
            let mut vector = [0.0; 3];
            for (value, plane) in vector.iter_mut().zip(&right) {
                *value = plane.values[pixel];
            }
            let solution = apply(inverse, vector);
            for (slope, value) in slopes.iter_mut().zip(solution) {
                slope.values[pixel] = value;
            }
        }
        slopes
    }
}

/// Adds a product to each value of `out`.
fn add_product(out: &mut Plane, a: &Plane, b: &Plane, sign: f32) {
    for ((out, a), b) in out.values.iter_mut().zip(&a.values).zip(&b.values) {
        *out += sign * a * b;
    }
}

/// The covariance of two planes in each window, from their means there.
fn covariance(a: &Plane, b: &Plane, mean_a: &Plane, mean_b: &Plane, radius: usize) -> Plane {
    let squares = a.zip(b, |a, b| a * b).window_means(radius);
    squares.zip(&mean_a.zip(mean_b, |a, b| a * b), |square, product| square - product)
}

/// The inverse of a covariance plus `EPSILON` on its diagonal, by cofactors.
fn inverse([xx, xy, xz, yy, yz, zz]: [f32; 6]) -> [f64; 6] {
    // Double precision: the determinant of nearly grey windows is as small as `EPSILON` squared.
    let [xy, xz, yz] = [xy, xz, yz].map(f64::from);
    let [xx, yy, zz] = [xx, yy, zz].map(noisy);
    let cofactors = [
        yy * zz - yz * yz,
        xz * yz - xy * zz,
        xy * yz - xz * yy,
        xx * zz - xz * xz,
        xy * xz - xx * yz,
        xx * yy - xy * xy,
    ];
    let determinant = xx * cofactors[0] + xy * cofactors[1] + xz * cofactors[2];
    let scale = 1.0 / determinant;
    cofactors.map(|cofactor| cofactor * scale)
}

/// A variance and that of noise.
fn noisy(variance: f32) -> f64 {
    f64::from(variance.max(0.0) + EPSILON)
}

/// A symmetric matrix, by its upper triangle, times a vector.
fn apply([a, b, c, d, e, f]: &[f64; 6], vector: [f32; 3]) -> [f32; 3] {
    let [x, y, z] = vector.map(f64::from);
    [a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z].map(|value| value as f32)
}

#[cfg(test)]
mod tests;
