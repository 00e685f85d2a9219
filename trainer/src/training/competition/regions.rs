//! Masks of regions that compete, from their logits: each region gets its share of a batch, and the masks' gradient knows it.
//! See [`super::competition`].

use crate::training::paper::softmax_slopes;

/// Width of the band around a boundary whose logits move the offsets, in mean margins.
const BAND: f32 = 0.3;
/// Rounds in which each region's offset is fitted to those of the others.
const ROUNDS: usize = 30;
/// A share is met within this part of all pixels.
const TOLERANCE: f64 = 1e-3;

/// Every region's logit at every pixel, standardised: `z_k = (s_k + b_k) / scale` with `s` the logits less their mean over the
/// regions, offsets `b` such that each region is the largest in its share of the batch, and `scale` the mean over the
/// batch of half the margin between the two largest.
#[derive(Debug, Clone)]
pub struct Regions {
    /// z, `[images, K, pixels]`.
    z: Vec<f32>,
    /// Region of the largest and of the second largest z, `[images, pixels]`.
    ranks: Vec<[u8; 2]>,
    /// p = softmax(z / temperature), `[images, K, pixels]`: the masks.
    masks: Vec<f32>,
    scale: f32,
    temperature: f32,
    count: usize,
    pixels: usize,
}

impl Regions {
    /// Of logits `[images, K, pixels]`; `shares` holds the share of each of the K regions, together 1.
    pub fn new(logits: &[f32], pixels: usize, shares: &[f64], temperature: f64) -> Self {
        let count = shares.len();
        let mut z = zero_sum(logits, count, pixels);
        let (offsets, scale) = offsets_and_scale(&z, pixels, shares);
        for (plane, values) in z.chunks_exact_mut(pixels).enumerate() {
            let offset = offsets[plane % count];
            values.iter_mut().for_each(|value| *value = (*value + offset) / scale);
        }
        let ranks = (0..z.len() / count).map(|at| ranks(&z, count, pixels, at)).collect();
        let temperature = temperature as f32;
        let masks = softmax(&z, count, pixels, temperature);
        Self {
            z,
            ranks,
            masks,
            scale,
            temperature,
            count,
            pixels,
        }
    }

    /// The masks, `[images, K, pixels]`: positive, and 1 together.
    pub fn masks(&self) -> &[f32] {
        &self.masks
    }

    /// Number of regions K.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The region with the largest mask at a pixel of `[images, pixels]`.
    pub fn label(&self, at: usize) -> usize {
        usize::from(self.ranks[at][0])
    }

    /// From the gradient by the masks to that by the logits, both `[images, K, pixels]`.
    pub fn logit_slopes(&self, mut slopes: Vec<f32>) -> Vec<f32> {
        let temperature = f64::from(self.temperature);
        softmax_slopes(
            &self.masks,
            &mut slopes,
            self.count,
            self.count,
            self.pixels,
            temperature,
        );
        self.through_head(slopes)
    }

    /// From the gradient by z to that by the logits.
    fn through_head(&self, mut slopes: Vec<f32>) -> Vec<f32> {
        let (count, pixels) = (self.count, self.pixels);
        self.through_scale(&mut slopes);
        self.through_offsets(&mut slopes);
        // Through the mean over the regions.
        for image in slopes.chunks_exact_mut(count * pixels) {
            for pixel in 0..pixels {
                let places = (0..count).map(|k| k * pixels + pixel);
                let mean = places.clone().map(|at| image[at]).sum::<f32>() / count as f32;
                places.for_each(|at| image[at] -= mean);
            }
        }
        slopes
    }

    /// Places of a pixel's largest and second largest logits in `[images, K, pixels]`.
    fn places(&self, at: usize) -> [usize; 2] {
        let start = at / self.pixels * self.count * self.pixels + at % self.pixels;
        self.ranks[at].map(|region| start + usize::from(region) * self.pixels)
    }

    /// From the gradient by z to that by `s + b`: the scale is half the mean margin.
    fn through_scale(&self, slopes: &mut [f32]) {
        let along: f64 = slopes
            .iter()
            .zip(&self.z)
            .map(|(g, z)| f64::from(*g) * f64::from(*z))
            .sum();
        let each = (along / (2.0 * self.ranks.len() as f64)) as f32;
        for at in 0..self.ranks.len() {
            let [largest, second] = self.places(at);
            slopes[largest] -= each;
            slopes[second] += each;
        }
        slopes.iter_mut().for_each(|slope| *slope /= self.scale);
    }

    /// From the gradient by `s + b` to that by `s`: pixels near the boundary of two regions hold the offsets where these are, so
    /// that what moves a whole boundary moves the offsets back.
    fn through_offsets(&self, slopes: &mut [f32]) {
        let count = self.count;
        let near: Vec<f32> = (0..self.ranks.len())
            .map(|at| {
                let [largest, second] = self.places(at);
                (-((self.z[largest] - self.z[second]) / 2.0 / BAND).powi(2)).exp()
            })
            .collect();
        // Weighted Laplacian of the regions' neighbourhood.
        let mut laplacian = vec![vec![0.0; count]; count];
        for (near, [a, b]) in near.iter().zip(&self.ranks) {
            let (near, a, b) = (f64::from(*near), usize::from(*a), usize::from(*b));
            laplacian[a][a] += near;
            laplacian[b][b] += near;
            laplacian[a][b] -= near;
            laplacian[b][a] -= near;
        }
        let mut total = vec![0.0; count];
        for (plane, values) in slopes.chunks_exact(self.pixels).enumerate() {
            total[plane % count] += values.iter().map(|value| f64::from(*value)).sum::<f64>();
        }
        let potential = solve_grounded(laplacian, total);
        for (at, near) in near.iter().enumerate() {
            let [a, b] = self.ranks[at].map(usize::from);
            let pull = (f64::from(*near) * (potential[a] - potential[b])) as f32;
            let [largest, second] = self.places(at);
            slopes[largest] -= pull;
            slopes[second] += pull;
        }
    }
}

