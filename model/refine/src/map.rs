//! Pictures and their masks.

use crate::plane::Plane;

/// A picture as the network sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct InputImage {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Planar RGB, `[3, height, width]`, values from -1 (black) to 1.
    pub data: Vec<f32>,
}

impl InputImage {
    /// Red, green and blue, each from 0 to 1.
    pub(crate) fn colors(&self) -> [Plane; 3] {
        let pixels = self.width * self.height;
        [0, 1, 2].map(|channel: usize| Plane {
            width: self.width,
            height: self.height,
            values: self.data[channel * pixels..(channel + 1) * pixels]
                .iter()
                .map(|value| (value + 1.0) / 2.0)
                .collect(),
        })
    }
}

/// Soft region masks.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionMap {
    /// Number of regions, `K`.
    pub regions: usize,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// `[K, height, width]`, each value from 0 to 1, with sum 1 over `K`.
    pub probabilities: Vec<f32>,
}
