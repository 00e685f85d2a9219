//! How much order there is in a flow.
//!
//! Water, foliage in the wind, smoke and spray (dynamic textures) move everywhere and with nothing: not with the camera, and not with
//! their own surroundings. Of an object neighbours move alike.

use crate::flow::Flow;
use crate::plane::{Plane, quantile};

/// Half the side of the windows, in pixels.
const WINDOW: usize = 3;
/// Every how many pixels, each way, the median looks.
const STEP: usize = 8;

/// The standard deviation of the displacements in a window of 7x7 pixels around every second pixel each way, in pixels: of a flow of
/// `width` x `height` a plane of half that, and at least one pixel.
pub fn roughness(flow: &Flow) -> Plane {
    let (width, height) = flow.size();
    let middle = |at: usize, length: usize| (2 * at + 1).min(length - 1);
    Plane::from_fn((width / 2).max(1), (height / 2).max(1), |column, row| {
        deviation(flow, middle(column, width), middle(row, height))
    })
}

/// The median roughness of a sample of the pixels that `followable` names, row by row; 0 if there are none.
pub fn median(flow: &Flow, followable: &[bool]) -> f32 {
    let (width, height) = flow.size();
    debug_assert_eq!(followable.len(), width * height);
    let places = (STEP / 2..height)
        .step_by(STEP)
        .flat_map(|y| (STEP / 2..width).step_by(STEP).map(move |x| (x, y)))
        .filter(|(x, y)| followable[y * width + x]);
    quantile(
        &mut places.map(|(x, y)| deviation(flow, x, y)).collect::<Vec<f32>>(),
        0.5,
    )
}

fn deviation(flow: &Flow, x: usize, y: usize) -> f32 {
    let (width, height) = flow.size();
    let window = |at: usize, length: usize| at.saturating_sub(WINDOW)..(at + WINDOW + 1).min(length);
    let (columns, rows) = (window(x, width), window(y, height));
    let count = (columns.len() * rows.len()) as f32;
    // Relative to the middle, so that a large common displacement costs no digits.
    let [middle_x, middle_y] = flow.at(x, y);
    let (mut sums, mut squares) = ([0.0; 2], 0.0);
    for y in rows {
        for (across, down) in flow.x.row(y)[columns.clone()]
            .iter()
            .zip(&flow.y.row(y)[columns.clone()])
        {
            let (across, down) = (across - middle_x, down - middle_y);
            sums = [sums[0] + across, sums[1] + down];
            squares += across * across + down * down;
        }
    }
    let [across, down] = sums.map(|sum| sum / count);
    (squares / count - across * across - down * down).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(at: impl Fn(usize, usize) -> [f32; 2]) -> Flow {
        Flow {
            x: Plane::from_fn(24, 16, |x, y| at(x, y)[0]),
            y: Plane::from_fn(24, 16, |x, y| at(x, y)[1]),
        }
    }

    #[test]
    fn what_moves_alike_is_not_rough_however_far_it_moves() {
        let alike = flow(|_, _| [300.0, -40.0]);
        assert_eq!(roughness(&alike), Plane::filled(12, 8, 0.0));
        assert_eq!(median(&alike, &[true; 24 * 16]), 0.0);
    }

    #[test]
    fn roughness_is_the_deviation_in_a_window() {
        // Columns move by 1 and -1 in turn, rows by 2 and -2: in a window of 7x7 either sign is there three times or four.
        let sign = |at: usize| if at.is_multiple_of(2) { 1.0f32 } else { -1.0 };
        let waves = flow(|x, y| [50.0 + sign(x), 2.0 * sign(y)]);
        let expected = ((1.0f32 + 4.0) * (1.0 - 1.0 / 49.0)).sqrt();
        let rough = roughness(&waves);
        assert_eq!(rough.size(), (12, 8));
        for value in [rough.row(4)[5], rough.row(2)[8], median(&waves, &[true; 24 * 16])] {
            assert!((value - expected).abs() < 1e-4, "{value}, not {expected}");
        }
    }

    #[test]
    fn the_median_is_of_what_can_be_followed() {
        let left = |x: usize| x < 8;
        let half = flow(|x, y| [0.0, if left(x) { 0.0 } else { ((x * 7 + y * 5) % 9) as f32 }]);
        let followable =
            |which: fn(bool) -> bool| -> Vec<bool> { (0..24 * 16).map(|at| which(left(at % 24))).collect() };
        assert_eq!(median(&half, &followable(|left| left)), 0.0);
        assert!(median(&half, &followable(|left| !left)) > 2.0);
        assert_eq!(median(&half, &followable(|_| false)), 0.0);
    }

    #[test]
    fn a_flow_of_one_pixel_has_no_roughness() {
        let one = Flow {
            x: Plane::filled(1, 1, 3.0),
            y: Plane::filled(1, 1, 4.0),
        };
        assert_eq!(roughness(&one), Plane::filled(1, 1, 0.0));
        assert_eq!(median(&one, &[true]), 0.0);
    }
}
