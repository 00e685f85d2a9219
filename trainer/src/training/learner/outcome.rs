//! What a learner is given and what it leaves behind.

use crate::data::batch::MicroBatch;
use crate::training::watching::monitor::MaskFigures;

/// Masks of a micro-batch.
#[derive(Debug)]
pub enum MaskBatch {
    /// What was found out about them elsewhere.
    Figures(MaskFigures),
    /// At hand.
    Host {
        /// `[images, K, height, width]`, flat.
        values: Vec<f32>,
        /// Images.
        images: usize,
        /// Regions K.
        regions: usize,
    },
}

impl MaskBatch {
    /// What can be said about them.
    pub fn figures(self) -> MaskFigures {
        match self {
            Self::Figures(figures) => figures,
            Self::Host {
                values,
                images,
                regions,
            } => MaskFigures::of(&values, images, regions),
        }
    }
}

/// Some micro-batches of a step.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    /// 0-based step.
    pub step: u64,
    /// Index of the first of them within the batch.
    pub first: usize,
    /// The micro-batches.
    pub parts: &'a [MicroBatch],
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
