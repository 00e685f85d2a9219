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
mod tests {
    use super::*;
    use crate::evaluate::metrics::{Scores, Truth};
    use serde::Deserialize;

    #[test]
    fn the_radius_of_davis() {
        assert_eq!(radius(854, 480), 8);
        assert_eq!(radius(64, 64), 1);
    }

    #[test]
    fn a_shift_within_the_radius_costs_nothing() {
        let square = |left: usize| -> Vec<bool> {
            (0..400)
                .map(|at| (left..left + 8).contains(&(at % 20)) && (6..14).contains(&(at / 20)))
                .collect()
        };
        let f = |shift: usize, radius: usize| {
            f_measure(
                &Boundary::of(&square(4 + shift), 20, 20, radius),
                &Boundary::of(&square(4), 20, 20, radius),
            )
        };
        assert_eq!((f(0, 0), f(2, 2), f(3, 3)), (1.0, 1.0, 1.0));
        assert!(f(3, 2) < 1.0 && f(3, 2) > f(5, 2));
    }

    #[test]
    fn masks_without_an_outline() {
        let (none, some) = (
            Boundary::of(&[true; 9], 3, 3, 1),
            Boundary::of(&[true, false, false, true, false, false, true, false, false], 3, 3, 1),
        );
        assert_eq!(
            (
                f_measure(&none, &none),
                f_measure(&none, &some),
                f_measure(&some, &none)
            ),
            (1.0, 0.0, 0.0)
        );
    }

    /// J and F that NumPy and SciPy counted (`tests/reference/davis_metrics.py`).
    #[test]
    fn agrees_with_scipy() {
        #[derive(Deserialize)]
        struct Case {
            width: usize,
            height: usize,
            radius: usize,
            predicted: String,
            truth: String,
            j: f64,
            f: f64,
        }
        #[derive(Deserialize)]
        struct Reference {
            masks: Vec<Case>,
        }
        let reference: Reference =
            serde_json::from_str(include_str!("../../tests/reference/davis_metrics.json")).unwrap();
        assert!(reference.masks.len() >= 12);
        for case in reference.masks {
            let mask = |text: &str| text.chars().map(|c| c == '1').collect::<Vec<bool>>();
            let (predicted, truth) = (mask(&case.predicted), mask(&case.truth));
            let boundary = |mask: &[bool]| Boundary::of(mask, case.width, case.height, case.radius);
            let f = f_measure(&boundary(&predicted), &boundary(&truth));
            assert!(
                (f - case.f).abs() < 1e-12,
                "F {f}, expected {}: {}",
                case.f,
                case.predicted
            );
            let known: Vec<Truth> = truth.iter().map(|inside| Truth::from(*inside)).collect();
            let j = Scores::of(predicted.iter().copied(), &known).iou;
            assert!(
                (j - case.j).abs() < 1e-12,
                "J {j}, expected {}: {}",
                case.j,
                case.predicted
            );
        }
    }
}
