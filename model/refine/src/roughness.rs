//! How much order there is in a flow.
//!
//! Water, foliage in the wind, smoke and spray (dynamic textures) move everywhere and with nothing: not with the camera, and not with
//! their own surroundings. Of an object neighbours move alike.

use crate::flow::Flow;
use crate::plane::Plane;

/// Half the side of the windows, in pixels.
const WINDOW: usize = 3;

/// The standard deviation of the displacements in a window of 7x7 pixels around every `step`-th pixel each way, in pixels: of a flow
/// of `width` x `height` a plane of `width / step` x `height / step`, and at least one pixel.
pub fn roughness(flow: &Flow, step: usize) -> Plane {
    let (width, height) = flow.size();
    let middle = |at: usize, length: usize| (at * step + step / 2).min(length - 1);
    let window = |at: usize, length: usize| at.saturating_sub(WINDOW)..(at + WINDOW + 1).min(length);
    Plane::from_fn((width / step).max(1), (height / step).max(1), |column, row| {
        let (x, y) = (middle(column, width), middle(row, height));
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
    })
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
        let rough = roughness(&flow(|_, _| [300.0, -40.0]), 2);
        assert_eq!(rough, Plane::filled(12, 8, 0.0));
    }

    #[test]
    fn roughness_is_the_deviation_in_a_window() {
        // Columns move by 1 and -1 in turn, rows by 2 and -2: in a window of 7x7 either sign is there three times or four.
        let sign = |at: usize| if at.is_multiple_of(2) { 1.0f32 } else { -1.0 };
        let rough = roughness(&flow(|x, y| [50.0 + sign(x), 2.0 * sign(y)]), 8);
        let share = 1.0 / 7.0f32;
        let expected = ((1.0 + 4.0) * (1.0 - share * share)).sqrt();
        assert_eq!(rough.size(), (3, 2));
        for value in rough.values {
            assert!((value - expected).abs() < 1e-4, "{value}, not {expected}");
        }
    }

    #[test]
    fn a_flow_of_one_pixel_has_no_roughness() {
        let one = Flow {
            x: Plane::filled(1, 1, 3.0),
            y: Plane::filled(1, 1, 4.0),
        };
        assert_eq!(roughness(&one, 8), Plane::filled(1, 1, 0.0));
    }
}
