//! What training puts between logits and masks, put into the weights that a checkpoint holds.

use factorseg_kernels::Parameter;

use crate::training::learner::MASK_HEAD;

/// Puts temperature and offsets into the head's weights, so that a plain softmax of the new head gives the same masks.
/// `statistics` holds what is taken from each region's zero-sum logits, and what they are divided by.
pub fn export(list: &[Parameter], weights: &mut [f32], temperature: f64, statistics: Option<&[(f64, f64)]>) {
    if temperature == 1.0 && statistics.is_none() {
        return;
    }
    for parameter in list.iter().filter(|parameter| parameter.name.starts_with(MASK_HEAD)) {
        let values = &mut weights[parameter.range()];
        let regions = parameter.shape[0];
        let per_region = values.len() / regions;
        let is_bias = parameter.shape.len() == 1;
        if statistics.is_some() {
            zero_sum_over_regions(values, regions);
        }
        for (index, value) in values.iter_mut().enumerate() {
            let (mean, deviation) = statistics.map_or((0.0, 1.0), |all| all[index / per_region]);
            let shifted = f64::from(*value) - if is_bias { mean } else { 0.0 };
            *value = (shifted / (deviation * temperature)) as f32;
        }
    }
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
    use crate::training::testing::{config, learner, noise, scrambled};

    #[test]
    fn an_exported_head_needs_nothing_between_logits_and_masks() {
        let weights = scrambled(&config(), false);
        let mut learner = learner(&config(), &weights);
        let x_t = noise(12, 4 * 192);
        let mut logits = |weights: &[f32]| learner.mask_logits(weights, &x_t, &[30; 4], &[]).unwrap();
        let statistics = [(0.3, 2.0), (-0.1, 0.5), (0.0, 1.5)];
        let mut exported = weights.clone();
        export(&config().parameters(), &mut exported, 0.5, Some(&statistics));
        let (before, after) = (logits(&weights), logits(&exported));
        for image in 0..4 {
            for pixel in 0..64 {
                let at = |region: usize| (image * 3 + region) * 64 + pixel;
                let mean = (0..3).map(|region| before[at(region)]).sum::<f32>() / 3.0;
                for (region, (offset, scale)) in statistics.iter().enumerate() {
                    let expected = (before[at(region)] - mean - *offset as f32) / *scale as f32 / 0.5;
                    let found = after[at(region)];
                    assert!(
                        (expected - found).abs() < 1e-3 * (1.0 + expected.abs()),
                        "{expected} {found}"
                    );
                }
            }
        }
    }
}
