//! What training puts between logits and masks, put into the weights that a checkpoint holds.

use factorseg_kernels::Parameter;

use crate::training::learner::{CLASSES, MASK_HEAD};

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

/// Puts the mean of all classes in the place of "no class", which a recipe without label dropout never trains.
pub fn mean_class(list: &[Parameter], weights: &mut [f32]) {
    let Some(table) = list.iter().find(|parameter| parameter.name == CLASSES) else {
        return;
    };
    let width = table.shape[1];
    let (classes, none) = weights[table.range()].split_at_mut((table.shape[0] - 1) * width);
    for (column, value) in none.iter_mut().enumerate() {
        let column = classes[column..].iter().step_by(width).map(|value| f64::from(*value));
        *value = (column.sum::<f64>() / (table.shape[0] - 1) as f64) as f32;
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
mod tests;
