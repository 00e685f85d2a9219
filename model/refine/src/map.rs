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
    /// Half as wide and high: means of 2x2 pixels; an odd column or row at the end is left out.
    #[must_use]
    pub fn halved(&self) -> Self {
        let planes = [0, 1, 2].map(|channel| self.plane(channel).halved());
        Self {
            width: self.width / 2,
            height: self.height / 2,
            data: planes.into_iter().flat_map(|plane| plane.values).collect(),
        }
    }

    fn plane(&self, channel: usize) -> Plane {
        let pixels = self.width * self.height;
        Plane {
            width: self.width,
            height: self.height,
            values: self.data[channel * pixels..(channel + 1) * pixels].to_vec(),
        }
    }

    /// Red, green and blue, each from 0 to 1.
    pub(crate) fn colors(&self) -> [Plane; 3] {
        [0, 1, 2].map(|channel| self.plane(channel).map(|value| (value + 1.0) / 2.0))
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

impl RegionMap {
    /// The probabilities of each region.
    pub fn planes(&self) -> Vec<Plane> {
        let cells = self.width * self.height;
        (0..self.regions)
            .map(|region| Plane {
                width: self.width,
                height: self.height,
                values: self.probabilities[region * cells..(region + 1) * cells].to_vec(),
            })
            .collect()
    }

    /// Interpolated linearly to another size, pixel centres at half coordinates; sums stay 1.
    #[must_use]
    pub fn resized(&self, width: usize, height: usize) -> Self {
        if (self.width, self.height) == (width, height) {
            return self.clone();
        }
        let planes = self.planes();
        Self {
            regions: self.regions,
            width,
            height,
            probabilities: planes
                .iter()
                .flat_map(|plane| plane.resized(width, height).values)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resizing_is_bilinear_and_keeps_sums() {
        let map = RegionMap {
            regions: 2,
            width: 2,
            height: 1,
            probabilities: vec![0.0, 1.0, 1.0, 0.0],
        };
        let large = map.resized(4, 2);
        assert_eq!(&large.probabilities[..4], [0.0, 0.25, 0.75, 1.0]);
        for pixel in 0..8 {
            assert!((large.probabilities[pixel] + large.probabilities[8 + pixel] - 1.0).abs() < 1e-6);
        }
        assert_eq!(map.resized(2, 1), map);
    }
}
