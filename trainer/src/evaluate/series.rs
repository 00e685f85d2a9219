//! What DAVIS reports of a measure over a sequence of frames.

use serde::{Deserialize, Serialize};

/// A frame above this counts as found.
const RECALL_ABOVE: f64 = 0.5;

/// Frames of a sequence's start: a viewer sees them before motion has told much.
const START: usize = 5;

/// Mean, recall, decay and start of a measure over the frames of a sequence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Mean over frames.
    pub mean: f64,
    /// Share of frames above one half.
    pub recall: f64,
    /// Mean of the first quarter of the frames minus that of the last: what is lost over time.
    pub decay: f64,
    /// Mean of the first five frames.
    pub start: f64,
}

impl Statistics {
    /// Of the values of a sequence's frames; zeros for none.
    pub fn of(values: &[f64]) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        // Quarters share the frame between them, as in the reference code.
        let quarter = |index: usize| {
            let edge =
                |at: usize| (1.0 + at as f64 * (values.len() - 1) as f64 / 4.0 + 1e-10).round_ties_even() as usize - 1;
            mean(&values[edge(index)..=edge(index + 1)])
        };
        Self {
            mean: mean(values),
            recall: values.iter().filter(|value| **value > RECALL_ABOVE).count() as f64 / values.len() as f64,
            decay: quarter(0) - quarter(3),
            start: mean(&values[..START.min(values.len())]),
        }
    }

    /// Means over sequences, each of the same weight; zeros for none.
    pub fn mean(all: impl IntoIterator<Item = Self>) -> Self {
        let (mut sum, mut count) = (Self::default(), 0u64);
        for statistics in all {
            sum.mean += statistics.mean;
            sum.recall += statistics.recall;
            sum.decay += statistics.decay;
            sum.start += statistics.start;
            count += 1;
        }
        let count = count.max(1) as f64;
        Self {
            mean: sum.mean / count,
            recall: sum.recall / count,
            decay: sum.decay / count,
            start: sum.start / count,
        }
    }
}

#[cfg(test)]
mod tests;
