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
mod tests;
