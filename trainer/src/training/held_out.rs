//! Images that are never trained on, noised once and for all: progress is watched on them.

use anyhow::Result;
use burn::tensor::{Int, TensorData};
use factorseg_model::{NoiseSchedule, Runtime};

use super::competition;
use super::masks::{statistics, zero_sum};
use super::{Device, Network, Tensor};
use crate::data::batch::{centre_square, normal};
use crate::data::cache::ImageCache;
use crate::data::order::{Stream, random};

/// Images that go through the network at once.
const CHUNK: usize = 8;

/// Held-out images at one noise level.
#[derive(Debug)]
pub struct HeldOut {
    /// Clean images, `[count, 3, side, side]` in -1..=1.
    pub images: Vec<f32>,
    noised: Vec<f32>,
    classes: Vec<i32>,
    timestep: usize,
    /// Side in pixels.
    pub side: usize,
    /// Number of images.
    pub count: usize,
}

impl HeldOut {
    /// Reads the images (broken ones are left out) and noises them at `timestep`.
    ///
    /// # Errors
    /// If too many of them are broken.
    pub fn new(
        cache: &ImageCache,
        side: usize,
        classes: usize,
        schedule: &NoiseSchedule,
        timestep: usize,
        seed: u64,
    ) -> Result<Self> {
        let mut held_out = Self {
            images: Vec::new(),
            noised: Vec::new(),
            classes: Vec::new(),
            timestep,
            side,
            count: 0,
        };
        let (image_part, noise_part) = schedule.mix(timestep);
        for index in 0..cache.len() {
            let Some(pixels) = cache.get(index)? else { continue };
            let image = centre_square(&pixels, side);
            let mut noise = Vec::with_capacity(image.len());
            normal(
                &mut random(seed, Stream::HeldOut, index as u64),
                image.len(),
                &mut noise,
            );
            held_out.noised.extend(
                image
                    .iter()
                    .zip(noise)
                    .map(|(x, e)| image_part as f32 * x + noise_part as f32 * e),
            );
            held_out.images.extend(image);
            if classes > 0 {
                held_out.classes.push(cache.class(index).unwrap_or(classes) as i32);
            }
            held_out.count += 1;
        }
        Ok(held_out)
    }

    /// Mask logits of all images, a chunk at a time.
    fn logits<'a>(&'a self, network: &'a Network, device: &'a Device) -> impl Iterator<Item = Tensor<4>> + 'a {
        let values = 3 * self.side * self.side;
        (0..self.count).step_by(CHUNK).map(move |first| {
            let size = CHUNK.min(self.count - first);
            let x_t = Tensor::<4>::from_data(
                TensorData::new(
                    self.noised[first * values..(first + size) * values].to_vec(),
                    [size, 3, self.side, self.side],
                ),
                device,
            );
            let integers = |values: Vec<i32>| {
                burn::tensor::Tensor::<Runtime, 1, Int>::from_data(TensorData::new(values, [size]), device)
            };
            let timestep = integers(vec![self.timestep as i32; size]);
            let class = (!self.classes.is_empty()).then(|| integers(self.classes[first..first + size].to_vec()));
            let network = &network.mask_network;
            let features = network.features(x_t, network.embed(timestep, class));
            network.mask_logits(&features)
        })
    }

    /// Masks of all images, `[count, K, side, side]`, flat. `network` has no gradient tape.
    pub fn masks(&self, network: &Network, device: &Device) -> Vec<f32> {
        self.logits(network, device)
            .flat_map(|logits| {
                burn::tensor::activation::softmax(logits, 1)
                    .into_data()
                    .iter::<f32>()
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Mean and scale of each region's zero-sum logits for a head that gives the foreground its share of all images
    /// together; `None` without images.
    pub fn foreground_statistics(&self, network: &Network, device: &Device, share: f64) -> Option<Vec<(f64, f64)>> {
        let logits: Vec<f32> = self
            .logits(network, device)
            .flat_map(|logits| logits.into_data().iter::<f32>().collect::<Vec<_>>())
            .collect();
        (!logits.is_empty()).then(|| competition::head_statistics(&logits, self.side * self.side, share))
    }

    /// Mean and standard deviation of each region's zero-sum logits over all images.
    pub fn statistics(&self, network: &Network, device: &Device) -> Option<Vec<(f64, f64)>> {
        let logits: Vec<Tensor<4>> = self.logits(network, device).map(zero_sum).collect();
        if logits.is_empty() {
            return None;
        }
        let (mean, deviation) = statistics(Tensor::cat(logits, 0));
        let values = |tensor: Tensor<4>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
        Some(values(mean).into_iter().zip(values(deviation)).collect())
    }
}
