//! The guided filter (He, Sun and Tang, "Guided Image Filtering", 2013) with a colour guide, in its fast form (He and
//! Sun, "Fast Guided Filter", 2015): fitted at half the size, applied at the full one.

use crate::plane::Plane;

/// Half the side of the window that is fitted, in pixels of half the size.
const RADIUS: usize = 4;
/// Variance of a channel (in `0..=1`) below which it is noise.
const EPSILON: f32 = 1e-4;
/// Pairs of channels, the covariance's upper triangle.
const PAIRS: [(usize, usize); 6] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];

/// The colours of a picture, ready to be followed.
pub struct Guide<'a> {
    colors: &'a [Plane; 3],
    small: [Plane; 3],
    means: [Plane; 3],
    /// Of the colours' covariance in each window: the upper triangle of its inverse.
    inverses: Vec<[f64; 6]>,
}

impl<'a> Guide<'a> {
    /// Of red, green and blue, each 0 to 1, of one size of at least 2 pixels each way.
    pub fn new(colors: &'a [Plane; 3]) -> Self {
        let small = [0, 1, 2].map(|channel: usize| colors[channel].halved());
        let means = [0, 1, 2].map(|channel: usize| small[channel].window_means(RADIUS));
        let matrix = PAIRS.map(|(a, b)| covariance(&small[a], &small[b], &means[a], &means[b]));
        let inverses = (0..small[0].values.len())
            .map(|cell| inverse([0, 1, 2, 3, 4, 5].map(|pair: usize| matrix[pair].values[cell])))
            .collect();
        Self {
            colors,
            small,
            means,
            inverses,
        }
    }

    /// Brings `plane`, of the guide's size, along the edges of the colours: around each pixel it becomes the linear function
    /// of the colours that fits it best.
    #[must_use]
    pub fn follow(&self, plane: &Plane) -> Plane {
        let (width, height) = plane.size();
        let target = plane.halved();
        let mut offset = target.window_means(RADIUS);
        let right = [0, 1, 2].map(|a: usize| covariance(&self.small[a], &target, &self.means[a], &offset));
        let mut slopes = [(); 3].map(|()| Plane::filled(target.width, target.height, 0.0));
        for (cell, inverse) in self.inverses.iter().enumerate() {
            let solution = apply(inverse, [0, 1, 2].map(|a: usize| right[a].values[cell]));
            for (channel, slope) in solution.into_iter().enumerate() {
                slopes[channel].values[cell] = slope;
                offset.values[cell] -= slope * self.means[channel].values[cell];
            }
        }
        let spread = |plane: &Plane| plane.window_means(RADIUS).resized(width, height);
        let mut out = spread(&offset);
        for (slope, channel) in slopes.iter().zip(self.colors) {
            let parts = spread(slope).zip(channel, |slope, value| slope * value);
            out.values
                .iter_mut()
                .zip(&parts.values)
                .for_each(|(out, part)| *out += part);
        }
        out
    }
}

/// The covariance of two planes in each window, from their means there.
fn covariance(a: &Plane, b: &Plane, mean_a: &Plane, mean_b: &Plane) -> Plane {
    let squares = a.zip(b, |a, b| a * b).window_means(RADIUS);
    squares.zip(&mean_a.zip(mean_b, |a, b| a * b), |square, product| square - product)
}

/// The inverse of a covariance plus `EPSILON` on its diagonal, by cofactors.
fn inverse([xx, xy, xz, yy, yz, zz]: [f32; 6]) -> [f64; 6] {
    // Double precision: the determinant of nearly grey windows is as small as `EPSILON` squared.
    let [xy, xz, yz] = [xy, xz, yz].map(f64::from);
    let [xx, yy, zz] = [xx, yy, zz].map(|variance| f64::from(variance.max(0.0) + EPSILON));
    let cofactors = [
        yy * zz - yz * yz,
        xz * yz - xy * zz,
        xy * yz - xz * yy,
        xx * zz - xz * xz,
        xy * xz - xx * yz,
        xx * yy - xy * xy,
    ];
    let determinant = xx * cofactors[0] + xy * cofactors[1] + xz * cofactors[2];
    cofactors.map(|cofactor| cofactor / determinant)
}

/// A symmetric matrix, by its upper triangle, times a vector.
fn apply([a, b, c, d, e, f]: &[f64; 6], vector: [f32; 3]) -> [f32; 3] {
    let [x, y, z] = vector.map(f64::from);
    [a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z].map(|value| value as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize, seed: u32) -> Plane {
        let mut state = seed;
        Plane::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        })
    }

    #[test]
    fn the_solution_solves() {
        let solution = apply(&inverse([0.5, 0.1, -0.2, 0.4, 0.05, 0.3]), [1.0, 2.0, 3.0]);
        let matrix = [[0.5, 0.1, -0.2], [0.1, 0.4, 0.05], [-0.2, 0.05, 0.3]];
        for (row, right) in matrix.iter().zip([1.0, 2.0, 3.0]) {
            let value: f32 = (0..3).map(|i| row[i] * solution[i]).sum::<f32>() + EPSILON * solution[0];
            assert!((value - right).abs() < 5e-3, "{value} {right}");
        }
    }

    #[test]
    fn a_blurred_step_goes_back_to_the_edge_of_the_colours() {
        let guide =
            [0.7, -0.4, 0.2].map(|height| Plane::from_fn(60, 40, |x, _| 0.5 + height * f32::from(x >= 30) / 2.0));
        let rough = Plane::from_fn(60, 40, |x, _| (((x as f32 - 26.0) / 4.0).clamp(-1.0, 1.0)) * 3.0);
        let out = Guide::new(&guide).follow(&rough);
        for y in 4..36 {
            assert!(
                out.row(y)[28] < 2.6 && out.row(y)[31] > 2.6,
                "{} {}",
                out.row(y)[28],
                out.row(y)[31]
            );
            let jump = out.row(y)[31] - out.row(y)[28];
            let before = out.row(y)[28] - out.row(y)[25];
            assert!(jump > 2.0 * before.abs(), "{jump} {before}");
        }
    }

    #[test]
    fn what_is_a_function_of_the_colours_stays_and_what_is_not_is_smoothed() {
        let guide = [1, 2, 3].map(|seed| noise(64, 48, seed).blurred(3.0).map(|value| 8.0 * (value - 0.5) + 0.5));
        let linear = Plane::from_fn(64, 48, |x, y| {
            2.0 * guide[0].row(y)[x] - guide[1].row(y)[x] + 0.5 * guide[2].row(y)[x] - 0.25
        });
        let kept = Guide::new(&guide).follow(&linear).zip(&linear, |a, b| (a - b).abs());
        assert!(
            kept.mean() < 0.1 * linear.deviation(),
            "{} of {}",
            kept.mean(),
            linear.deviation()
        );
        let grey = [(); 3].map(|()| Plane::filled(64, 48, 0.5));
        let rough = noise(64, 48, 9);
        assert!(Guide::new(&grey).follow(&rough).deviation() < 0.2 * rough.deviation());
    }
}
