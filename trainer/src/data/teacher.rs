//! A finished network that says what the masks of pictures are. See [`crate::recipe::SelfTraining`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use factorseg_model::segmenter::Engine;
use factorseg_model::{
    CheckpointSource, DeviceSpec, InputImage, LoadOptions, RegionMap, SegmentError, Segmenter, SegmenterOptions,
};
use factorseg_refine::{ColorModel, Plane};
use image::{RgbImage, imageops};

use super::decode::Pixels;
use crate::evaluate::segment::network_input;

/// Close looks at a picture along each side: at three quarters of it, from one end to the other.
const LOOKS: usize = 3;
/// Probabilities are kept this far from 0 and 1, where odds have no logarithm.
const LEAST: f32 = 1e-5;
/// Most pictures whose objects are remembered: 16 KB each for a network of 64 pixels.
const REMEMBERED: usize = 1 << 16;

/// A checkpoint with its color model, on the CPU; any number of threads may ask it at once. Or labels, which come with the
/// pictures.
pub struct Teacher {
    /// `None`: labels.
    source: Option<CheckpointSource>,
    regions: usize,
    foreground: Vec<usize>,
    idle: Mutex<Vec<Judge>>,
    /// Objects by the index of their picture.
    seen: Mutex<HashMap<usize, Arc<Plane>>>,
}

/// A network and its color model.
pub(super) struct Judge {
    /// Without its color model.
    pub network: Segmenter,
    pub colors: ColorModel,
}

impl Judge {
    /// The masks of pictures of one size by the network and then by their colours.
    pub fn masks(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        let foreground = self.network.info().is_foreground();
        let mut maps = self.network.segment(images)?;
        for (image, map) in images.iter().zip(&mut maps) {
            self.colors.refine(image, map, &foreground);
        }
        Ok(maps)
    }

    /// How surely each pixel of a picture belongs to region `object` of two, at the network's resolution: the mean of the network's
    /// log-odds in close looks, and then the picture's colours.
    fn object(&mut self, picture: &RgbImage, object: usize) -> Result<Plane, SegmentError> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let size = self.network.input_size(width, height);
        let cut = (size.0 * 3 / 4, size.1 * 3 / 4);
        let place = |look: usize| {
            let at = |look: usize, size: usize, cut: usize| look * (size - cut) / (LOOKS - 1);
            (at(look % LOOKS, size.0, cut.0), at(look / LOOKS, size.1, cut.1))
        };
        let close = |look: usize| {
            let (left, top) = place(look);
            let across = |of: usize| (of * width / size.0) as u32;
            let down = |of: usize| (of * height / size.1) as u32;
            let square = imageops::crop_imm(
                picture,
                across(left),
                down(top),
                across(cut.0).max(1),
                down(cut.1).max(1),
            );
            network_input(&square.to_image(), size)
        };
        let looks: Vec<_> = (0..LOOKS * LOOKS).map(close).collect();
        let (mut sum, mut count) = (Plane::filled(size.0, size.1, 0.0), Plane::filled(size.0, size.1, 0.0));
        let mut maps = self.network.segment(&looks)?;
        for (look, map) in maps.iter().enumerate() {
            let odds = map.planes().swap_remove(object).map(log_odds).resized(cut.0, cut.1);
            let (left, top) = place(look);
            for y in 0..cut.1 {
                for x in 0..cut.0 {
                    let at = (top + y) * size.0 + left + x;
                    sum.values[at] += odds.values[y * cut.0 + x];
                    count.values[at] += 1.0;
                }
            }
        }
        let is_object = sum.zip(&count, |sum, count| sum / count).probabilities();
        let mut map = maps.swap_remove(0);
        let foreground = [object == 0, object == 1];
        map.share_out_all(&foreground, &is_object.values);
        self.colors.refine(&network_input(picture, size), &mut map, &foreground);
        Ok(map.planes().swap_remove(object))
    }
}

fn log_odds(p: f32) -> f32 {
    let p = p.clamp(LEAST, 1.0 - LEAST);
    (p / (1.0 - p)).ln()
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
        let judge = load(&source)?;
        let info = judge.network.info();
        ensure!(info.regions > 1, "{source} has one region: a teacher needs two or more");
        Ok(Self {
            regions: info.regions,
            foreground: info.foreground_regions.clone(),
            idle: Mutex::new(vec![judge]),
            seen: Mutex::default(),
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
            seen: Mutex::default(),
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
        let masks = self.with(|judge| judge.masks(&images))?;
        Ok(masks.into_iter().flat_map(|map| map.probabilities).collect())
    }

    /// A picture with its object, where the teacher tells one region from one other and the object is not known yet: it looks at
    /// nine overlapping parts of the whole picture, three quarters as wide and high, and then at its colours. So no object is cut, and of a
    /// teacher that has learned from whole pictures that is better than what it says at once. Else the picture as it is. What has an
    /// index is remembered.
    ///
    /// # Errors
    /// If it fails.
    pub fn shown<'a>(&self, index: Option<usize>, pixels: &'a Pixels) -> Result<Cow<'a, Pixels>, SegmentError> {
        let (&[object], 2, Some(_), None) = (&self.foreground[..], self.regions, &self.source, &pixels.object) else {
            return Ok(Cow::Borrowed(pixels));
        };
        let remembered = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = index.and_then(|index| remembered().get(&index).cloned());
        let seen = match known {
            Some(seen) => seen,
            None => {
                // The buffer has the size of the picture.
                let (width, height) = (pixels.width as u32, pixels.height as u32);
                let picture = RgbImage::from_raw(width, height, pixels.data.to_vec()).unwrap_or_default();
                let seen = Arc::new(self.with(|judge| judge.object(&picture, object))?);
                if let Some(index) = index.filter(|_| remembered().len() < REMEMBERED) {
                    remembered().insert(index, seen.clone());
                }
                seen
            }
        };
        let object = seen.resized(pixels.width, pixels.height);
        Ok(Cow::Owned(Pixels {
            object: Some(object.values.iter().map(|p| (255.0 * p).round() as u8).collect()),
            ..pixels.clone()
        }))
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

    /// What `work` does with a network that nobody else uses.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Judge) -> Result<T, SegmentError>) -> Result<T, SegmentError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut judge = match idle {
            Some(judge) => judge,
            // Labels come with every picture of their pack.
            None => load(self.source.as_ref().unwrap_or(&CheckpointSource::default()))?,
        };
        let result = work(&mut judge);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(judge);
        result
    }
}

fn load(source: &CheckpointSource) -> Result<Judge, SegmentError> {
    let how = LoadOptions {
        device: DeviceSpec::Cpu,
        threads: 1,
        ..LoadOptions::default()
    };
    let alone = SegmenterOptions {
        color_model: false,
        ..SegmenterOptions::default()
    };
    Ok(Judge {
        network: Segmenter::load(source, how, &alone)?,
        colors: ColorModel::default(),
    })
}

#[cfg(test)]
mod tests;