/// Mean and deviation of each region's zero-sum logits that put the offsets of `shares` and the scale of all logits
/// `[images, K, pixels]` into a head: what [`crate::training::paper::export::export`] takes.
pub fn head_statistics(logits: &[f32], pixels: usize, shares: &[f64]) -> Vec<(f64, f64)> {
    let (offsets, scale) = offsets_and_scale(&zero_sum(logits, shares.len(), pixels), pixels, shares);
    offsets
        .into_iter()
        .map(|offset| (-f64::from(offset), f64::from(scale)))
        .collect()
}

/// `values` less their mean over the regions, `[images, K, pixels]`.
fn zero_sum(values: &[f32], count: usize, pixels: usize) -> Vec<f32> {
    let mut values = values.to_vec();
    for image in values.chunks_exact_mut(count * pixels) {
        for pixel in 0..pixels {
            let mean = (0..count).map(|k| image[k * pixels + pixel]).sum::<f32>() / count as f32;
            (0..count).for_each(|k| image[k * pixels + pixel] -= mean);
        }
    }
    values
}

/// Regions of the largest and the second largest value at pixel `at` of `[images, pixels]`.
fn ranks(values: &[f32], count: usize, pixels: usize, at: usize) -> [u8; 2] {
    let start = at / pixels * count * pixels + at % pixels;
    let value = |region: u8| values[start + usize::from(region) * pixels];
    let mut ranks = [0, 1];
    if value(1) > value(0) {
        ranks = [1, 0];
    }
    for region in 2..count as u8 {
        if value(region) > value(ranks[0]) {
            ranks = [region, ranks[0]];
        } else if value(region) > value(ranks[1]) {
            ranks[1] = region;
        }
    }
    ranks
}

/// Offsets, together 0, with which each region is the largest in its share of all pixels, and half the mean margin.
///
/// One region after another gets the offset that is right beside those of the others, until all are: for two regions that
/// is the quantile.
fn offsets_and_scale(values: &[f32], pixels: usize, shares: &[f64]) -> (Vec<f32>, f32) {
    let count = shares.len();
    let total = values.len() / count;
    let mut offsets = vec![0.0f32; count];
    let at = |pixel: usize, region: usize| values[(pixel / pixels * count + region) * pixels + pixel % pixels];
    let mut margins = vec![0.0; total];
    for _ in 0..ROUNDS {
        let mut worst = 0.0f64;
        for region in 1..count {
            for (pixel, margin) in margins.iter_mut().enumerate() {
                let others = (0..count).filter(|other| *other != region);
                let most = others
                    .map(|other| at(pixel, other) + offsets[other])
                    .fold(f32::MIN, f32::max);
                *margin = at(pixel, region) - most;
            }
            let above = margins.iter().filter(|margin| **margin + offsets[region] > 0.0).count();
            worst = worst.max((above as f64 / total as f64 - shares[region]).abs());
            let wanted = ((shares[region] * total as f64).round() as usize).clamp(1, total - 1);
            let first = total - wanted;
            let (below, least, _) = margins.select_nth_unstable_by(first, f32::total_cmp);
            let largest_below = below.iter().copied().fold(f32::MIN, f32::max);
            offsets[region] = -(largest_below + *least) / 2.0;
        }
        if count == 2 || worst < TOLERANCE {
            break;
        }
    }
    let mean = offsets.iter().sum::<f32>() / count as f32;
    offsets.iter_mut().for_each(|offset| *offset -= mean);
    let margin: f64 = (0..total)
        .map(|pixel| {
            let (mut largest, mut second) = (f32::MIN, f32::MIN);
            for (region, offset) in offsets.iter().enumerate() {
                let value = at(pixel, region) + offset;
                if value > largest {
                    (largest, second) = (value, largest);
                } else if value > second {
                    second = value;
                }
            }
            f64::from(largest - second)
        })
        .sum();
    (offsets, (margin / (2.0 * total as f64)) as f32 + 1e-5)
}

/// exp(z / temperature) over its sum over the regions.
fn softmax(z: &[f32], count: usize, pixels: usize, temperature: f32) -> Vec<f32> {
    let mut masks = z.to_vec();
    for image in masks.chunks_exact_mut(count * pixels) {
        for pixel in 0..pixels {
            let places = (0..count).map(|k| k * pixels + pixel);
            let most = places.clone().map(|at| image[at]).fold(f32::MIN, f32::max);
            let mut sum = 0.0;
            for at in places.clone() {
                image[at] = ((image[at] - most) / temperature).exp();
                sum += image[at];
            }
            places.for_each(|at| image[at] /= sum);
        }
    }
    masks
}

/// Solves `matrix * x = right` for a weighted Laplacian, x of the first node being 0. Nodes without a neighbour get 0.
fn solve_grounded(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let count = right.len();
    // Gauss-Jordan; a Laplacian without one node is positive definite and needs no pivoting.
    for pivot in 1..count {
        let value = matrix[pivot][pivot];
        if value < 1e-12 {
            right[pivot] = 0.0;
            continue;
        }
        for column in 0..count {
            matrix[pivot][column] /= value;
        }
        right[pivot] /= value;
        for row in (1..count).filter(|row| *row != pivot) {
            let factor = matrix[row][pivot];
            for column in 0..count {
                matrix[row][column] -= factor * matrix[pivot][column];
            }
            right[row] -= factor * right[pivot];
        }
    }
    right[0] = 0.0;
    right
}

#[cfg(test)]
mod tests;
