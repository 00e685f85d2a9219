//! What a step leaves behind.

use crate::training::watching::monitor::MaskFigures;

/// Masks of a micro-batch.
#[derive(Debug)]
pub struct MaskBatch {
    /// `[images, K, height, width]`, flat.
    pub values: Vec<f32>,
    /// Images.
    pub images: usize,
    /// Regions K.
    pub regions: usize,
}

impl MaskBatch {
    /// What can be said about them.
    pub fn figures(&self) -> MaskFigures {
        MaskFigures::of(&self.values, self.images, self.regions)
    }
}

/// What one step leaves behind.
#[derive(Debug)]
pub struct StepOutcome {
    /// The loss over the batch: the mean squared error of the predicted noise, in self-training the cross entropy with the
    /// teacher's masks.
    pub loss: f32,
    /// Masks of the last micro-batch; `None` while they are not learned.
    pub masks: Option<MaskBatch>,
}
