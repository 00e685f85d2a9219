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
mod tests {
    use super::*;

    /// Statistics that NumPy counted (`tests/reference/davis_metrics.py`).
    #[test]
    fn agrees_with_numpy() {
        #[derive(Deserialize)]
        struct Case {
            values: Vec<f64>,
            mean: f64,
            recall: f64,
            decay: f64,
        }
        #[derive(Deserialize)]
        struct Reference {
            series: Vec<Case>,
        }
        let reference: Reference =
            serde_json::from_str(include_str!("../../tests/reference/davis_metrics.json")).unwrap();
        assert!(reference.series.len() >= 8);
        for case in reference.series {
            let found = Statistics::of(&case.values);
            for (found, expected) in [
                (found.mean, case.mean),
                (found.recall, case.recall),
                (found.decay, case.decay),
            ] {
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{found} instead of {expected}: {:?}",
                    case.values
                );
            }
        }
    }

    #[test]
    fn sequences_weigh_the_same() {
        let (short, long) = (Statistics::of(&[1.0]), Statistics::of(&[0.0; 30]));
        assert_eq!(
            Statistics::mean([short, long]),
            Statistics {
                mean: 0.5,
                recall: 0.5,
                decay: 0.0,
                start: 0.5
            }
        );
        assert_eq!(Statistics::of(&[]), Statistics::default());
        assert_eq!(Statistics::of(&[1.0, 0.5, 0.0, 0.0, 1.0, 0.9, 0.2]).start, 0.5);
    }
}
