//! Agreement of two foreground masks.

use serde::{Deserialize, Serialize};

use crate::data::masks::Mark;

/// What is known of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// Not the object.
    Background,
    /// The object.
    Foreground,
    /// Left out of all scores (drawn borders).
    Ignored,
}

impl From<Mark> for Truth {
    fn from(mark: Mark) -> Self {
        match mark {
            Mark::Background => Self::Background,
            Mark::Object => Self::Foreground,
            Mark::Void => Self::Ignored,
        }
    }
}

impl From<bool> for Truth {
    fn from(foreground: bool) -> Self {
        if foreground { Self::Foreground } else { Self::Background }
    }
}

/// The scores of the fg/bg protocol, each from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of pixels that agree.
    pub accuracy: f64,
    /// Intersection over union of the foreground; 1 if both are empty.
    pub iou: f64,
    /// Twice the intersection over the sum of both areas; 1 if both are empty.
    pub dice: f64,
    /// Mean of the foreground's and the background's intersection over union.
    pub mean_iou: f64,
}

impl Scores {
    /// Scores of a predicted foreground against the truth.
    pub fn of(predicted: impl IntoIterator<Item = bool>, truth: &[Truth]) -> Self {
        RegionCounts::of(predicted.into_iter().map(u8::from), truth, 2).scores(|region| region == 1)
    }

    fn of_counts([both, predicted_only, truth_only, neither]: [u64; 4]) -> Self {
        let ratio = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
        let wrong = predicted_only + truth_only;
        let iou = ratio(both, both + wrong);
        Self {
            accuracy: ratio(both + neither, both + neither + wrong),
            iou,
            dice: ratio(2 * both, 2 * both + wrong),
            mean_iou: (iou + ratio(neither, neither + wrong)) / 2.0,
        }
    }

    /// The larger value of each score.
    pub fn best(self, other: Self) -> Self {
        self.combine(other, f64::max)
    }

    /// Means over images; zeros for none.
    pub fn mean(all: impl IntoIterator<Item = Self>) -> Self {
        let (mut sum, mut count) = (Self::default(), 0u64);
        for scores in all {
            sum = sum.combine(scores, |a, b| a + b);
            count += 1;
        }
        let count = count.max(1) as f64;
        sum.combine(sum, |value, _| value / count)
    }

    fn combine(self, other: Self, with: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            accuracy: with(self.accuracy, other.accuracy),
            iou: with(self.iou, other.iou),
            dice: with(self.dice, other.dice),
            mean_iou: with(self.mean_iou, other.mean_iou),
        }
    }
}

/// How many pixels of an image each region has on the object and beside it: the scores of every set of regions follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionCounts(Vec<[u64; 2]>);

impl RegionCounts {
    /// Counts the pixels of regions below `count`.
    pub fn of(regions: impl IntoIterator<Item = u8>, truth: &[Truth], count: usize) -> Self {
        let mut counts = vec![[0; 2]; count];
        for (region, truth) in regions.into_iter().zip(truth) {
            match truth {
                Truth::Foreground => counts[usize::from(region)][0] += 1,
                Truth::Background => counts[usize::from(region)][1] += 1,
                Truth::Ignored => {}
            }
        }
        Self(counts)
    }

    /// Scores of the regions that `holds` says are foreground.
    pub fn scores(&self, holds: impl Fn(u8) -> bool) -> Scores {
        let mut counts = [0; 4];
        for (region, [object, beside]) in self.0.iter().enumerate() {
            let at = if holds(region as u8) { 0 } else { 2 };
            counts[at] += object;
            counts[at + 1] += beside;
        }
        Scores::of_counts(counts)
    }
}

/// The first of the candidates that score highest.
pub fn highest<T>(candidates: impl IntoIterator<Item = T>, score: impl Fn(&T) -> f64) -> Option<T> {
    let mut best = None;
    for candidate in candidates {
        let score = score(&candidate);
        if best.as_ref().is_none_or(|(_, highest)| score > *highest) {
            best = Some((candidate, score));
        }
    }
    best.map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests;
