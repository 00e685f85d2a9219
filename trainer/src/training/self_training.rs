//! The parts of a self-training run that are its own: the teacher and the loss. See [`crate::recipe::SelfTraining`].

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use factorseg_model::checkpoint::write_atomically;
use factorseg_model::softmax::softmax;
use factorseg_model::{CheckpointSource, ModelConfig};

use super::learner::{Learner, MASK_GENERATOR, WholePart};
use super::run::config::RunConfig;
use super::run::directory::RunDirectory;
use super::watching::timing::{self, Part};
use crate::data::batch::MicroBatch;
use crate::data::teacher::Teacher;
use crate::recipe::Recipe;

/// A teacher, and the bytes of its checkpoint, which labels have not.
type Checked = (Arc<Teacher>, Option<Vec<u8>>);

/// A new run's teacher; `None` for a run without self-training.
///
/// # Errors
/// If the teacher cannot be used or does not fit the model.
pub fn checked(config: &RunConfig) -> Result<Option<Checked>> {
    if config.recipe.self_training.is_none() {
        return Ok(None);
    }
    if let Some(teacher) = of_labels(config) {
        return Ok(Some((teacher, None)));
    }
    let path = file(&config.recipe, config.teacher.as_deref())?;
    let checkpoint = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let teacher = load(&path, &config.model).with_context(|| format!("{} is no teacher", path.display()))?;
    Ok(Some((teacher, Some(checkpoint))))
}

/// A teacher that knows the labels, where the recipe is one of labels.
pub fn of_labels(config: &RunConfig) -> Option<Arc<Teacher>> {
    config.recipe.labels()?;
    Some(Arc::new(Teacher::of_labels(config.model.regions)))
}

/// The teacher's checkpoint, where `named` is one or a run's folder.
///
/// # Errors
/// If none is named.
pub fn file(recipe: &Recipe, named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(path) if path.is_dir() => Ok(path.join("model.safetensors")),
        Some(path) => Ok(path.to_owned()),
        None => bail!(
            "recipe {} learns from a finished checkpoint: name it with --teacher or --init-from",
            recipe.name
        ),
    }
}

/// Puts the teacher into the run's folder, so that the run can go on whatever becomes of the original.
///
/// # Errors
/// If it cannot be written.
pub fn store(directory: &RunDirectory, checkpoint: &[u8]) -> Result<()> {
    let path = directory.teacher();
    write_atomically(&path, checkpoint).with_context(|| format!("cannot write {}", path.display()))
}

/// A teacher of `model`.
///
/// # Errors
/// If the file cannot be used, or does not fit the model.
pub fn load(path: &Path, model: &ModelConfig) -> Result<Arc<Teacher>> {
    let teacher = Teacher::load(CheckpointSource::from_path(path))?;
    ensure!(
        teacher.regions() == model.regions,
        "it has {0} regions, the network to train {1}: use --regions {0}",
        teacher.regions(),
        model.regions
    );
    // Pictures of a size that does not fit are an error here, not in the first batch.
    let side = model.image_size;
    teacher.masks(&vec![0.0; 3 * side * side], side)?;
    Ok(Arc::new(teacher))
}

/// Forward and backward of one micro-batch with a teacher's masks to learn: returns the loss times `weight`, whose gradient is
/// added, and the masks. Only the mask generator's branch of the network is passed.
pub fn pass(
    learner: &mut Learner,
    part: &MicroBatch,
    weight: f64,
    whole: &mut WholePart<'_>,
) -> Result<(f64, Option<Vec<f32>>)> {
    timing::start();
    let (network, regions) = (learner.network.as_mut(), learner.regions);
    network.encode(&part.noised, &part.timesteps, &part.classes)?;
    let mut masks = network.mask_logits()?;
    let (loss, mut slopes) = cross_entropy(&masks, &part.targets, regions, part.size);
    slopes.iter_mut().for_each(|slope| *slope *= weight as f32);
    timing::lap(Part::Forward);
    network.backward_masks(&slopes)?;
    whole(network, MASK_GENERATOR)?;
    network.backward_encode()?;
    timing::lap(Part::Backward);
    softmax(&mut masks, part.size, regions);
    Ok((loss * weight, Some(masks)))
}

/// Cross entropy of softmax(logits) with `targets`, both `[images, K, pixels]`: the mean over images and pixels, and its
/// gradient by the logits.
pub fn cross_entropy(logits: &[f32], targets: &[f32], regions: usize, images: usize) -> (f64, Vec<f32>) {
    let pixels = logits.len() / (regions * images).max(1);
    let total = (images * pixels) as f64;
    let (mut loss, mut slopes) = (0.0, vec![0.0; logits.len()]);
    for image in 0..images {
        for pixel in 0..pixels {
            let places = (0..regions).map(|region| (image * regions + region) * pixels + pixel);
            let most = places.clone().map(|at| logits[at]).fold(f32::MIN, f32::max);
            let sum: f64 = places.clone().map(|at| f64::from(logits[at] - most).exp()).sum();
            let log_sum = f64::from(most) + sum.ln();
            // The teacher's masks are 1 together but for rounding.
            let mass: f64 = places.clone().map(|at| f64::from(targets[at])).sum();
            for at in places {
                let (logit, target) = (f64::from(logits[at]), f64::from(targets[at]));
                loss += target * (log_sum - logit) / total;
                slopes[at] = ((mass * (logit - log_sum).exp() - target) / total) as f32;
            }
        }
    }
    (loss, slopes)
}

#[cfg(test)]
mod tests;
