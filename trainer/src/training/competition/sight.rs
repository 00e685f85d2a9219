//! What each branch of a competition sees of a picture, beside the hidden blocks.

use super::regions::Regions;
use crate::recipe::{Competition, FrameEdges, Sight};

/// Sights of every branch over pictures of `side` x `side` pixels.
#[derive(Debug)]
pub struct Sights<'a> {
    competition: &'a Competition,
    side: usize,
    frame: Vec<bool>,
    centre: Vec<bool>,
    bottom: Vec<bool>,
}

impl<'a> Sights<'a> {
    /// As `competition` says.
    pub fn new(competition: &'a Competition, side: usize) -> Self {
        Self {
            competition,
            side,
            frame: in_frame(side, competition.frame, competition.frame_edges),
            bottom: at_bottom(side, competition.frame),
            centre: disc(side, competition.centre),
        }
    }

    /// Whether each region's branch sees each pixel of an image, `[K, pixels]`.
    pub fn of(&self, regions: &Regions, image: usize) -> Vec<bool> {
        let pixels = self.side * self.side;
        let labels: Vec<usize> = (0..pixels).map(|pixel| regions.label(image * pixels + pixel)).collect();
        let (from, to) = self.competition.surroundings;
        let (from, to) = (from * self.side as f64, to * self.side as f64);
        let foreground = self.competition.foreground_regions(regions.count());
        let mut seen = Vec::with_capacity(regions.count() * pixels);
        for region in 0..regions.count() {
            if region > 0 && !foreground.contains(&region) {
                seen.extend(&self.bottom);
            } else if region > 1 && to > 0.0 {
                let inner: Vec<bool> = labels.iter().map(|label| (1..region).contains(label)).collect();
                seen.extend(ring(&inner, self.side, from, to));
            } else if region == 1 && self.competition.centre > 0.0 {
                seen.extend(&self.centre);
            } else if region > 0 || self.competition.background == Sight::Region {
                seen.extend(labels.iter().map(|label| *label == region));
            } else {
                seen.extend(&self.frame);
            }
        }
        seen
    }
}

/// Whether each pixel lies in the frame, `[pixels]`.
pub(super) fn in_frame(side: usize, width: f64, edges: FrameEdges) -> Vec<bool> {
    let width = ((width * side as f64).round() as usize).max(1);
    let inner = width..side.saturating_sub(width).max(width);
    (0..side * side)
        .map(|pixel| {
            let (x, y) = (pixel % side, pixel / side);
            let (above, below) = match edges {
                FrameEdges::All => (true, true),
                FrameEdges::Sides => (false, false),
                FrameEdges::SidesAndBottom => (false, true),
            };
            !inner.contains(&x) || above && y < inner.start || below && y >= inner.end
        })
        .collect()
}

/// Whether each pixel lies in a frame along the lower edge alone, `[pixels]`.
fn at_bottom(side: usize, width: f64) -> Vec<bool> {
    let sides = in_frame(side, width, FrameEdges::Sides);
    let frame = in_frame(side, width, FrameEdges::SidesAndBottom);
    frame.iter().zip(sides).map(|(frame, side)| *frame && !side).collect()
}

/// Whether each pixel's middle lies within `radius`, a share of the side, of the picture's middle.
fn disc(side: usize, radius: f64) -> Vec<bool> {
    let from_middle = |at: usize| (at as f64 + 0.5) / side as f64 - 0.5;
    (0..side * side)
        .map(|pixel| from_middle(pixel % side).hypot(from_middle(pixel / side)) <= radius)
        .collect()
}

/// Pixels that are more than `from` and at most `to` pixels away from `inner`.
fn ring(inner: &[bool], side: usize, from: f64, to: f64) -> Vec<bool> {
    let far = 2 * side as isize;
    // Distance to the nearest pixel of `inner` in the same row.
    let mut along = vec![far; inner.len()];
    for row in 0..side {
        let mut scan = |columns: &mut dyn Iterator<Item = usize>| {
            let mut distance = far;
            for at in columns.map(|column| row * side + column) {
                distance = if inner[at] { 0 } else { far.min(distance + 1) };
                along[at] = along[at].min(distance);
            }
        };
        scan(&mut (0..side));
        scan(&mut (0..side).rev());
    }
    let rows = to as usize;
    (0..inner.len())
        .map(|at| {
            let (x, y) = (at % side, at / side);
            let near = y.saturating_sub(rows)..=(y + rows).min(side - 1);
            let distances = near.map(|row| y.abs_diff(row).pow(2) as isize + along[row * side + x].pow(2));
            let nearest = distances.min().map_or(f64::MAX, |square| (square as f64).sqrt());
            nearest > from && nearest <= to
        })
        .collect()
}

#[cfg(test)]
mod tests;
