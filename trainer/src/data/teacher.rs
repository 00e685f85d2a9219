//! A finished network that says what the masks of pictures are. See [`crate::recipe::SelfTraining`].

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use factorseg_model::segmenter::Engine;
use factorseg_model::{
    CheckpointSource, DeviceSpec, InputImage, LoadOptions, SegmentError, Segmenter, SegmenterOptions,
};

/// A checkpoint with its color model, on the CPU; any number of threads may ask it at once. Or labels, which come with the
/// pictures.
pub struct Teacher {
    /// `None`: labels.
    source: Option<CheckpointSource>,
    regions: usize,
    foreground: Vec<usize>,
    idle: Mutex<Vec<Segmenter>>,
}

impl std::fmt::Debug for Teacher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Teacher")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Teacher {
    /// Loads a checkpoint.
    ///
    /// # Errors
    /// If it cannot be used, or has no regions to tell apart.
    pub fn load(source: CheckpointSource) -> Result<Self> {
        let segmenter = load(&source)?;
        let info = segmenter.info();
        ensure!(info.regions > 1, "{source} has one region: a teacher needs two or more");
        Ok(Self {
            regions: info.regions,
            foreground: info.foreground_regions.clone(),
            idle: Mutex::new(vec![segmenter]),
            source: Some(source),
        })
    }

    /// A teacher whose pictures come with the class of each pixel, one for each region, in the place of the object.
    pub fn of_labels(regions: usize) -> Self {
        Self {
            source: None,
            regions,
            foreground: if regions == 2 { vec![1] } else { Vec::new() },
            idle: Mutex::default(),
        }
    }

    /// Number of regions K.
    pub fn regions(&self) -> usize {
        self.regions
    }

    /// Regions that are the object, where the checkpoint says so; else empty.
    pub fn foreground_regions(&self) -> &[usize] {
        &self.foreground
    }

    /// Whether it says which regions are the object, as footage needs.
    ///
    /// # Errors
    /// If none or all of them are.
    pub fn tells_object(&self) -> Result<()> {
        ensure!(
            (1..self.regions).contains(&self.foreground.len()),
            "{} does not say which of its regions are the object; name them with `factorseg export --foreground`",
            self.source.clone().unwrap_or_default()
        );
        Ok(())
    }

    /// Masks `[images, K, side, side]` of clean pictures `[images, 3, side, side]` in -1..=1.
    ///
    /// # Errors
    /// If they do not fit the network, or that fails.
    pub fn masks(&self, pictures: &[f32], side: usize) -> Result<Vec<f32>, SegmentError> {
        let images = pictures.chunks_exact(3 * side * side).map(|picture| InputImage {
            width: side,
            height: side,
            data: picture.to_vec(),
        });
        let images: Vec<_> = images.collect();
        let masks = self.with(|segmenter| segmenter.segment(&images))?;
        Ok(masks.into_iter().flat_map(|map| map.probabilities).collect())
    }

    /// What a student learns of a square: masks `[K, side, side]`. Where the object is known, `object` says how surely each
    /// pixel belongs to it, and regions of one kind share alike; elsewhere they are the [`masks`](Self::masks) of `picture`. With
    /// labels `object` is the pixel's class in parts of 255, and one that no region has is void: 0 in all masks.
    ///
    /// # Errors
    /// As [`masks`](Self::masks).
    pub fn targets(&self, picture: &[f32], object: Option<&[f32]>, side: usize) -> Result<Vec<f32>, SegmentError> {
        let Some(object) = object else {
            return self.masks(picture, side);
        };
        if self.source.is_none() {
            let is = |region: usize| {
                object
                    .iter()
                    .map(move |p| f32::from((255.0 * p).round() == region as f32))
            };
            return Ok((0..self.regions).flat_map(is).collect());
        }
        let objects = self.foreground.len() as f32;
        let others = self.regions as f32 - objects;
        let region = |k: usize| {
            let is_object = self.foreground.contains(&k);
            let share = move |p: &f32| if is_object { p / objects } else { (1.0 - p) / others };
            object.iter().map(share)
        };
        Ok((0..self.regions).flat_map(region).collect())
    }

    /// What `work` does with a segmenter that nobody else uses.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&mut Segmenter) -> Result<T, SegmentError>,
    ) -> Result<T, SegmentError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut segmenter = match idle {
            Some(segmenter) => segmenter,
            // Labels come with every picture of their pack.
            None => load(self.source.as_ref().unwrap_or(&CheckpointSource::default()))?,
        };
        let result = work(&mut segmenter);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(segmenter);
        result
    }
}

fn load(source: &CheckpointSource) -> Result<Segmenter, SegmentError> {
    let how = LoadOptions {
        device: DeviceSpec::Cpu,
        threads: 1,
        ..LoadOptions::default()
    };
    Segmenter::load(source, how, &SegmenterOptions::default())
}
