//! The camera's motion: the affine field that most of a flow follows.

use crate::flow::Flow;
use crate::plane::{Plane, quantile};

/// Rounds of fitting and weighing.
const ROUNDS: usize = 8;
/// Every how many pixels, each way, the fit looks.
const STEP: usize = 4;
/// The least scale of a residual, in pixels: flow is no better than that.
const LEAST_SCALE: f32 = 0.02;
/// Flow of at most so many pixels stands still.
const STILL: f32 = 0.1;
/// A camera that has stood goes on standing while this share of what can be followed stands still, whatever else moves.
const STANDS: f32 = 0.25;
/// The scale is at most this then, in pixels: most of what can be followed may be one large object.
const STANDING_SCALE: f32 = 0.05;

/// How flow differs from the camera's motion.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual {
    /// Length of the difference at each pixel, in pixels.
    pub length: Plane,
    /// The median of the lengths: what flow and the camera's model are uncertain by.
    pub scale: f32,
    camera: Affine,
}

impl Residual {
    /// How far the camera's motion takes the corner that it takes farthest, in pixels.
    pub fn shift(&self) -> f32 {
        let (width, height) = self.length.size();
        let corners = [(0, 0), (width, 0), (0, height), (width, height)];
        let length = |(x, y)| {
            let [u, v] = self.camera.at(basis(width, height, x, y));
            u.hypot(v) as f32
        };
        corners.map(length).into_iter().fold(0.0, f32::max)
    }

    /// What remains of the same flow at another size.
    pub fn of(&self, flow: &Flow) -> Flow {
        let (width, height) = flow.size();
        let scale = width as f64 / self.length.width as f64;
        let own = |x: usize, y: usize, component: usize| {
            let camera = self.camera.at(basis(width, height, x, y))[component];
            flow.at(x, y)[component] - (scale * camera) as f32
        };
        Flow {
            x: Plane::from_fn(width, height, |x, y| own(x, y, 0)),
            y: Plane::from_fn(width, height, |x, y| own(x, y, 1)),
        }
    }
}

/// Fits an affine field to a flow by iteratively reweighted least squares (Geman and McClure's weights with the median
/// residual as scale, so that up to half of the picture may move otherwise), and returns what remains. `followable` says, row by row,
/// where the picture has something to follow: the rest of the flow is noise, and is neither fitted nor part of the scale. Where nothing
/// is, the camera is taken to stand still; so is a camera that `stood` before, while a quarter of the picture does.
pub fn residual(flow: &Flow, followable: &[bool], stood: bool) -> Residual {
    let samples = samples(flow, followable);
    let (mut weights, mut field) = (vec![1.0f32; samples.len()], Affine::default());
    let mut scale = LEAST_SCALE;
    for _ in 0..ROUNDS {
        field = Affine::fit(&samples, &weights);
        let lengths: Vec<f32> = samples.iter().map(|sample| field.residual(sample)).collect();
        scale = quantile(&mut lengths.clone(), 0.5).max(LEAST_SCALE);
        for (weight, length) in weights.iter_mut().zip(&lengths) {
            *weight = (1.0 + (length / scale).powi(2)).powi(-2);
        }
    }
    let still = |sample: &&Sample| sample.moved[0].hypot(sample.moved[1]) < STILL;
    if stood && samples.iter().filter(still).count() as f32 >= STANDS * samples.len() as f32 {
        (field, scale) = (Affine::default(), scale.min(STANDING_SCALE));
    }
    Residual {
        length: field.residuals(flow),
        scale,
        camera: field,
    }
}

/// A displacement that the fit looks at.
struct Sample {
    basis: [f64; 3],
    moved: [f32; 2],
}

