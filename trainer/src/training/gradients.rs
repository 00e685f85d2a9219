//! Gradients by parameter, in the order in which the network lists its parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::AutodiffBackend;
use factorseg_model::Runtime;

use super::{Network, Tensor};

/// One flat gradient for each parameter; `None` for a parameter that took no part.
#[derive(Debug, Clone)]
pub struct Gradients(Vec<Option<Tensor<1>>>);

impl Gradients {
    /// Runs the backward pass of `loss` and takes the gradients of the network's parameters.
    pub fn of(loss: &Tensor<1>, network: &Network) -> Self {
        struct Collect {
            tape: <Runtime as AutodiffBackend>::Gradients,
            gradients: Vec<Option<Tensor<1>>>,
        }
        impl ModuleVisitor<Runtime> for Collect {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let gradient = param.val().grad_remove(&mut self.tape);
                self.gradients.push(gradient.map(flat));
            }
        }
        let mut collect = Collect {
            tape: loss.backward(),
            gradients: Vec::new(),
        };
        network.visit(&mut collect);
        Self(collect.gradients)
    }

    /// Adds the gradients of another micro-batch.
    pub fn add(&mut self, other: Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = match (sum.take(), more) {
                (Some(sum), Some(more)) => Some(sum + more),
                (one, other) => one.or(other),
            };
        }
    }

    /// Adds to the gradient of parameter `index`, if it takes part.
    pub fn add_to(&mut self, index: usize, more: Tensor<1>) {
        if let Some(sum) = self.0.get_mut(index).filter(|sum| sum.is_some()) {
            *sum = sum.take().map(|sum| sum + more);
        }
    }

    /// The gradient of parameter `index`, flat.
    pub fn get(&self, index: usize) -> Option<&Tensor<1>> {
        self.0.get(index).and_then(Option::as_ref)
    }

    /// Scales all gradients so that their common norm is at most `limit`.
    pub fn clip(&mut self, limit: f64) {
        let squares = self.0.iter().flatten().map(|gradient| gradient.clone().square().sum());
        let Some(sum) = squares.reduce(|sum, square| sum + square) else {
            return;
        };
        let scale = (sum.sqrt().add_scalar(1e-12).recip() * limit).clamp_max(1.0);
        for gradient in self.0.iter_mut().flatten() {
            *gradient = gradient.clone() * scale.clone();
        }
    }

    /// The gradient of parameter `index`, flat.
    pub fn take(&mut self, index: usize) -> Option<Tensor<1>> {
        self.0.get_mut(index).and_then(Option::take)
    }
}

/// Any tensor as one row of values.
pub fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}
