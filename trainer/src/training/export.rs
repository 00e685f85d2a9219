//! The shaping of the masks, put into the weights that a checkpoint holds.

use factorseg_model::parameters::{map_values, visit_values};

use super::Network;
use super::learner::MASK_HEAD;

/// Puts the shaping between logits and softmax into the head's weights, so that a plain softmax
/// of the new head gives the same soft masks. `statistics` holds mean and standard deviation of
/// each region's zero-sum logits, where the recipe normalises them.
pub fn export(network: Network, temperature: f64, statistics: Option<&[(f64, f64)]>) -> Network {
    if temperature == 1.0 && statistics.is_none() {
        return network;
    }
    let mut head: std::collections::HashMap<String, Vec<f32>> = std::collections::HashMap::new();
    visit_values(&network, |name, _, values| {
        if name.starts_with(MASK_HEAD) {
            head.insert(name.to_owned(), values);
        }
    });
    map_values(network, |name, shape| {
        let mut values = head.remove(name)?;
        let regions = shape[0];
        let per_region = values.len() / regions;
        let is_bias = shape.len() == 1;
        if statistics.is_some() {
            zero_sum_over_regions(&mut values, regions);
        }
        for (index, value) in values.iter_mut().enumerate() {
            let (mean, deviation) = statistics.map_or((0.0, 1.0), |all| all[index / per_region]);
            let shifted = f64::from(*value) - if is_bias { mean } else { 0.0 };
            *value = (shifted / (deviation * temperature)) as f32;
        }
        Some(values)
    })
}

/// Takes the mean over regions out of a weight or bias, `[regions, ...]` flat: the logits it makes
/// have sum zero.
fn zero_sum_over_regions(values: &mut [f32], regions: usize) {
    let per_region = values.len() / regions;
    for index in 0..per_region {
        let mean = (0..regions)
            .map(|region| f64::from(values[region * per_region + index]))
            .sum::<f64>()
            / regions as f64;
        for region in 0..regions {
            let value = &mut values[region * per_region + index];
            *value = (f64::from(*value) - mean) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Tensor;
    use crate::training::masks::{statistics, zero_sum};
    use crate::training::testing::{config, cpu, noise, scrambled};
    use burn::tensor::{Int, TensorData};
    use factorseg_model::Runtime;

    #[test]
    fn an_exported_head_needs_no_shaping() {
        let network = scrambled(&config(), false);
        let x_t = Tensor::<4>::from_data(TensorData::new(noise(12, 4 * 192), [4, 3, 8, 8]), &cpu());
        let logits = |network: &Network| {
            let timestep = burn::tensor::Tensor::<Runtime, 1, Int>::full([4], 30, &cpu());
            let network = &network.mask_network;
            network.mask_logits(&network.features(x_t.clone(), network.embed(timestep, None)))
        };
        let (mean, deviation) = statistics(zero_sum(logits(&network)));
        let normalised = (zero_sum(logits(&network)) - mean.clone()) / deviation.clone() / 0.5;
        let values = |tensor: Tensor<4>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
        let statistics: Vec<(f64, f64)> = values(mean).into_iter().zip(values(deviation)).collect();
        let exported = logits(&export(network, 0.5, Some(&statistics)));
        for (a, b) in values(normalised).into_iter().zip(values(exported)) {
            assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{a} {b}");
        }
    }
}
