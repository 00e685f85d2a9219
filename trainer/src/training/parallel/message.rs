//! What a trainer and a worker say to each other: who they are, jobs and shares.
//!
//! A job's numbers are checked against the network and the recipe before the network sees them.

use std::sync::Arc;

use factorseg_model::{ModelConfig, Precision};
use serde::{Deserialize, Serialize};

use super::replica::{Job, Share};
use super::wire::{MAXIMUM_JSON, VERSION, WireError};
use crate::data::batch::MicroBatch;
use crate::recipe::Recipe;
use crate::training::run::config::StoredPrecision;
use crate::training::watching::monitor::MaskFigures;

/// How a trainer introduces itself: everything of a run that a gradient depends on, but for weights and images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Version of the protocol.
    pub version: u32,
    /// The network.
    pub model: ModelConfig,
    /// The schedule.
    pub recipe: Recipe,
    /// Seed of the run.
    pub seed: u64,
    /// What passes compute in.
    pub precision: StoredPrecision,
}

impl Hello {
    /// For a run of this version.
    pub fn new(model: &ModelConfig, recipe: &Recipe, seed: u64, precision: Precision) -> Self {
        Self {
            version: VERSION,
            model: model.clone(),
            recipe: recipe.clone(),
            seed,
            precision: StoredPrecision(precision),
        }
    }

    /// Reads one; another version is told apart before the rest is read.
    ///
    /// # Errors
    /// If it is of another version or not valid.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let invalid = |error: serde_json::Error| WireError::Invalid(error.to_string());
        let Version { version } = serde_json::from_slice(bytes).map_err(invalid)?;
        if version != VERSION {
            return Err(WireError::Version { theirs: version });
        }
        let hello: Self = serde_json::from_slice(bytes).map_err(invalid)?;
        let checked = (hello.model.validate().map_err(|error| error.to_string()))
            .and_then(|()| hello.recipe.validate().map_err(|error| error.to_string()))
            .and_then(|()| {
                let timesteps = hello.model.schedule.timesteps;
                hello.recipe.validate_for(timesteps).map_err(|error| error.to_string())
            });
        checked.map_err(WireError::Invalid)?;
        Ok(hello)
    }
}

/// A worker's answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// Weights of the network, by the worker's count.
    pub weights: usize,
    /// The worker's device.
    pub device: String,
}

/// What jobs and shares of a run have to look like.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Weights of the network.
    pub weights: usize,
    side: usize,
    classes: usize,
    timesteps: usize,
    regions: usize,
    batch: usize,
    micro_batch: usize,
    /// Whether micro-batches carry a teacher's masks.
    teaches: bool,
    /// Steps of each phase.
    phases: Vec<u64>,
}

impl Shape {
    /// Of a run with a network of that many weights.
    pub fn new(model: &ModelConfig, recipe: &Recipe, weights: usize) -> Self {
        Self {
            weights,
            side: model.image_size,
            classes: model.classes,
            timesteps: model.schedule.timesteps,
            regions: model.regions,
            batch: recipe.batch_size,
            teaches: recipe.self_training.is_some(),
            micro_batch: recipe.micro_batch.unwrap_or(recipe.batch_size),
            phases: recipe.phases.iter().map(|phase| phase.steps).collect(),
        }
    }

    /// Planes of the teacher's masks in an image.
    fn target_planes(&self) -> usize {
        if self.teaches { self.regions } else { 0 }
    }

    /// Bytes of the longest job.
    pub fn longest_job(&self) -> u64 {
        let image = (6 + self.target_planes() as u64) * (self.side as u64).pow(2) + 2;
        let values = (self.batch as u64).saturating_mul(image);
        values
            .saturating_add(self.weights as u64)
            .saturating_mul(4)
            .saturating_add(MAXIMUM_JSON)
    }

    /// Bytes of the longest share.
    pub fn longest_share(&self) -> u64 {
        (self.weights as u64).saturating_mul(4).saturating_add(MAXIMUM_JSON)
    }
}

/// The part of a job that is JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobHeader {
    step: u64,
    phase: usize,
    phase_step: u64,
    first: usize,
    sizes: Vec<usize>,
}

/// A job's frame: its JSON behind its length in four bytes, the weights, then each micro-batch's noised images, noise,
/// timesteps, classes and teacher's masks.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn encode_job(job: &Job) -> Result<Vec<u8>, WireError> {
    let header = JobHeader {
        step: job.step,
        phase: job.phase,
        phase_step: job.phase_step,
        first: job.first,
        sizes: job.parts.iter().map(|part| part.size).collect(),
    };
    let mut bytes = Vec::with_capacity(4 * job.parameters.len());
    put_json(&mut bytes, &header)?;
    put_floats(&mut bytes, &job.parameters);
    for part in &job.parts {
        put_floats(&mut bytes, &part.noised);
        put_floats(&mut bytes, &part.noise);
        for values in [&part.timesteps, &part.classes] {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        put_floats(&mut bytes, &part.targets);
    }
    Ok(bytes)
}

