//! Clipping, Adam and the average.

use factorseg_kernels::AdamUpdate;

use super::{Memory, NativeLearner};
use crate::recipe::{Phase, Recipe};
use crate::training::ema::Average;
use crate::training::learner::names::rate_factor;
use crate::training::timing::{self, Part};

impl NativeLearner {
    /// Moves weights and average by the gradient, which ends step `step` of all and `phase_step` of `phase`.
    pub fn apply(&mut self, step: u64, recipe: &Recipe, phase: &Phase, phase_step: u64) {
        timing::start();
        let memory = self
            .memory
            .get_or_insert_with(|| Memory::new(self.network.parameters()));
        let (parameters, gradients) = self.network.parameters_and_gradients();
        if let Some(limit) = recipe.gradient_clip {
            let norm = self.math.square_sum(gradients).sqrt();
            let factor = limit / (norm + 1e-12);
            // A norm that is no number must not pass for a small one.
            if factor < 1.0 || factor.is_nan() {
                self.math.scale(gradients, factor as f32);
            }
        }
        let rate = phase.learning_rate_at(phase_step);
        let mut place = 0;
        while place < self.specs.len() {
            let plan = |place: usize| {
                let factor = rate_factor(recipe, phase, &self.specs[place].name);
                (rate * factor, self.updates[place])
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
                memory.first[range.clone()].fill(0.0);
                memory.second[range.clone()].fill(0.0);
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
                &mut memory.first[range.clone()],
                &mut memory.second[range],
            );
            self.updates[first..place].fill(Some(updates));
        }
        let average_rate = Average::rate_at(self.average_rate, step);
        self.math.average(&mut memory.average, parameters, average_rate);
        timing::lap(Part::Optimizer);
    }
}
