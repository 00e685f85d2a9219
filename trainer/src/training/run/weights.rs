//! The weights that a run starts with: fresh ones, or those of another checkpoint.

use std::collections::HashMap;

use anyhow::{Result, bail};
use factorseg_kernels::Decoding;
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::{CheckpointInfo, CheckpointSource, ModelConfig};

use super::config::RunConfig;
use crate::data::batch::normal;
use crate::data::order::{Stream, random_part};
use crate::training::learner::{CLASSES, DECODER, MASK_HEAD, TIMESTEP_BIAS};
use crate::training::paper::initial_weights;

/// Deviation of what makes the parts of a region differ, in the weights of the mask head: with none they would stay alike.
const PARTING: f32 = 0.02;

/// Fresh weights from the seed, or those of the checkpoint to start from, and what is said of them.
///
/// # Errors
/// If the checkpoint cannot be read, or holds another network.
pub(super) fn starting_weights(config: &RunConfig) -> Result<(Vec<f32>, CheckpointInfo)> {
    let mut weights = initial_weights(&config.model, config.seed);
    let mut said = CheckpointInfo::default();
    let Some(path) = &config.init_from else {
        return Ok((weights, said));
    };
    let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path(path.clone()))?;
    // Regions and classes change a tensor or two, of which regions' start afresh; the size of the images changes none.
    let expected = ModelConfig {
        regions: config.model.regions,
        classes: config.model.classes,
        schedule: config.model.schedule.clone(),
        ..checkpoint.config().resized(config.model.image_size)
    };
    if config.model != expected {
        bail!(
            "{} holds another network than the one to train; give the same --preset and network options.\n  there: {:?}\n  here:  {:?}",
            path.display(),
            checkpoint.config(),
            config.model
        );
    }
    // A checkpoint that only segments has no decoder. Anything else that is missing is an error.
    let whole = checkpoint.has_decoder();
    let there = checkpoint.config().parameters();
    let mut found: HashMap<String, Vec<f32>> = match whole {
        true => {
            let values = checkpoint.load()?;
            let cut = there.iter().map(|one| (one.name.clone(), values[one.range()].to_vec()));
            cut.collect()
        }
        false => {
            let segmenting = checkpoint.load_segmentation()?;
            let names = there.into_iter().map(|one| one.name);
            names
                .filter_map(|name| Some((name.clone(), segmenting.get(&name)?.0.to_vec())))
                .collect()
        }
    };
    let parts = parts_of_a_region(checkpoint.config().regions, config.model.regions);
    if let Some(parts) = parts {
        eprintln!("each region of {} is split into {parts}", path.display());
        split(&mut found, checkpoint.config(), parts, config.seed);
    }
    keep_without_class(&mut found, &config.model);
    let mut afresh = Vec::new();
    for parameter in config.model.parameters() {
        let range = parameter.range();
        match found.get(&parameter.name).filter(|values| values.len() == range.len()) {
            Some(values) => weights[range].copy_from_slice(values),
            None if whole || !parameter.name.starts_with(DECODER) => afresh.push(parameter.name),
            None => {}
        }
    }
    if !whole {
        afresh.push("the decoder".to_owned());
    }
    if !afresh.is_empty() {
        eprintln!("not in {}, start afresh: {}", path.display(), afresh.join(", "));
    }
    let foreground = &checkpoint.info().foreground_regions;
    if checkpoint.config().regions == config.model.regions {
        said.foreground_regions = foreground.clone();
        said.decoder = checkpoint.info().decoder.filter(|_| whole);
    } else if let Some(parts) = parts {
        let children = foreground
            .iter()
            .flat_map(|region| region * parts..(region + 1) * parts);
        said.foreground_regions = children.collect();
    }
    Ok((weights, said))
}

