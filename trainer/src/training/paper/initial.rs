//! The weights that a network starts with.

use factorseg_model::ModelConfig;
use rand::Rng;

use crate::data::batch::normal;
use crate::data::order::{Stream, random};

/// Fresh weights of all parameters, flat, from the seed: PyTorch's defaults (uniform within `1 / sqrt(fan_in)`, norms 1 and 0,
/// class vectors standard normal), but zero in the last convolution of each residual block, the projection of each attention and
/// both heads. So blocks start as the identity, masks are uniform, and the predicted noise is zero.
pub fn initial_weights(model: &ModelConfig, seed: u64) -> Vec<f32> {
    let mut chance = random(seed, Stream::Weights, 0);
    let mut weights = Vec::new();
    let mut fan_in = 1;
    for parameter in model.parameters() {
        let (name, shape) = (parameter.name.as_str(), &parameter.shape);
        let end = weights.len() + parameter.range().len();
        let zero = [".conv_2.", ".project.", ".conv_out."]
            .iter()
            .any(|part| name.contains(part));
        if shape.len() > 1 {
            // Linear layers are [inputs, outputs], convolutions [outputs, inputs, height, width].
            fan_in = if shape.len() == 2 {
                shape[0]
            } else {
                shape[1..].iter().product()
            };
        }
        if zero || name.ends_with(".beta") {
            weights.resize(end, 0.0);
        } else if name.ends_with(".gamma") {
            weights.resize(end, 1.0);
        } else if name.starts_with("class_embedding.") {
            normal(&mut chance, end - weights.len(), &mut weights);
        } else {
            // A bias follows its weight, whose inputs count for both.
            let bound = 1.0 / (fan_in as f32).sqrt();
            weights.extend((weights.len()..end).map(|_| chance.random_range(-bound..=bound)));
        }
    }
    weights
}

#[cfg(test)]
mod tests;
