//! Looking up weights by their names, with their shapes checked.

use crate::KernelError;
use crate::network::{Parameter, ParameterId};

/// The values of a network's first parameters.
pub(crate) struct WeightValues<'w>(Vec<&'w [f32]>);

impl<'w> WeightValues<'w> {
    /// `lookup` goes from a name to the values, row-major, and the shape.
    pub(crate) fn find(
        parameters: &[Parameter],
        lookup: impl Fn(&str) -> Option<(&'w [f32], &'w [usize])>,
    ) -> Result<Self, KernelError> {
        let find = |parameter: &Parameter| {
            let name = || parameter.name.clone();
            let (values, shape) = lookup(&parameter.name).ok_or_else(|| KernelError::MissingWeight { name: name() })?;
            let fits = shape == parameter.shape;
            if !fits || values.len() != parameter.range().len() {
                return Err(KernelError::WeightShape {
                    name: name(),
                    expected: parameter.shape.clone(),
                    found: if fits { vec![values.len()] } else { shape.to_vec() },
                });
            }
            Ok(values)
        };
        parameters.iter().map(find).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn get(&self, parameter: ParameterId) -> &'w [f32] {
        self.0[parameter]
    }
}
