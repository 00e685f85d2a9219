//! Exponential moving average of the weights: what samples and segments.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use factorseg_model::Runtime;

use super::gradients::flat;
use super::{Network, Tensor};

/// The averaged network, on the device without a gradient tape.
#[derive(Debug)]
pub struct Average {
    rate: f64,
    /// The average.
    pub network: Network,
}

impl Average {
    /// An average at `rate` that starts at `network` (without a gradient tape).
    pub fn new(rate: f64, network: Network) -> Self {
        Self { rate, network }
    }

    /// Rate at `step`: the average follows faster at first, as `(1 + step) / (10 + step)`, so that
    /// it does not remember the random start.
    pub fn rate_at(rate: f64, step: u64) -> f64 {
        rate.min((1.0 + step as f64) / (10.0 + step as f64))
    }

    /// Moves towards `network` after `step` steps.
    pub fn update(&mut self, network: &Network, step: u64) {
        let rate = Self::rate_at(self.rate, step);
        self.combine(network, &|_, average, value| average * rate + value * (1.0 - rate));
    }

    /// Takes over the parameters for which `take` is true, by their index.
    pub fn copy(&mut self, network: &Network, take: &[bool]) {
        self.combine(network, &|index, average, value| {
            if take[index] { value } else { average }
        });
    }

    fn combine(&mut self, network: &Network, function: &dyn Fn(usize, Tensor<1>, Tensor<1>) -> Tensor<1>) {
        let values = values(network);
        self.network = self.network.clone().map(&mut Combine {
            values: values.into_iter().enumerate(),
            function,
        });
    }
}

struct Combine<'a, I> {
    values: I,
    function: &'a dyn Fn(usize, Tensor<1>, Tensor<1>) -> Tensor<1>,
}

impl<I: Iterator<Item = (usize, Tensor<1>)>> ModuleMapper<Runtime> for Combine<'_, I> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((index, value)) = self.values.next() else {
            return param;
        };
        let (id, tensor, mapper) = param.consume();
        let shape = tensor.shape();
        let combined = (self.function)(index, flat(tensor), value).reshape(shape);
        Param::from_mapped_value(id, combined, mapper)
    }
}

/// All parameters of a network with a gradient tape, flat and without the tape.
fn values(network: &Network) -> Vec<Tensor<1>> {
    struct Collect(Vec<Tensor<1>>);
    impl ModuleVisitor<Runtime> for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(flat(param.val().inner()));
        }
    }
    let mut collect = Collect(Vec::new());
    network.visit(&mut collect);
    collect.0
}
