//! Masks of one frame after another.

use crate::map::RegionMap;

/// Blends a new map with the one before it: the share of the old one is `strength` where both agree and
/// falls with the square of what they differ by, so that still areas stop flickering and moving edges
/// do not trail. Maps of different sizes are not blended.
pub fn smooth(map: &mut RegionMap, previous: &RegionMap, strength: f32) {
    let same = (map.regions, map.width, map.height) == (previous.regions, previous.width, previous.height);
    if !same || strength <= 0.0 {
        return;
    }
    let cells = map.width * map.height;
    for cell in 0..cells {
        let values = || (0..map.regions).map(|region| region * cells + cell);
        // Total variation distance of the two distributions.
        let distance: f32 = values()
            .map(|at| (map.probabilities[at] - previous.probabilities[at]).abs())
            .sum::<f32>()
            / 2.0;
        let weight = strength * (1.0 - distance.min(1.0)).powi(2);
        for region in 0..map.regions {
            let at = region * cells + cell;
            let new = map.probabilities[at];
            map.probabilities[at] = new + (previous.probabilities[at] - new) * weight;
        }
    }
}

#[cfg(test)]
mod tests;
