//! Timestep and class: what the plan keeps of the weights to fold other ones in.

use super::weights::WeightValues;
use crate::KernelError;
use crate::embedding::{Embedding, Linear};
use crate::network::{Network, ParameterId};
use crate::normalisation::GroupNorm;

/// The embedding's layers, and those that make scale and shift of it.
pub(crate) struct Conditioning {
    /// The values of all these layers one after another; they know their places.
    values: Vec<f32>,
    embedding: Embedding,
    modulations: Vec<Modulation>,
}

/// A normalisation that the embedding scales and shifts.
struct Modulation {
    /// Its index.
    norm: usize,
    gamma: usize,
    beta: usize,
    linear: Linear,
}

impl Conditioning {
    pub(crate) fn new(network: &Network, classes: usize, weights: &WeightValues<'_>) -> Self {
        let mut values = Vec::new();
        let mut keep = |parameter: ParameterId| {
            let start = values.len();
            values.extend_from_slice(weights.get(parameter));
            start
        };
        let embedding = Embedding::placed(&network.embedding, classes, &mut keep);
        let norms = network.segmentation_norms().iter();
        let modulations = norms
            .enumerate()
            .filter_map(|(index, norm)| {
                norm.modulation.as_ref().map(|linear| Modulation {
                    norm: index,
                    gamma: keep(norm.gamma),
                    beta: keep(norm.beta),
                    linear: Linear::placed(linear, &mut keep),
                })
            })
            .collect();
        Self {
            values,
            embedding,
            modulations,
        }
    }

    /// Folds timestep and class into the normalisations.
    pub(crate) fn fold(&self, timestep: usize, class: usize, norms: &mut [GroupNorm]) -> Result<(), KernelError> {
        if timestep == 0 {
            return Err(KernelError::Size("there is no timestep 0; the first is 1".to_owned()));
        }
        self.embedding.check_class(i64::try_from(class).unwrap_or(i64::MAX))?;
        let mut embedded = self.embedding.room(1);
        self.embedding
            .forward(&self.values, &[timestep as f32], Some(&[class as i32]), &mut embedded);
        for modulation in &self.modulations {
            let (scale, shift) = modulation.scale_and_shift(&self.values, &embedded.sum);
            let norm = &mut norms[modulation.norm];
            let (gamma, beta) = (&self.values[modulation.gamma..], &self.values[modulation.beta..]);
            for (channel, (scale, shift)) in scale.iter().zip(&shift).enumerate() {
                norm.gamma[channel] = gamma[channel] * (1.0 + scale);
                norm.beta[channel] = beta[channel] * (1.0 + scale) + shift;
            }
        }
        Ok(())
    }
}

impl Modulation {
    /// Scale and shift, a number for each channel: the linear layer after SiLU, summed in double precision.
    fn scale_and_shift(&self, values: &[f32], embedding: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let outputs = self.linear.outputs;
        let weight = &values[self.linear.weight..];
        let bias = &values[self.linear.bias..][..outputs];
        let mut sums: Vec<f64> = bias.iter().map(|&value| f64::from(value)).collect();
        for (&value, row) in embedding.iter().zip(weight.chunks_exact(outputs)) {
            let value = f64::from(value);
            let activated = value / (1.0 + (-value).exp());
            for (sum, &weight) in sums.iter_mut().zip(row) {
                *sum += activated * f64::from(weight);
            }
        }
        let mut scale: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
        let shift = scale.split_off(outputs / 2);
        (scale, shift)
    }
}
