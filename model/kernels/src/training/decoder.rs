//! The decoder's branches under their masks (Eq. 5 to 7 of the paper), forward and backward.

use super::network::{Part, TrainingNetwork, to_planes};
use super::pixels::{average_pool, average_pool_gradient};
use crate::KernelError;
use crate::error::check_length;
use crate::network::{Decoding, Tensor};

/// The masks that the decoder's branches see.
#[derive(Debug, Clone, Copy)]
pub enum Masks<'a> {
    /// 1/K everywhere. The branches of a decoder are equal then, so one is computed.
    Uniform,
    /// [batch, K, height, width]
    Given(&'a [f32]),
}

impl TrainingNetwork {
    /// The predicted noise, [batch, 3, height, width]: each branch sees h_enc under its own mask and h_mid whole, and the
    /// sum of the branches is weighted by the masks (Eq. 6 and 7); or as the architecture's [`Decoding`] says.
    ///
    /// # Errors
    /// [`KernelError::Length`] for masks that do not fit the batch of [`Self::encode`].
    pub fn decode(&mut self, masks: Masks<'_>) -> Result<&[f32], KernelError> {
        let (images, regions) = (self.state.images, self.architecture.regions);
        let pixels = self.options.height * self.options.width;
        match masks {
            Masks::Uniform => {
                self.uniform = true;
                for level in &mut self.pooled {
                    level.fill(1.0 / regions as f32);
                }
            }
            Masks::Given(masks) => {
                check_length("the masks", images * regions * pixels, masks.len())?;
                self.uniform = false;
                for (index, plane) in masks.chunks_exact(pixels).enumerate() {
                    let (image, region) = (index / regions, index % regions);
                    self.pooled[0][(region * images + image) * pixels..][..pixels].copy_from_slice(plane);
                }
                let (finest, coarser) = self.pooled.split_at_mut(1);
                for (level, pooled) in coarser.iter_mut().enumerate() {
                    let factor = 2 << level;
                    average_pool(
                        &finest[0],
                        regions * images,
                        self.options.height,
                        self.options.width,
                        factor,
                        pooled,
                    );
                }
            }
        }
        let branches = self.branches();
        let threads = self.options.threads.clone();
        threads.install(|| {
            self.pack(Part::Decoder);
            self.read_inputs();
            for step in &self.decoder {
                step.forward(&mut self.state, branches * images);
            }
        });
        let whole = self.is_whole();
        for (image, planes) in self.prediction.chunks_exact_mut(3 * pixels).take(images).enumerate() {
            planes.fill(0.0);
            for (decoder, &tensor) in self.joints.noise.iter().enumerate() {
                let width = self.state.tensors[tensor].width;
                for branch in 0..branches {
                    let mask = &self.pooled[0][((decoder + branch) * images + image) * pixels..][..pixels];
                    let noise = &self.state.values[tensor][(branch * images + image) * pixels * width..];
                    for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
                        for (pixel, value) in plane.iter_mut().enumerate() {
                            let weight = if whole { 1.0 } else { mask[pixel] };
                            *value += weight * noise[pixel * width + channel];
                        }
                    }
                }
            }
        }
        Ok(&self.prediction[..images * 3 * pixels])
    }

    /// What each region's branch has predicted (Eq. 6) in the last [`Self::decode`], [batch, K, 3, height, width]; where
    /// there is one for all regions, each has that one.
    pub fn branch_noise(&self) -> Vec<f32> {
        let (images, regions) = (self.state.images, self.architecture.regions);
        let (decoders, branches) = (self.joints.noise.len(), self.branches());
        let pixels = self.options.height * self.options.width;
        let mut noise = vec![0.0; images * regions * 3 * pixels];
        for (index, planes) in noise.chunks_exact_mut(3 * pixels).enumerate() {
            let (image, region) = (index / regions, index % regions);
            let tensor = self.joints.noise[region % decoders];
            let (item, width) = (region % branches * images + image, self.state.tensors[tensor].width);
            to_planes(&self.state.values[tensor][item * pixels * width..], width, 3, planes);
        }
        noise
    }

    /// Blocks of a decoder.
    pub fn decoder_blocks(&self) -> usize {
        self.joints.blocks.len()
    }

    /// What a block of the decoder, counted from the coarsest, has left for one image in the last [`Self::decode`]: its first
    /// branch's [channels, height, width], and these three numbers.
    pub fn decoder_block(&self, block: usize, image: usize) -> (Vec<f32>, [usize; 3]) {
        let tensor = self.joints.blocks[block];
        let Tensor { channels, width, .. } = self.state.tensors[tensor];
        let (height, across) = self.state.size(tensor);
        let mut planes = vec![0.0; channels * height * across];
        let from = &self.state.values[tensor][image * height * across * width..];
        to_planes(from, width, channels, &mut planes);
        (planes, [channels, height, across])
    }

    /// Branches of each decoder that are computed.
    pub(super) fn branches(&self) -> usize {
        if self.uniform { 1 } else { self.architecture.branches() }
    }

    /// Whether one branch is the whole prediction, with no mask over it.
    fn is_whole(&self) -> bool {
        self.architecture.decoding == Decoding::Concatenated || self.uniform && self.joints.noise.len() == 1
    }

    /// Takes the gradient of a loss by the predicted noise, [batch, 3, height, width], back through the decoder and
    /// returns that by the masks, [batch, K, height, width]: zero for [`Masks::Uniform`].
    ///
    /// # Errors
    /// [`KernelError::Length`] for a gradient that does not fit the batch.
    pub fn backward_decode(&mut self, gradient: &[f32]) -> Result<&[f32], KernelError> {
        let (images, regions) = (self.state.images, self.architecture.regions);
        let pixels = self.options.height * self.options.width;
        check_length("the gradient of the noise", images * 3 * pixels, gradient.len())?;
        let learned = self.state.learned;
        // Whether anything that the decoder reads learns; uniform masks do not.
        let before = learned.encoder || learned.mask_generator && !self.uniform;
        if !learned.decoder && !before {
            let result = &mut self.mask_gradients[..images * regions * pixels];
            result.fill(0.0);
            return Ok(result);
        }
        self.state.learning = learned.decoder;
        let (branches, whole) = (self.branches(), self.is_whole());
        self.state.written[self.joints.first_decoder..].fill(false);
        for level in &mut self.pooled_gradients {
            level.fill(0.0);
        }
        for (decoder, &tensor) in self.joints.noise.iter().enumerate() {
            let width = self.state.tensors[tensor].width;
            let (slope, noise) = (&mut self.state.slopes[tensor], &self.state.values[tensor]);
            for item in 0..branches * images {
                let gradient = &gradient[item % images * 3 * pixels..][..3 * pixels];
                let masked = (decoder * images + item) * pixels;
                let mask = &self.pooled[0][masked..][..pixels];
                let mask_gradient = &mut self.pooled_gradients[0][masked..][..pixels];
                let slope = &mut slope[item * pixels * width..][..pixels * width];
                let noise = &noise[item * pixels * width..][..pixels * width];
                for (pixel, slope) in slope.chunks_exact_mut(width).enumerate() {
                    slope.fill(0.0);
                    let weight = if whole { 1.0 } else { mask[pixel] };
                    for channel in 0..3 {
                        let gradient = gradient[channel * pixels + pixel];
                        slope[channel] = weight * gradient;
                        if !whole {
                            mask_gradient[pixel] += gradient * noise[pixel * width + channel];
                        }
                    }
                }
            }
            self.state.written[tensor] = true;
        }
        let threads = self.options.threads.clone();
        threads.install(|| {
            for step in self.decoder.iter().rev() {
                step.backward(&mut self.state, branches * images);
            }
            if before {
                self.input_gradients();
            }
        });
        let result = &mut self.mask_gradients[..images * regions * pixels];
        if self.uniform || !before {
            result.fill(0.0);
            return Ok(result);
        }
        let (finest, coarser) = self.pooled_gradients.split_at_mut(1);
        for (level, pooled) in coarser.iter().enumerate() {
            let (height, width) = (self.options.height, self.options.width);
            average_pool_gradient(pooled, regions * images, height, width, 2 << level, &mut finest[0]);
        }
        for (index, plane) in result.chunks_exact_mut(pixels).enumerate() {
            let (image, region) = (index / regions, index % regions);
            plane.copy_from_slice(&finest[0][(region * images + image) * pixels..][..pixels]);
        }
        Ok(result)
    }
}
