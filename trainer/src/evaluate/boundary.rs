//! Agreement of two outlines: the boundary measure F of DAVIS (Perazzi et al. 2016, as in its reference code).

/// Radius within which outlines count as equal, as a part of the image's diagonal.
const TOLERANCE: f64 = 0.008;

/// The tolerance of the measure at an image size, in pixels: 8 at 854x480.
pub fn radius(width: usize, height: usize) -> usize {
    (TOLERANCE * (width as f64).hypot(height as f64)).ceil() as usize
}

/// The outline of a mask, and what lies near it.
#[derive(Debug, Clone, PartialEq)]
pub struct Boundary {
    /// `[height, width]`: the pixel differs from the one to its right, below, or diagonally below.
    outline: Vec<bool>,
    /// The outline dilated by a disk.
    near: Vec<bool>,
    /// Pixels of the outline.
    count: usize,
}

impl Boundary {
    /// The outline of `mask`, `[height, width]`, dilated by a disk of `radius`.
    pub fn of(mask: &[bool], width: usize, height: usize, radius: usize) -> Self {
        let mut outline = vec![false; mask.len()];
        let mut points = Vec::new();
        for y in 0..height {
            let down = if y + 1 < height { width } else { 0 };
            for x in 0..width {
                let right = usize::from(x + 1 < width);
                let at = y * width + x;
                // On the last row and column only the neighbour that exists counts; the corner has none.
                if mask[at] != mask[at + right] || mask[at] != mask[at + down] || mask[at] != mask[at + down + right] {
                    outline[at] = true;
                    points.push((x, y));
                }
            }
        }
        Self {
            near: dilate(&points, width, height, radius),
            outline,
            count: points.len(),
        }
    }

    /// Part of this outline that is near the other.
    fn matched(&self, other: &Self) -> f64 {
        let matched = self.outline.iter().zip(&other.near).filter(|(a, b)| **a && **b).count();
        matched as f64 / self.count as f64
    }
}

/// All pixels within `radius` of a point, as the difference of where rows of the disk begin and end.
fn dilate(points: &[(usize, usize)], width: usize, height: usize, radius: usize) -> Vec<bool> {
    let half_widths: Vec<usize> = (0..=radius).map(|dy| (radius * radius - dy * dy).isqrt()).collect();
    let stride = width + 1;
    let mut changes = vec![0i32; stride * height];
    for (x, y) in points {
        for row in y.saturating_sub(radius)..(y + radius + 1).min(height) {
            let half = half_widths[row.abs_diff(*y)];
            changes[row * stride + x.saturating_sub(half)] += 1;
            changes[row * stride + (x + half + 1).min(width)] -= 1;
        }
    }
    let mut near = Vec::with_capacity(width * height);
    for row in changes.chunks_exact(stride) {
        let mut open = 0;
        for change in &row[..width] {
            open += change;
            near.push(open > 0);
        }
    }
    near
}

/// F: the harmonic mean of the parts of either outline that are near the other.
///
/// If one mask has no outline, that part is 1 for the mask without and 0 for the other; F is 1 if both have none.
pub fn f_measure(predicted: &Boundary, truth: &Boundary) -> f64 {
    let (precision, recall) = match (predicted.count, truth.count) {
        (0, 0) => (1.0, 1.0),
        (0, _) => (1.0, 0.0),
        (_, 0) => (0.0, 1.0),
        _ => (predicted.matched(truth), truth.matched(predicted)),
    };
    if precision + recall == 0.0 {
        0.0
    } else {
        2.0 * precision * recall / (precision + recall)
    }
}

#[cfg(test)]
mod tests;
