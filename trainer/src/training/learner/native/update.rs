//! Clipping and Adam.

use factorseg_kernels::AdamUpdate;

use super::NativeLearner;
use crate::recipe::Phase;
use crate::training::learner::MASK_GENERATOR;

impl NativeLearner {
    /// Clips the gradients and moves the parameters.
    pub(super) fn update(&mut self, phase: &Phase, rate: f64, clip: Option<f64>) {
        let (parameters, gradients) = self.network.parameters_and_gradients();
        if let Some(limit) = clip {
            let norm = self.math.square_sum(gradients).sqrt();
            let factor = limit / (norm + 1e-12);
            // A norm that is no number must not pass for a small one.
            if factor < 1.0 || factor.is_nan() {
                self.math.scale(gradients, factor as f32);
            }
        }
        let mut place = 0;
        while place < self.specs.len() {
            let plan = |place: usize| {
                let masks = self.specs[place].name.starts_with(MASK_GENERATOR);
                let factor = if masks {
                    phase.mask_generator_factor
                } else {
                    phase.denoiser_factor
                };
                // The mask generator has a gradient only where it makes the masks.
                let takes_part = !masks || phase.mask_head.is_learned();
                (if takes_part { rate * factor } else { 0.0 }, self.updates[place])
            };
            // Neighbours that are treated alike are one vector.
            let first = place;
            let (rate, updates) = plan(first);
            while place < self.specs.len() && plan(place) == (rate, updates) {
                place += 1;
            }
            if rate == 0.0 {
                continue;
            }
            let range = self.ranges[first].start..self.ranges[place - 1].end;
            if updates.is_none() {
                self.first[range.clone()].fill(0.0);
                self.second[range.clone()].fill(0.0);
            }
            let updates = updates.unwrap_or(0) + 1;
            let update = AdamUpdate {
                beta_1: self.adam.beta_1,
                beta_2: self.adam.beta_2,
                epsilon: self.adam.epsilon,
                weight_decay: self.adam.weight_decay,
                rate,
                updates,
            };
            self.math.adam(
                update,
                &mut parameters[range.clone()],
                &gradients[range.clone()],
                &mut self.first[range.clone()],
                &mut self.second[range],
            );
            self.updates[first..place].fill(Some(updates));
        }
    }
}