/// Where the run has other classes than the checkpoint, or none, the network starts as what it was without a class: each class's vector
/// is that of `none`, which without classes goes into the embedding of the timestep.
fn keep_without_class(found: &mut HashMap<String, Vec<f32>>, here: &ModelConfig) {
    let length = here.embedding_channels();
    let classes = found.remove(CLASSES).unwrap_or_default();
    let none = match classes.len().checked_sub(length) {
        Some(start) => classes[start..].to_vec(),
        None => vec![0.0; length],
    };
    if here.classes == 0 {
        let bias = found.get_mut(TIMESTEP_BIAS).into_iter().flatten();
        bias.zip(none).for_each(|(bias, none)| *bias += none);
    } else if classes.len() == (here.classes + 1) * length {
        found.insert(CLASSES.to_owned(), classes);
    } else {
        found.insert(CLASSES.to_owned(), none.repeat(here.classes + 1));
    }
}

/// Into how many parts each region of a checkpoint is split where a run has a multiple of its regions. A single region is no
/// split of anything: its masks were never learned.
fn parts_of_a_region(there: usize, here: usize) -> Option<usize> {
    (there > 1 && here > there && here.is_multiple_of(there)).then_some(here / there)
}

/// Region r becomes regions `r * parts` to `(r + 1) * parts - 1`: with its logits, so that their masks sum to its own up to
/// what parts them, and with its decoder where each region has one.
fn split(found: &mut HashMap<String, Vec<f32>>, there: &ModelConfig, parts: usize, seed: u64) {
    let mut chance = random_part(seed, Stream::Weights, 0, 1);
    for (field, deviation) in [("weight", PARTING), ("bias", 0.0)] {
        let Some(head) = found.get_mut(&format!("{MASK_HEAD}{field}")) else {
            continue;
        };
        let rows = head.chunks_exact(head.len() / there.regions);
        let mut split: Vec<f32> = rows.flat_map(|row| row.repeat(parts)).collect();
        let mut apart = Vec::new();
        normal(&mut chance, split.len(), &mut apart);
        split
            .iter_mut()
            .zip(apart)
            .for_each(|(to, apart)| *to += deviation * apart);
        *head = split;
    }
    if there.decoding == Decoding::Unshared {
        for region in (0..there.regions).rev() {
            let own = format!("{DECODER}{region}.");
            let names: Vec<String> = found.keys().filter(|name| name.starts_with(&own)).cloned().collect();
            for name in names {
                let Some(values) = found.remove(&name) else { continue };
                for part in region * parts..(region + 1) * parts {
                    found.insert(format!("{DECODER}{part}.{}", &name[own.len()..]), values.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factorseg_model::Preset;

    /// The embedding of a timestep without a class is the same, whatever classes a run has in place of the checkpoint's.
    #[test]
    fn other_classes_start_as_none_was() {
        let model = |classes| ModelConfig {
            classes,
            ..ModelConfig::preset(Preset::Tiny)
        };
        let length = model(0).embedding_channels();
        // Two classes of ones and twos, and `none` of threes.
        let there = || {
            let table = [1.0, 2.0, 3.0].into_iter().flat_map(|value| vec![value; length]);
            HashMap::from([
                (CLASSES.to_owned(), table.collect()),
                (TIMESTEP_BIAS.to_owned(), vec![0.5; length]),
            ])
        };
        let mut same = there();
        keep_without_class(&mut same, &model(2));
        assert_eq!(same, there());
        let mut more = there();
        keep_without_class(&mut more, &model(5));
        assert_eq!(more[CLASSES], vec![3.0; 6 * length]);
        assert_eq!(more[TIMESTEP_BIAS], there()[TIMESTEP_BIAS]);
        let mut none = there();
        keep_without_class(&mut none, &model(0));
        assert_eq!(none[TIMESTEP_BIAS], vec![3.5; length]);
        assert!(!none.contains_key(CLASSES));
        keep_without_class(&mut none, &model(2));
        assert_eq!(none[CLASSES], vec![0.0; 3 * length]);
    }
}