fn samples(flow: &Flow, followable: &[bool]) -> Vec<Sample> {
    let (width, height) = flow.size();
    debug_assert_eq!(followable.len(), width * height);
    let places = (0..height)
        .step_by(STEP)
        .flat_map(|y| (0..width).step_by(STEP).map(move |x| (x, y)))
        .filter(|(x, y)| followable[y * width + x]);
    let sample = |(x, y)| Sample {
        basis: basis(width, height, x, y),
        moved: flow.at(x, y),
    };
    places.map(sample).collect()
}

/// A field that is linear in the position: for each component the coefficients of 1, x and y.
#[derive(Clone, Debug, Default, PartialEq)]
struct Affine {
    x: [f64; 3],
    y: [f64; 3],
}

impl Affine {
    /// Weighted least squares.
    fn fit(samples: &[Sample], weights: &[f32]) -> Self {
        // Products of the basis with itself, the upper triangle, and with the flow.
        let mut sums = [0.0; 12];
        for (sample, weight) in samples.iter().zip(weights) {
            let ([_, across, down], weight) = (sample.basis, f64::from(*weight));
            let [u, v] = sample.moved.map(f64::from);
            let [a, b] = [weight * across, weight * down];
            let terms = [
                weight,
                a,
                b,
                a * across,
                a * down,
                b * down,
                weight * u,
                a * u,
                b * u,
                weight * v,
                a * v,
                b * v,
            ];
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += term;
            }
        }
        let [xx, xy, xz, yy, yz, zz] = [0, 1, 2, 3, 4, 5].map(|at| sums[at]);
        // A picture of one row or column leaves a coefficient open: it is zero.
        let matrix = [[xx + 1e-6, xy, xz], [xy, yy + 1e-6, yz], [xz, yz, zz + 1e-6]];
        Self {
            x: solve(matrix, [sums[6], sums[7], sums[8]]),
            y: solve(matrix, [sums[9], sums[10], sums[11]]),
        }
    }

    /// The displacement at a position, (x, y).
    fn at(&self, basis: [f64; 3]) -> [f64; 2] {
        [&self.x, &self.y].map(|coefficients| (0..3).map(|i| coefficients[i] * basis[i]).sum())
    }

    /// Length of a displacement's difference to the field's.
    fn residual(&self, sample: &Sample) -> f32 {
        let [u, v] = self.at(sample.basis).map(|value| value as f32);
        let [own_u, own_v] = sample.moved;
        ((own_u - u).powi(2) + (own_v - v).powi(2)).sqrt()
    }

    /// [`Self::residual`] of all pixels.
    fn residuals(&self, flow: &Flow) -> Plane {
        let (width, height) = flow.size();
        let [step_u, step_v] = [self.x[1], self.y[1]].map(|slope| (slope / width as f64) as f32);
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let [u, v] = self.at(basis(width, height, 0, y)).map(|value| value as f32);
            let pixels = flow.x.row(y).iter().zip(flow.y.row(y)).zip(0u16..);
            values.extend(pixels.map(|((own_u, own_v), x)| {
                let x = f32::from(x);
                ((own_u - u - step_u * x).powi(2) + (own_v - v - step_v * x).powi(2)).sqrt()
            }));
        }
        Plane { width, height, values }
    }
}

/// 1 and the position from the middle, in widths.
fn basis(width: usize, height: usize, x: usize, y: usize) -> [f64; 3] {
    let side = width as f64;
    [
        1.0,
        (x as f64 - width as f64 / 2.0) / side,
        (y as f64 - height as f64 / 2.0) / side,
    ]
}

/// Solves three equations with a symmetric positive definite matrix by elimination.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3]) -> [f64; 3] {
    for pivot in 0..3 {
        for row in pivot + 1..3 {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            for column in pivot..3 {
                matrix[row][column] -= factor * matrix[pivot][column];
            }
            right[row] -= factor * right[pivot];
        }
    }
    let mut solution = [0.0; 3];
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|column| matrix[row][column] * solution[column]).sum();
        solution[row] = (right[row] - known) / matrix[row][row];
    }
    solution
}

#[cfg(test)]
mod tests;
