//! What a learner is given and what it leaves behind.

use crate::data::batch::MicroBatch;
use crate::training::Tensor;
use crate::training::monitor::MaskFigures;

/// Mean squared error of the predicted noise over a batch; in self-training the cross entropy with the teacher's masks.
#[derive(Debug)]
pub enum Loss {
    /// Still on its device, `[1]`.
    Pending(Tensor<1>),
    /// At hand.
    Known(f32),
}

impl Loss {
    /// The number; waits for the device.
    pub fn value(self) -> f32 {
        match self {
            Self::Pending(tensor) => tensor.into_scalar(),
            Self::Known(value) => value,
        }
    }
}

/// Masks of a micro-batch.
#[derive(Debug)]
pub enum MaskBatch {
    /// Still on their device, `[images, K, height, width]`.
    Device(Tensor<4>),
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
            Self::Device(masks) => {
                let [images, regions, _, _] = masks.dims();
                let values: Vec<f32> = masks.into_data().iter::<f32>().collect();
                MaskFigures::of(&values, images, regions)
            }
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
    /// The loss.
    pub loss: Loss,
    /// Masks of the last micro-batch; `None` while they are not learned.
    pub masks: Option<MaskBatch>,
}
