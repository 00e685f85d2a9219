//! Pictures and their masks.

use crate::plane::{Plane, halve};
use crate::vectorised;

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
        let (width, height) = (self.width / 2, self.height / 2);
        let mut data = Vec::with_capacity(3 * width * height);
        for channel in 0..3 {
            let plane = channel * self.width * self.height..(channel + 1) * self.width * self.height;
            halve(&self.data[plane], (self.width, self.height), &mut data);
        }
        Self { width, height, data }
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
        let sums = self.sum(&vec![true; self.regions]);
        self.is_whole()
            && self
                .probabilities
                .iter()
                .fold(true, |all, p| all & (0.0..=1.0).contains(p))
            && sums.iter().fold(true, |all, sum| all & ((sum - 1.0).abs() < 1e-3))
    }

    /// The probability in each cell of these regions together.
    pub fn sum(&self, members: &[bool]) -> Vec<f32> {
        let mut sums = vec![0.0; self.width * self.height];
        for region in (0..members.len()).filter(|region| members[*region]) {
            let plane = &self.probabilities[region * sums.len()..];
            sums.iter_mut().zip(plane).for_each(|(sum, p)| *sum += p);
        }
        sums
    }

    /// Gives the foreground's regions `object` together in each cell, and the others the rest: each as much as it had of its
    /// group, and all alike where the group had nothing.
    pub fn share_out_all(&mut self, foreground: &[bool], object: &[f32]) {
        for kind in [false, true] {
            let members: Vec<bool> = foreground.iter().map(|is| *is == kind).collect();
            let before = self.sum(&members);
            let alike = 1.0 / members.iter().filter(|is| **is).count() as f32;
            for region in (0..members.len()).filter(|region| members[*region]) {
                let plane = &mut self.probabilities[region * before.len()..][..before.len()];
                share(plane, &before, object, kind, alike);
            }
        }
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
                .map(|plane| plane.resized(width, height).values)
                .collect::<Vec<_>>()
                .concat(),
        }
    }
}

vectorised! {
    /// Gives the cells of a region their shares of `object`, or of what it leaves.
    fn share(plane: &mut [f32], before: &[f32], object: &[f32], is_object: bool, alike: f32) {
        for ((value, before), object) in plane.iter_mut().zip(before).zip(object) {
            let share = if *before > f32::MIN_POSITIVE { *value / before } else { alike };
            *value = share * if is_object { *object } else { 1.0 - object };
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
