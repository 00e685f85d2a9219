//! Walks over a module's parameters by name: what checkpoints, optimizers and counts are made from.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor};

/// Fields that names do without: a name reads the same in a whole network and in its parts
/// ([`MaskNetwork`](crate::MaskNetwork), [`Conditioning`](crate::embedding::Conditioning)).
const TRANSPARENT: [&str; 2] = ["mask_network", "conditioning"];

/// Name and shape of one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Field path, such as `encoder.levels.0.blocks.1.residual.conv_1.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// The field path of the parameter that a walk stands at.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn enter(&mut self, field: &str) {
        self.0.push(field.to_owned());
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn name(&self) -> String {
        let fields = self.0.iter().map(String::as_str);
        fields
            .filter(|field| !TRANSPARENT.contains(field))
            .collect::<Vec<_>>()
            .join(".")
    }
}

/// Names and shapes of all parameters in the order of the fields. Draws no weights.
pub fn parameter_specs<B: Backend, M: Module<B>>(module: &M) -> Vec<ParameterSpec> {
    #[derive(Default)]
    struct Collect {
        path: Path,
        specs: Vec<ParameterSpec>,
    }

    impl<B: Backend> ModuleVisitor<B> for Collect {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.enter(name);
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            self.specs.push(ParameterSpec {
                name: self.path.name(),
                shape: param.lazy_shape().to_vec(),
            });
        }
    }

    let mut collect = Collect::default();
    module.visit(&mut collect);
    collect.specs
}

/// Number of scalars in all parameters. Draws no weights.
pub fn parameter_count<B: Backend, M: Module<B>>(module: &M) -> usize {
    parameter_specs(module)
        .iter()
        .map(|spec| spec.shape.iter().product::<usize>())
        .sum()
}

/// Calls `visit` with name, shape and values (row-major, as `f32`) of each parameter.
pub fn visit_values<B: Backend, M: Module<B>>(module: &M, visit: impl FnMut(&str, &[usize], Vec<f32>)) {
    struct Values<F> {
        path: Path,
        visit: F,
    }

    impl<B: Backend, F: FnMut(&str, &[usize], Vec<f32>)> ModuleVisitor<B> for Values<F> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.enter(name);
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            let values = param.val().into_data().iter::<f32>().collect();
            (self.visit)(&self.path.name(), &param.lazy_shape(), values);
        }
    }

    module.visit(&mut Values {
        path: Path::default(),
        visit,
    });
}

/// Replaces each parameter by `map(name, shape, parameter)`, keeping its identity, device and gradient setting.
///
/// The closure returns the new values, row-major, or `None` to leave the parameter as it is.
///
/// # Panics
/// If the values are not as many as the shape has places: check before calling.
pub fn map_values<B: Backend, M: Module<B>>(module: M, map: impl FnMut(&str, &[usize]) -> Option<Vec<f32>>) -> M {
    struct Replace<F> {
        path: Path,
        map: F,
    }

    impl<B: Backend, F: FnMut(&str, &[usize]) -> Option<Vec<f32>>> ModuleMapper<B> for Replace<F> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.enter(name);
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.exit();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            let shape = param.lazy_shape();
            match (self.map)(&self.path.name(), &shape) {
                Some(values) => {
                    let data = burn::tensor::TensorData::new(values, shape);
                    let tensor = Tensor::from_data(data, &param.lazy_device());
                    let id = param.id;
                    param.transform_for_load(tensor, id)
                }
                None => param,
            }
        }
    }

    module.map(&mut Replace {
        path: Path::default(),
        map,
    })
}

/// Casts a network's weights to another type of floating point, but those of norms and of the conditioning on timestep and
/// class, which are computed in 32 bits. On a gradient tape the cast is part of the tape.
pub fn cast_weights<B: Backend, M: Module<B>>(network: M, dtype: FloatDType) -> M {
    cast_values(network, dtype, |name| {
        !(name.contains("norm") || name.starts_with("time_embedding") || name.starts_with("class_embedding"))
    })
}

/// Casts the parameters whose name `chosen` likes to another type of floating point.
fn cast_values<B: Backend, M: Module<B>>(module: M, dtype: FloatDType, chosen: impl Fn(&str) -> bool) -> M {
    struct Cast<F> {
        path: Path,
        dtype: FloatDType,
        chosen: F,
    }

    impl<B: Backend, F: Fn(&str) -> bool> ModuleMapper<B> for Cast<F> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.enter(name);
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.exit();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            match (self.chosen)(&self.path.name()) {
                true => param.map(|tensor| tensor.cast(self.dtype)),
                false => param,
            }
        }
    }

    module.map(&mut Cast {
        path: Path::default(),
        dtype,
        chosen,
    })
}
