//! Pictures through the segmenter: resample, segment, bring the regions back to the picture's size.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use factorseg_model::{Engine, InputImage, RegionMap};
use image::RgbImage;

use crate::data::resample::shrink;

/// The passes whose probabilities are averaged for a picture. Noise draws are the engine's own option.
#[derive(Debug, Clone, PartialEq)]
pub struct Passes {
    scales: Vec<f64>,
    flip: bool,
    stride: usize,
}

impl Passes {
    /// One pass at the size that the engine asks for.
    pub fn single() -> Self {
        Self {
            scales: vec![1.0],
            flip: false,
            stride: 1,
        }
    }

    /// A pass at each of `scales`, in multiples of the size that the engine asks for, and with `flip` another of the
    /// mirrored picture; sides are multiples of `stride`.
    ///
    /// # Errors
    /// If there is no scale, or one is not between 1/4 and 16.
    pub fn new(scales: Vec<f64>, flip: bool, stride: usize) -> Result<Self> {
        if scales.is_empty() || !scales.iter().all(|scale| (0.25..=16.0).contains(scale)) {
            bail!("scales are {scales:?}, expected one or more from 0.25 to 16");
        }
        Ok(Self {
            scales,
            flip,
            stride: stride.max(1),
        })
    }

    /// Passes of the network for a picture.
    pub fn count(&self) -> usize {
        self.scales.len() * if self.flip { 2 } else { 1 }
    }

    fn size(&self, engine: &dyn Engine, picture: &RgbImage, scale: f64) -> (usize, usize) {
        let (width, height) = engine.input_size(picture.width() as usize, picture.height() as usize);
        let scaled = |length: usize| {
            let steps = (length as f64 * scale / self.stride as f64).round() as usize;
            steps.max(1) * self.stride
        };
        if scale == 1.0 {
            (width, height)
        } else {
            (scaled(width), scaled(height))
        }
    }
}

/// The picture at a size, resampled as for training, in -1..=1.
pub fn network_input(picture: &RgbImage, (width, height): (usize, usize)) -> InputImage {
    let resampled = shrink(picture, width as u32, height as u32);
    let data = (0..3)
        .flat_map(|channel| {
            resampled
                .pixels()
                .map(move |pixel| f32::from(pixel.0[channel]) / 127.5 - 1.0)
        })
        .collect();
    InputImage { width, height, data }
}

/// Pixels of pictures that are segmented at once: their maps take four bytes for each pixel and region.
const BATCH_PIXELS: usize = 4 << 20;

/// Groups pictures, as they are read, into batches of at most `most`, of fewer where they are large.
pub fn batches<T>(
    mut pictures: impl Iterator<Item = Result<(RgbImage, T)>>,
    most: usize,
) -> impl Iterator<Item = Result<Vec<(RgbImage, T)>>> {
    std::iter::from_fn(move || {
        let (mut batch, mut pixels) = (Vec::new(), 0);
        while batch.len() < most && pixels < BATCH_PIXELS {
            match pictures.next() {
                Some(Ok(next)) => {
                    pixels += next.0.width() as usize * next.0.height() as usize;
                    batch.push(next);
                }
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        (!batch.is_empty()).then_some(Ok(batch))
    })
}

/// Region probabilities of pictures, each at its picture's size: `[K, height, width]`, the mean over all passes.
///
/// Pictures of the same network size run as one batch.
///
/// # Errors
/// If the engine fails.
pub fn segment<P: Borrow<RgbImage>>(
    engine: &mut dyn Engine,
    pictures: &[P],
    passes: &Passes,
) -> Result<Vec<RegionMap>> {
    let pictures: Vec<&RgbImage> = pictures.iter().map(P::borrow).collect();
    let mut means: Vec<Option<RegionMap>> = vec![None; pictures.len()];
    let share = 1.0 / passes.count() as f32;
    for scale in &passes.scales {
        let mut inputs: Vec<InputImage> = pictures
            .iter()
            .map(|picture| network_input(picture, passes.size(engine, picture, *scale)))
            .collect();
        for mirrored in [false, true].into_iter().take(if passes.flip { 2 } else { 1 }) {
            if mirrored {
                inputs.iter_mut().for_each(|input| mirror(&mut input.data, input.width));
            }
            for ((mut map, picture), mean) in run(engine, &inputs)?.into_iter().zip(&pictures).zip(&mut means) {
                if mirrored {
                    mirror(&mut map.probabilities, map.width);
                }
                let mut map = map.resized(picture.width() as usize, picture.height() as usize);
                match mean {
                    Some(mean) => {
                        for (mean, value) in mean.probabilities.iter_mut().zip(&map.probabilities) {
                            *mean += value * share;
                        }
                    }
                    None => {
                        map.probabilities.iter_mut().for_each(|value| *value *= share);
                        *mean = Some(map);
                    }
                }
            }
        }
    }
    Ok(means.into_iter().flatten().collect())
}

/// Region maps of inputs, in their order.
fn run(engine: &mut dyn Engine, inputs: &[InputImage]) -> Result<Vec<RegionMap>> {
    let mut by_size: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, input) in inputs.iter().enumerate() {
        by_size.entry((input.width, input.height)).or_default().push(index);
    }
    let mut maps: Vec<Option<RegionMap>> = vec![None; inputs.len()];
    for alike in by_size.into_values() {
        let batch: Vec<InputImage> = alike.iter().map(|i| inputs[*i].clone()).collect();
        let found = engine.segment(&batch)?;
        let (found_count, asked) = (found.len(), batch.len());
        ensure!(
            found_count == asked,
            "the engine returned {found_count} region maps for {asked} images"
        );
        for (index, map) in alike.into_iter().zip(found) {
            maps[index] = Some(map);
        }
    }
    Ok(maps.into_iter().flatten().collect())
}

/// Reverses every row.
fn mirror(values: &mut [f32], width: usize) {
    values.chunks_exact_mut(width).for_each(<[f32]>::reverse);
}

#[cfg(test)]
mod tests;
