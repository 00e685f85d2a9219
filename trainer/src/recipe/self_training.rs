//! Learning from what another network says of the pictures.

use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::phase::Check;

/// The masks are learned from a teacher's, or from labels, instead of by denoising.
///
/// The teacher is a finished checkpoint with its color model. The student sees crops of the pictures with noise and with
/// other colours, and learns the masks that the teacher makes of the same crop without either: the loss is the cross
/// entropy of the student's masks with the teacher's, the mean over all pixels. No labels take part, but it is not the
/// denoising objective (Eq. 8) any more: that is what the teacher was trained with.
///
/// The decoder does not learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfTraining {
    /// Strength of the changes to the colours that the student sees, from 0 (none) to 1; see
    /// [`crate::data::jitter`].
    pub jitter: f64,
    /// Share of a step's pictures that are frames of videos, learned from what moves on its own in them: the teacher's masks
    /// after the motion model, forward and backward in time. Frames where that is not sure are left out. 0: none is.
    pub motion: f64,
    /// No teacher but the labels of a data set are learned: the supervised network of the paper's Tables 3 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// The labels of a data set that `evaluate` reads, of the pictures that it fits on: it scores the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    /// Sub-folder with the maps, where the layout does not say otherwise; empty: `masks`.
    pub maps: String,
    /// The classes of pixels beside the background, such as `hair=13`, as `evaluate parts --class-of` takes them. Empty: the
    /// object, as in `evaluate still`.
    pub classes: Vec<String>,
}

impl Labels {
    /// Regions that learn them: the background and each class.
    pub fn regions(&self) -> usize {
        1 + self.classes.len().max(1)
    }

    /// Sub-folder with the maps.
    pub fn maps(&self) -> &str {
        match self.maps.as_str() {
            "" => "masks",
            maps => maps,
        }
    }
}

impl Default for SelfTraining {
    fn default() -> Self {
        Self {
            jitter: 0.3,
            motion: 0.0,
            labels: None,
        }
    }
}

impl SelfTraining {
    pub(super) fn validate(&self, check: &Check<'_>) -> Result<(), RecipeError> {
        check(
            "self_training.jitter",
            self.jitter.to_string(),
            (0.0..=1.0).contains(&self.jitter),
            "a number from 0 to 1",
        )?;
        check(
            "self_training.motion",
            self.motion.to_string(),
            (0.0..=1.0).contains(&self.motion),
            "a number from 0 to 1",
        )
    }
}
