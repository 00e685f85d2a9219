//! The plan behind [`SegmentationPass`].

use std::sync::Arc;

use super::{PlanOptions, SegmentationPlan};
use crate::KernelError;
use crate::passes::{Noising, SegmentationPass};

impl SegmentationPass for SegmentationPlan {
    fn condition(&mut self, timestep: usize, class: usize) -> Result<(), KernelError> {
        SegmentationPlan::condition(self, timestep, class)
    }

    fn masks(&mut self, pictures: &[f32], noising: &Arc<Noising>) -> Result<Vec<f32>, KernelError> {
        let ((width, height), count) = (noising.size, noising.pictures(pictures));
        let batch = count * noising.samples;
        if (self.options.height, self.options.width) != (height, width) || self.options.batch < batch {
            *self = self.resized(PlanOptions {
                height,
                width,
                batch,
                ..self.options.clone()
            })?;
        }
        let mut masks = vec![0.0; batch * self.architecture.regions * height * width];
        self.run(&noising.noised(pictures), &mut masks)?;
        Ok(noising.mean(count, masks))
    }
}
