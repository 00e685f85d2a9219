//! Which regions are the object: a set of regions, one for a whole data set.

/// Regions beyond which sets are not tried one by one.
pub const MOST_REGIONS: usize = 10;

/// A set of regions that together are the foreground, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment(pub u32);

impl Assignment {
    /// Every set but the empty and the full one; for one region, that region.
    pub fn all(regions: usize) -> Vec<Self> {
        let full = (1u32 << regions.min(MOST_REGIONS)) - 1;
        if regions == 1 {
            vec![Self(1)]
        } else {
            (1..full).map(Self).collect()
        }
    }

    /// Whether `region` is foreground.
    pub fn holds(self, region: u8) -> bool {
        self.0 >> region & 1 == 1
    }

    /// The regions in the set.
    pub fn regions(self) -> Vec<usize> {
        (0..u32::BITS as usize)
            .filter(|region| self.0 >> region & 1 == 1)
            .collect()
    }
}

/// The most probable region of each pixel; `probabilities` is `[regions, pixels]`.
pub fn labels(probabilities: &[f32], regions: usize) -> Vec<u8> {
    let pixels = probabilities.len() / regions.max(1);
    (0..pixels)
        .map(|pixel| {
            (0..regions)
                .max_by(|a, b| probabilities[a * pixels + pixel].total_cmp(&probabilities[b * pixels + pixel]))
                .unwrap_or(0) as u8
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_regions_have_six_assignments() {
        let all = Assignment::all(3);
        assert_eq!(
            all.iter().map(|a| a.regions()).collect::<Vec<_>>(),
            [vec![0], vec![1], vec![0, 1], vec![2], vec![0, 2], vec![1, 2]]
        );
        assert_eq!(Assignment::all(1), [Assignment(1)]);
        assert!(Assignment(0b101).holds(2) && !Assignment(0b101).holds(1));
    }

    #[test]
    fn labels_are_the_largest() {
        assert_eq!(labels(&[0.1, 0.6, 0.2, 0.3, 0.7, 0.1], 3), [2, 0]);
    }
}
