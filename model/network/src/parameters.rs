//! A network's parameters by name: the order is that of [`Architecture::parameters`](factorseg_kernels::Architecture::parameters).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor, TensorData};
use factorseg_kernels::{KernelError, Parameter};

/// Fields that names do without: a name reads the same in the whole network and in its parts.
const TRANSPARENT: [&str; 4] = ["mask_network", "conditioning", "Shared", "Unshared"];

/// The field path of the parameter that a walk stands at.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn name(&self) -> String {
        let fields = self.0.iter().map(String::as_str);
        fields
            .filter(|field| !TRANSPARENT.contains(field))
            .collect::<Vec<_>>()
            .join(".")
    }
}

/// Holds names and shapes of a module's parameters against the architecture's. Draws no weights.
///
/// # Errors
/// [`KernelError::Size`] names the first that differs.
pub fn check<'p, B: Backend, M: Module<B>>(
    module: &M,
    parameters: impl Iterator<Item = &'p Parameter>,
) -> Result<(), KernelError> {
    #[derive(Default)]
    struct Collect {
        path: Path,
        found: Vec<(String, Vec<usize>)>,
    }
    impl<B: Backend> ModuleVisitor<B> for Collect {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            self.found.push((self.path.name(), param.lazy_shape().to_vec()));
        }
    }
    let mut collect = Collect::default();
    module.visit(&mut collect);
    let mut found = collect.found.into_iter();
    for Parameter { name, shape, .. } in parameters {
        let here = found.next();
        if here.as_ref() != Some(&(name.clone(), shape.clone())) {
            return Err(KernelError::Size(format!(
                "burn's network has {here:?} where the architecture has `{name}` of {shape:?}"
            )));
        }
    }
    match found.next() {
        None => Ok(()),
        Some((name, _)) => Err(KernelError::Size(format!("the architecture has no parameter `{name}`"))),
    }
}

/// Puts `values(name)`, flat, in the place of each parameter, in the order of the fields, and on a gradient tape where
/// `learns(name)`.
pub fn fill<B: Backend, M: Module<B>>(
    module: M,
    values: impl FnMut(&str) -> Tensor<B, 1>,
    learns: impl Fn(&str) -> bool,
) -> M {
    struct Fill<F, L> {
        path: Path,
        values: F,
        learns: L,
    }
    impl<B: Backend, F: FnMut(&str) -> Tensor<B, 1>, L: Fn(&str) -> bool> ModuleMapper<B> for Fill<F, L> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.0.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            let name = self.path.name();
            let tensor = (self.values)(&name).reshape(param.lazy_shape());
            Param::initialized(param.id, tensor.set_require_grad((self.learns)(&name)))
        }
    }
    module.map(&mut Fill {
        path: Path::default(),
        values,
        learns,
    })
}

/// The type that a parameter is computed with where passes compute in `dtype`: norms and the conditioning on timestep and class
/// stay in 32 bits.
pub(crate) fn dtype_of(name: &str, dtype: FloatDType) -> FloatDType {
    match name.contains("norm") || name.starts_with("time_embedding") || name.starts_with("class_embedding") {
        true => FloatDType::F32,
        false => dtype,
    }
}

/// The type that passes compute in.
pub(crate) fn pass_dtype(bf16: bool) -> FloatDType {
    match bf16 {
        true => FloatDType::BF16,
        false => FloatDType::F32,
    }
}

/// Values as one row on a device.
pub(crate) fn flat<B: Backend>(values: Vec<f32>, device: &B::Device) -> Tensor<B, 1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
