//! Looking up weights by their names, with their shapes checked.

use crate::KernelError;

/// From a name to the values, row-major, and the shape.
type Lookup<'w, 'f> = dyn Fn(&str) -> Option<(&'w [f32], &'w [usize])> + 'f;

/// Weights by name.
pub(crate) struct Weights<'w, 'f> {
    pub(crate) lookup: &'f Lookup<'w, 'f>,
}

impl<'w> Weights<'w, '_> {
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<&'w [f32], KernelError> {
        let (values, found) =
            (self.lookup)(name).ok_or_else(|| KernelError::MissingWeight { name: name.to_owned() })?;
        if found != shape || values.len() != shape.iter().product::<usize>() {
            return Err(KernelError::WeightShape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: if found == shape {
                    vec![values.len()]
                } else {
                    found.to_vec()
                },
            });
        }
        Ok(values)
    }
}

/// Scale and shift of a residual block's second normalisation, [outputs] each, for a fixed embedding: the layer
/// `{block}.embedding` after SiLU.
pub(crate) fn scale_and_shift(
    weights: &Weights<'_, '_>,
    block: &str,
    embedding: &[f32],
    outputs: usize,
) -> Result<(Vec<f32>, Vec<f32>), KernelError> {
    let weight = weights.get(&format!("{block}.embedding.weight"), &[embedding.len(), 2 * outputs])?;
    let bias = weights.get(&format!("{block}.embedding.bias"), &[2 * outputs])?;
    let mut sums: Vec<f64> = bias.iter().map(|&value| f64::from(value)).collect();
    for (&value, row) in embedding.iter().zip(weight.chunks_exact(2 * outputs)) {
        let value = f64::from(value);
        let activated = value / (1.0 + (-value).exp());
        for (sum, &weight) in sums.iter_mut().zip(row) {
            *sum += activated * f64::from(weight);
        }
    }
    let values: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
    Ok((values[..outputs].to_vec(), values[outputs..].to_vec()))
}
