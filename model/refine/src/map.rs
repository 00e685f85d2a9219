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
        let planes = [0, 1, 2].map(|channel| plane(&self.data, channel, self.width, self.height).halved());
        Self {
            width: self.width / 2,
            height: self.height / 2,
            data: planes.into_iter().flat_map(|plane| plane.values).collect(),
        }
    }

    /// Red, green and blue, each from 0 to 1.
    pub(crate) fn colors(&self) -> [Plane; 3] {
        [0, 1, 2].map(|channel| {
            let mut plane = plane(&self.data, channel, self.width, self.height);
            plane.values.iter_mut().for_each(|value| *value = (*value + 1.0) / 2.0);
            plane
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

impl RegionMap {
    /// Whether there are as many values as its size says.
    pub fn is_whole(&self) -> bool {
        self.probabilities.len() == self.regions * self.width * self.height
    }

    /// Whether the values are from 0 to 1, with sum 1 over the regions to within a thousandth.
    pub fn sums_to_one(&self) -> bool {
        let cells = self.width * self.height;
        let place = |cell: usize| (0..self.regions).map(move |region| region * cells + cell);
        self.is_whole()
            && self.probabilities.iter().all(|p| (0.0..=1.0).contains(p))
            && (0..cells).all(|cell| {
                let sum: f32 = place(cell).map(|at| self.probabilities[at]).sum();
                (sum - 1.0).abs() < 1e-3
            })
    }

    /// Gives the foreground's regions of a cell `object` together, and the others `rest`: each as much as it had of its group, and
    /// all alike where the group had nothing.
    pub fn share_out(&mut self, cell: usize, foreground: &[bool], (rest, object): (f32, f32)) {
        let cells = self.width * self.height;
        for (kind, now) in [(false, rest), (true, object)] {
            let members = || (0..foreground.len()).filter(|region| foreground[*region] == kind);
            let before: f32 = members().map(|region| self.probabilities[region * cells + cell]).sum();
            for region in members() {
                let value = &mut self.probabilities[region * cells + cell];
                *value = match before > f32::MIN_POSITIVE {
                    true => now * (*value / before),
                    false => now / members().count() as f32,
                };
            }
        }
    }

    /// The probability of a cell's background and of its foreground.
    pub fn sums(&self, cell: usize, foreground: &[bool]) -> (f32, f32) {
        let cells = self.width * self.height;
        let sum = |kind: bool| {
            let members = (0..foreground.len()).filter(|region| foreground[*region] == kind);
            members.map(|region| self.probabilities[region * cells + cell]).sum()
        };
        (sum(false), sum(true))
    }

    /// The probabilities of each region.
    pub fn planes(&self) -> Vec<Plane> {
        (0..self.regions)
            .map(|region| plane(&self.probabilities, region, self.width, self.height))
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

/// One of several planes that lie one after the other.
fn plane(values: &[f32], index: usize, width: usize, height: usize) -> Plane {
    let cells = width * height;
    Plane {
        width,
        height,
        values: values[index * cells..(index + 1) * cells].to_vec(),
    }
}

#[cfg(test)]
mod tests;
