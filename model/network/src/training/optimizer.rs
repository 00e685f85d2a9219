//! Clipping, Adam and the moving average, on the device.

use burn::tensor::backend::AutodiffBackend;
use factorseg_kernels::{Adam, Moments, Update};

use super::{Row, values};

/// Adam's memory of one parameter: the decaying means of its gradient and of the gradient's square, and the updates so far.
type Memory<B> = (Row<B>, Row<B>, u64);

/// What updates leave beside the weights, by parameter.
pub(super) struct Optimizer<B: AutodiffBackend> {
    /// `None` before the first update: what only computes gradients does without.
    average: Option<Vec<Row<B>>>,
    memory: Vec<Option<Memory<B>>>,
}

impl<B: AutodiffBackend> Optimizer<B> {
    pub(super) fn new(parameters: usize) -> Self {
        Self {
            average: None,
            memory: vec![None; parameters],
        }
    }

    pub(super) fn update(&mut self, weights: &mut [Row<B>], gradients: &mut [Option<Row<B>>], update: &Update<'_>) {
        // Weights that have not moved are their own average.
        let average = self.average.get_or_insert_with(|| weights.to_vec());
        if let Some(limit) = update.clip {
            clip::<B>(gradients, limit);
        }
        let places = weights
            .iter_mut()
            .zip(gradients)
            .zip(&mut self.memory)
            .zip(update.rates);
        for (((weight, gradient), memory), rate) in places {
            let Some(gradient) = gradient.as_ref().filter(|_| *rate != 0.0) else {
                continue;
            };
            let step = adam::<B>(memory, gradient.clone(), &update.adam);
            *weight = weight.clone() * (1.0 - rate * update.adam.weight_decay) - step * *rate;
        }
        for (average, weight) in average.iter_mut().zip(weights.iter()) {
            let apart = weight.clone() - average.clone();
            *average = average.clone() + apart * (1.0 - update.average_rate);
        }
    }

    pub(super) fn average(&self) -> Option<&[Row<B>]> {
        self.average.as_deref()
    }

    pub(super) fn moments(&self) -> Vec<Option<Moments>> {
        let read = |(first, second, updates): &Memory<B>| Moments {
            first: values(first.clone()),
            second: values(second.clone()),
            updates: *updates,
        };
        self.memory.iter().map(|memory| memory.as_ref().map(read)).collect()
    }

    pub(super) fn restore(&mut self, average: Vec<Row<B>>, memory: Vec<Option<Memory<B>>>) {
        (self.average, self.memory) = (Some(average), memory);
    }
}

/// Scales all gradients so that their common norm is at most `limit`.
fn clip<B: AutodiffBackend>(gradients: &mut [Option<Row<B>>], limit: f64) {
    let squares = gradients
        .iter()
        .flatten()
        .map(|gradient| gradient.clone().square().sum());
    let Some(sum) = squares.reduce(|sum, square| sum + square) else {
        return;
    };
    let scale = (sum.sqrt().add_scalar(1e-12).recip() * limit).clamp_max(1.0);
    for gradient in gradients.iter_mut().flatten() {
        *gradient = gradient.clone() * scale.clone();
    }
}

/// The step of a parameter in multiples of the learning rate (Kingma and Ba).
fn adam<B: AutodiffBackend>(memory: &mut Option<Memory<B>>, gradient: Row<B>, adam: &Adam) -> Row<B> {
    let (first, second) = (
        gradient.clone() * (1.0 - adam.beta_1),
        gradient.square() * (1.0 - adam.beta_2),
    );
    let (first, second, updates) = match memory.take() {
        Some((mean, square, updates)) => (mean * adam.beta_1 + first, square * adam.beta_2 + second, updates + 1),
        None => (first, second, 1),
    };
    *memory = Some((first.clone(), second.clone(), updates));
    let count = updates.min(i32::MAX as u64) as i32;
    let mean = first / (1.0 - adam.beta_1.powi(count));
    let deviation = (second / (1.0 - adam.beta_2.powi(count))).sqrt();
    mean / (deviation + adam.epsilon)
}