/// Reads a job.
///
/// # Errors
/// If it does not fit the run.
pub fn decode_job(bytes: &[u8], shape: &Shape) -> Result<Job, WireError> {
    let mut bytes = Reader(bytes);
    let header: JobHeader = bytes.json()?;
    let valid = |holds: bool, what: &str| match holds {
        true => Ok(()),
        false => Err(WireError::Invalid(what.to_owned())),
    };
    let last = shape.phases.len().saturating_sub(1);
    valid(header.phase <= last, "the recipe has no such phase")?;
    // The last phase goes on beyond its end.
    let within = header.phase_step < shape.phases[header.phase] || header.phase == last;
    valid(within, "the phase has no such step")?;
    let fits = |size: &usize| (1..=shape.micro_batch).contains(size);
    valid(
        header.sizes.iter().all(fits) && header.sizes.len() <= shape.batch,
        "a micro-batch is larger than the recipe's, or empty",
    )?;
    let images: usize = header.sizes.iter().sum();
    valid(images <= shape.batch, "more images than a batch has")?;
    let parameters = Arc::new(bytes.floats(shape.weights)?);
    let mut parts = Vec::with_capacity(header.sizes.len());
    for size in header.sizes {
        let values = size * 3 * shape.side * shape.side;
        let part = MicroBatch {
            size,
            noised: bytes.floats(values)?,
            noise: bytes.floats(values)?,
            timesteps: bytes.integers(size)?,
            classes: bytes.integers(if shape.classes > 0 { size } else { 0 })?,
            targets: bytes.floats(size * shape.target_planes() * shape.side * shape.side)?,
        };
        let inside = |value: &i32, last: usize| usize::try_from(*value).is_ok_and(|value| value <= last);
        valid(
            part.timesteps.iter().all(|t| *t > 0 && inside(t, shape.timesteps)),
            "a timestep is not the schedule's",
        )?;
        valid(
            part.classes.iter().all(|class| inside(class, shape.classes)),
            "a class is not the model's",
        )?;
        parts.push(part);
    }
    bytes.end()?;
    Ok(Job {
        step: header.step,
        phase: header.phase,
        phase_step: header.phase_step,
        first: header.first,
        parts,
        parameters,
    })
}

/// A share's frame: the loss in eight bytes, the masks' figures as JSON behind its length in four, the gradient.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn encode_share(share: &Share) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::with_capacity(4 * share.gradients.len());
    bytes.extend(share.loss.to_le_bytes());
    put_json(&mut bytes, &share.masks)?;
    put_floats(&mut bytes, &share.gradients);
    Ok(bytes)
}

/// Reads a share.
///
/// # Errors
/// If it does not fit the run.
pub fn decode_share(bytes: &[u8], shape: &Shape) -> Result<Share, WireError> {
    let mut bytes = Reader(bytes);
    let loss = f64::from_le_bytes(bytes.array()?);
    let masks: Option<MaskFigures> = bytes.json()?;
    if masks.as_ref().is_some_and(|masks| masks.shares.len() != shape.regions) {
        return Err(WireError::Invalid("figures of another number of regions".to_owned()));
    }
    let gradients = bytes.floats(shape.weights)?;
    bytes.end()?;
    Ok(Share { loss, gradients, masks })
}

fn put_json(bytes: &mut Vec<u8>, value: &impl Serialize) -> Result<(), WireError> {
    let json = serde_json::to_vec(value).map_err(|error| WireError::Invalid(error.to_string()))?;
    let length = u32::try_from(json.len()).map_err(|_| WireError::Invalid("JSON too long".to_owned()))?;
    bytes.extend(length.to_le_bytes());
    bytes.extend(json);
    Ok(())
}

fn put_floats(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// What is left of a frame.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| WireError::Invalid("shorter than its content".to_owned()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let bytes = self.take(N)?;
        Ok(std::array::from_fn(|index| bytes[index]))
    }

    fn json<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, WireError> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        serde_json::from_slice(self.take(length)?).map_err(|error| WireError::Invalid(error.to_string()))
    }

    fn words(&mut self, count: usize) -> Result<impl Iterator<Item = [u8; 4]> + use<'a>, WireError> {
        let bytes = count
            .checked_mul(4)
            .ok_or_else(|| WireError::Invalid("longer than memory".to_owned()))?;
        Ok(self.take(bytes)?.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]))
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, WireError> {
        Ok(self.words(count)?.map(f32::from_le_bytes).collect())
    }

    fn integers(&mut self, count: usize) -> Result<Vec<i32>, WireError> {
        Ok(self.words(count)?.map(i32::from_le_bytes).collect())
    }

    fn end(&self) -> Result<(), WireError> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(WireError::Invalid(format!("{more} bytes longer than its content"))),
        }
    }
}

#[cfg(test)]
mod tests;
