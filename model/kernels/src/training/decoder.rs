//! The decoder's branches under their masks (Eq. 5 to 7 of the paper), forward and backward.

use super::network::{Part, TrainingNetwork, to_planes};
use super::pixels::{Masked, average_pool, average_pool_gradient, mask_feature, mask_gradient};
use crate::KernelError;
use crate::error::check_length;
use crate::memory::Shared;
use crate::threads::for_each;

/// The masks that the decoder's branches see.
#[derive(Debug, Clone, Copy)]
pub enum Masks<'a> {
    /// 1/K everywhere. All branches are equal then, so one is computed.
    Uniform,
    /// [batch, K, height, width]
    Given(&'a [f32]),
}

impl TrainingNetwork {
    /// The predicted noise (Eq. 6 and 7), [batch, 3, height, width]: each branch sees h_enc under its own mask and
    /// h_mid whole, and the sum of the branches is weighted by the masks.
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
        let items = self.branches() * images;
        let threads = self.options.threads.clone();
        threads.install(|| {
            self.pack(Part::Decoder);
            for index in 0..self.joints.skips.len() {
                self.mask_skip(index);
            }
            self.copy_middle();
            for step in &self.decoder {
                step.forward(&mut self.state, items);
            }
        });
        let tensor = self.joints.noise;
        let width = self.state.tensors[tensor].width;
        let noise = &self.state.values[tensor];
        let branches = self.branches();
        for (image, planes) in self.prediction.chunks_exact_mut(3 * pixels).take(images).enumerate() {
            planes.fill(0.0);
            for branch in 0..branches {
                let item = branch * images + image;
                let mask = &self.pooled[0][item * pixels..][..pixels];
                let noise = &noise[item * pixels * width..][..pixels * width];
                for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
                    for (pixel, value) in plane.iter_mut().enumerate() {
                        let weight = if self.uniform { 1.0 } else { mask[pixel] };
                        *value += weight * noise[pixel * width + channel];
                    }
                }
            }
        }
        Ok(&self.prediction[..images * 3 * pixels])
    }

    /// What each region's branch has predicted (Eq. 6) in the last [`Self::decode`], [batch, K, 3, height, width].
    pub fn branch_noise(&self) -> Vec<f32> {
        let (images, regions, branches) = (self.state.images, self.architecture.regions, self.branches());
        let tensor = self.joints.noise;
        let (pixels, width) = (self.state.pixels(tensor), self.state.tensors[tensor].width);
        let mut noise = vec![0.0; images * regions * 3 * pixels];
        for (index, planes) in noise.chunks_exact_mut(3 * pixels).enumerate() {
            let item = index % regions % branches * images + index / regions;
            to_planes(&self.state.values[tensor][item * pixels * width..], width, 3, planes);
        }
        noise
    }

    /// Branches of the decoder that are computed.
    fn branches(&self) -> usize {
        if self.uniform { 1 } else { self.architecture.regions }
    }

    /// One tensor of h_enc under the masks, with its sums.
    fn mask_skip(&mut self, index: usize) {
        let (skip, masked) = self.joints.skips[index];
        let items = self.branches() * self.state.images;
        let state = &mut self.state;
        let (images, item, pixels) = (state.images, state.item(skip), state.pixels(skip));
        let tensor = state.tensors[skip];
        let mut out = std::mem::take(&mut state.values[masked]);
        assert!(out.len() >= items * item && state.partial_sums.len() >= items * 2 * tensor.width);
        let (to, sums) = (Shared::new(&mut out), Shared::new(&mut state.partial_sums));
        let (values, masks, set) = (&state.values[skip], &self.pooled[tensor.level], state.set);
        for_each(&mut state.workspaces.threads, items, |_, index| {
            let masked = Masked {
                feature: values[index % images * item..][..item].as_ptr(),
                mask: masks[index * pixels..][..pixels].as_ptr(),
                pixels,
                channels: tensor.width,
            };
            // SAFETY: everything was measured above; each item belongs to one task.
            unsafe {
                mask_feature(
                    set,
                    masked,
                    to.pointer(index * item),
                    sums.pointer(index * 2 * tensor.width),
                );
            }
        });
        state.values[masked] = out;
        state.gather_sums(masked, items);
    }

    /// h_mid for each branch, with its sums.
    fn copy_middle(&mut self) {
        let (middle, copy) = self.joints.middle;
        let branches = self.branches();
        let state = &mut self.state;
        let length = state.images * state.item(middle);
        let mut out = std::mem::take(&mut state.values[copy]);
        for to in out.chunks_exact_mut(length).take(branches) {
            to.copy_from_slice(&state.values[middle][..length]);
        }
        state.values[copy] = out;
        let mut sums = std::mem::take(&mut state.sums[copy]);
        for index in 0..branches * state.images {
            let (plain, squares) = state.sums[middle].item(index % state.images);
            let (to_plain, to_squares) = sums.item_mut(index).split_at_mut(plain.len());
            to_plain.copy_from_slice(plain);
            to_squares.copy_from_slice(squares);
        }
        state.sums[copy] = sums;
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
        let items = self.branches() * images;
        let tensor = self.joints.noise;
        let width = self.state.tensors[tensor].width;
        self.state.written[self.joints.first_decoder..].fill(false);
        for level in &mut self.pooled_gradients {
            level.fill(0.0);
        }
        let (slope, noise) = (&mut self.state.slopes[tensor], &self.state.values[tensor]);
        for item in 0..items {
            let gradient = &gradient[item % images * 3 * pixels..][..3 * pixels];
            let mask = &self.pooled[0][item * pixels..][..pixels];
            let mask_gradient = &mut self.pooled_gradients[0][item * pixels..][..pixels];
            let slope = &mut slope[item * pixels * width..][..pixels * width];
            let noise = &noise[item * pixels * width..][..pixels * width];
            for (pixel, slope) in slope.chunks_exact_mut(width).enumerate() {
                slope.fill(0.0);
                let weight = if self.uniform { 1.0 } else { mask[pixel] };
                for channel in 0..3 {
                    let gradient = gradient[channel * pixels + pixel];
                    slope[channel] = weight * gradient;
                    mask_gradient[pixel] += gradient * noise[pixel * width + channel];
                }
            }
        }
        self.state.written[tensor] = true;
        let threads = self.options.threads.clone();
        threads.install(|| {
            for step in self.decoder.iter().rev() {
                step.backward(&mut self.state, items);
            }
            for index in (0..self.joints.skips.len()).filter(|_| before) {
                self.skip_gradient(index);
            }
            if learned.encoder {
                self.middle_gradient();
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
            average_pool_gradient(pooled, items, height, width, 2 << level, &mut finest[0]);
        }
        for (index, plane) in result.chunks_exact_mut(pixels).enumerate() {
            let (image, region) = (index / regions, index % regions);
            plane.copy_from_slice(&finest[0][(region * images + image) * pixels..][..pixels]);
        }
        Ok(result)
    }

    fn skip_gradient(&mut self, index: usize) {
        let (skip, masked) = self.joints.skips[index];
        if !self.state.written[masked] {
            return;
        }
        let branches = self.branches();
        let state = &mut self.state;
        let (images, item, pixels) = (state.images, state.item(skip), state.pixels(skip));
        let tensor = state.tensors[skip];
        let mut slope = std::mem::take(&mut state.slopes[skip]);
        assert!(slope.len() >= images * item);
        let to = Shared::new(&mut slope);
        let mask_gradients = Shared::new(&mut self.pooled_gradients[tensor.level]);
        let (values, masks, set) = (&state.values[skip], &self.pooled[tensor.level], state.set);
        let (gradients, written) = (&state.slopes[masked], state.written[skip]);
        for_each(&mut state.workspaces.threads, images, |_, image| {
            for branch in 0..branches {
                let index = branch * images + image;
                let masked = Masked {
                    feature: values[image * item..][..item].as_ptr(),
                    mask: masks[index * pixels..][..pixels].as_ptr(),
                    pixels,
                    channels: tensor.width,
                };
                let gradient = gradients[index * item..][..item].as_ptr();
                // SAFETY: everything was measured or is cut by range here; an image and its masks belong to one task.
                unsafe {
                    let mask_gradients = mask_gradients.part(index * pixels, pixels).as_mut_ptr();
                    let add = written || branch > 0;
                    mask_gradient(set, masked, gradient, to.pointer(image * item), add, mask_gradients);
                }
            }
        });
        state.slopes[skip] = slope;
        state.written[skip] = true;
    }

    fn middle_gradient(&mut self) {
        let (middle, copy) = self.joints.middle;
        if !self.state.written[copy] {
            return;
        }
        let branches = self.branches();
        let state = &mut self.state;
        let (images, length) = (state.images, state.images * state.item(middle));
        let slope = std::mem::take(&mut state.slopes[copy]);
        for from in slope.chunks_exact(length).take(branches) {
            state.add_slope(from, middle, images);
        }
        state.slopes[copy] = slope;
    }
}
