//! Learning from what another network says of the pictures.

use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::phase::Check;

/// The masks are learned from a teacher's instead of by denoising.
///
/// The teacher is a finished checkpoint with its color model. The student sees crops of the pictures with noise and with
/// other colours, and learns the masks that the teacher makes of the same crop without either: the loss is the cross
/// entropy of the student's masks with the teacher's, the mean over all pixels. No labels take part, but it is not the
/// denoising objective (Eq. 8) any more: that is what the teacher was trained with.
///
/// The decoder does not learn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfTraining {
    /// Strength of the changes to the colours that the student sees, from 0 (none) to 1; see
    /// [`crate::data::jitter`].
    pub jitter: f64,
    /// Share of a step's pictures that are frames of videos, learned from what moves on its own in them: the teacher's masks
    /// after the motion model, forward and backward in time. Frames where that is not sure are left out. 0: none is.
    pub motion: f64,
}

impl Default for SelfTraining {
    fn default() -> Self {
        Self {
            jitter: 0.3,
            motion: 0.0,
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
