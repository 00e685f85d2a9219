//! Adam with decoupled weight decay, a learning rate for each part, and a state that can be saved
//! and restored bit for bit.

use burn::module::{Module, ModuleMapper, Param};
use factorseg_model::Runtime;

use super::gradients::Gradients;
use super::{Network, Tensor};
use crate::recipe::AdamConfig;

/// Adam's memory of one parameter.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Decaying mean of the gradient, flat.
    pub first: Tensor<1>,
    /// Decaying mean of its square, flat.
    pub second: Tensor<1>,
    /// Updates so far, for the bias correction.
    pub updates: u64,
}

/// Adam (Kingma and Ba), parameter by parameter in the order in which the network lists them.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    /// Memory of each parameter; `None` before its first update.
    pub moments: Vec<Option<Moments>>,
}

impl Adam {
    /// Without memory, for a network of `parameters` parameter tensors.
    pub fn new(config: AdamConfig, parameters: usize) -> Self {
        Self {
            config,
            moments: vec![None; parameters],
        }
    }

    /// Forgets all moments.
    pub fn reset(&mut self) {
        self.moments.fill(None);
    }

    /// Moves every parameter that has a gradient; `rates[i]` is the learning rate of parameter `i`.
    /// A rate of 0 leaves the parameter and its moments alone.
    pub fn step(&mut self, network: Network, gradients: Gradients, rates: &[f64]) -> Network {
        network.map(&mut Update {
            adam: self,
            gradients,
            rates,
            index: 0,
        })
    }

    fn delta(&mut self, index: usize, gradient: Tensor<1>) -> Tensor<1> {
        let AdamConfig {
            beta_1,
            beta_2,
            epsilon,
            ..
        } = self.config;
        let moments = match self.moments[index].take() {
            Some(Moments { first, second, updates }) => Moments {
                first: first * beta_1 + gradient.clone() * (1.0 - beta_1),
                second: second * beta_2 + gradient.square() * (1.0 - beta_2),
                updates: updates + 1,
            },
            None => Moments {
                first: gradient.clone() * (1.0 - beta_1),
                second: gradient.square() * (1.0 - beta_2),
                updates: 1,
            },
        };
        let updates = moments.updates.min(i32::MAX as u64) as i32;
        let first = moments.first.clone() / (1.0 - beta_1.powi(updates));
        let second = moments.second.clone() / (1.0 - beta_2.powi(updates));
        self.moments[index] = Some(moments);
        first / (second.sqrt() + epsilon)
    }
}

struct Update<'a> {
    adam: &'a mut Adam,
    gradients: Gradients,
    rates: &'a [f64],
    index: usize,
}

impl ModuleMapper<Runtime> for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let index = self.index;
        self.index += 1;
        let rate = self.rates[index];
        let Some(gradient) = self.gradients.take(index).filter(|_| rate != 0.0) else {
            return param;
        };
        let (id, tensor, mapper) = param.consume();
        let shape = tensor.shape();
        let mut value = tensor.inner();
        if self.adam.config.weight_decay > 0.0 {
            value = value * (1.0 - rate * self.adam.config.weight_decay);
        }
        let delta = self.adam.delta(index, gradient) * rate;
        let value = Tensor::from_inner(value - delta.reshape(shape)).require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use factorseg_model::DeviceSpec;

    /// Numbers of `torch.optim.AdamW(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0)` on two
    /// parameters with the gradients below (PyTorch 2.9).
    #[test]
    fn agrees_with_pytorch() {
        let device = DeviceSpec::Cpu.resolve().unwrap();
        let config = AdamConfig {
            beta_1: 0.9,
            beta_2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.0,
        };
        let mut adam = Adam::new(config, 1);
        let mut value = [1.0f32, -2.0];
        for (gradient, expected) in [
            ([0.5f32, -1.0], PYTORCH[0]),
            ([0.25, 3.0], PYTORCH[1]),
            ([-2.0, 0.125], PYTORCH[2]),
        ] {
            let gradient = Tensor::<1>::from_data(TensorData::new(gradient.to_vec(), [2]), &device);
            let delta: Vec<f32> = adam.delta(0, gradient).into_data().iter::<f32>().collect();
            for i in 0..2 {
                value[i] -= 0.1 * delta[i];
                assert!((value[i] - expected[i]).abs() < 1e-6, "{value:?} {expected:?}");
            }
        }
    }

    const PYTORCH: [[f32; 2]; 3] = [[0.9, -1.9], [0.8066552, -1.9493298], [0.84863636, -1.9900442]];
}
