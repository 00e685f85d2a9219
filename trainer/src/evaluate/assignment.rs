//! Which regions are the object: a set of regions, one for a whole data set.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use factorseg_model::EngineInfo;

use super::metrics::highest;

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

    /// The regions that are not in the set, of so many.
    pub fn complement(self, regions: usize) -> Self {
        Self(!self.0 & ((1u32 << regions.min(MOST_REGIONS)) - 1))
    }

    /// Which pixels are foreground, of an image with these regions.
    pub fn mask(self, regions: &[u8]) -> impl Iterator<Item = bool> {
        regions.iter().map(move |region| self.holds(*region))
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

/// How the regions that are the object are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Foreground {
    /// Fitted on the part of the data that is not scored.
    #[default]
    Fit,
    /// As the checkpoint says.
    Checkpoint,
    /// These, as indices; their words count from 1.
    Regions(Vec<usize>),
}

impl FromStr for Foreground {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fit" => Ok(Self::Fit),
            "checkpoint" => Ok(Self::Checkpoint),
            list => list
                .split(',')
                .map(|region| region.trim().parse::<usize>().ok()?.checked_sub(1))
                .collect::<Option<_>>()
                .map(Self::Regions)
                .ok_or_else(|| "expected `fit`, `checkpoint`, or regions from 1 such as `1,3`".to_owned()),
        }
    }
}

impl fmt::Display for Foreground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fit => "fitted",
            Self::Checkpoint => "of the checkpoint",
            Self::Regions(_) => "as named",
        })
    }
}

impl Foreground {
    /// The assignment for a model: what was named, or the one of all that scores best.
    ///
    /// # Errors
    /// If there are too many regions to try, the checkpoint names none, or a region does not exist.
    pub fn assign(&self, info: &EngineInfo, score: impl Fn(Assignment) -> f64) -> Result<Assignment> {
        let regions = info.regions;
        if regions > MOST_REGIONS {
            bail!("the model has {regions} regions; assignments are fitted for up to {MOST_REGIONS}");
        }
        let named = match self {
            Self::Fit => {
                let best = highest(Assignment::all(regions), |assignment| score(*assignment));
                return Ok(best.unwrap_or(Assignment(1)));
            }
            Self::Checkpoint if info.foreground_regions.is_empty() => {
                bail!("the checkpoint does not say which regions are the foreground; use --foreground fit")
            }
            Self::Checkpoint => &info.foreground_regions,
            Self::Regions(named) => named,
        };
        if let Some(region) = named.iter().find(|region| **region >= regions) {
            bail!(
                "there is no region {}; the model has {regions}, counted from 1",
                region + 1
            );
        }
        Ok(Assignment(named.iter().fold(0, |set, region| set | 1 << region)))
    }
}

/// The most probable region of each pixel; `probabilities` is `[regions, pixels]`.
pub fn labels(probabilities: &[f32], regions: usize) -> Vec<u8> {
    let pixels = probabilities.len() / regions.max(1);
    let mut most = probabilities[..pixels].to_vec();
    let mut labels = vec![0; pixels];
    for (region, plane) in probabilities.chunks_exact(pixels.max(1)).enumerate().skip(1) {
        for ((most, label), value) in most.iter_mut().zip(&mut labels).zip(plane) {
            if *value >= *most {
                (*most, *label) = (*value, region as u8);
            }
        }
    }
    labels
}

#[cfg(test)]
mod tests;
