//! What the decoder reads of encoder, middle block and masks, and the gradients that it leaves there.

use super::network::TrainingNetwork;
use super::pixels::{Masked, mask_feature, mask_gradient};
use crate::memory::Shared;
use crate::network::DecoderInput;
use crate::threads::for_each;

impl TrainingNetwork {
    /// Features for each branch, masked or whole, and the masks themselves.
    pub(super) fn read_inputs(&mut self) {
        for index in 0..self.joints.inputs.len() {
            let input = self.joints.inputs[index];
            match input.region {
                Some(region) => self.mask_input(input, region),
                None => self.copy_input(input),
            }
        }
        let (images, regions) = (self.state.images, self.architecture.regions);
        for &tensor in &self.joints.masks {
            let (level, width) = (self.state.tensors[tensor].level, self.state.tensors[tensor].width);
            let pixels = self.state.pixels(tensor);
            let planes = self.pooled[level].chunks_exact(pixels).take(regions * images);
            for (index, plane) in planes.enumerate() {
                let (region, image) = (index / images, index % images);
                let lines = self.state.values[tensor][image * pixels * width..].chunks_exact_mut(width);
                lines.zip(plane).for_each(|(line, mask)| line[region] = *mask);
            }
        }
    }

    /// Takes the gradients that the decoder has left at its inputs back to what they came from.
    pub(super) fn input_gradients(&mut self) {
        for index in 0..self.joints.inputs.len() {
            let input = self.joints.inputs[index];
            match input.region {
                _ if !self.state.written[input.to] => {}
                Some(region) => self.masked_gradient(input, region),
                None if self.state.learned.encoder => self.copied_gradient(input),
                None => {}
            }
        }
        let (images, regions) = (self.state.images, self.architecture.regions);
        for &tensor in self.joints.masks.iter().filter(|&&tensor| self.state.written[tensor]) {
            let (level, width) = (self.state.tensors[tensor].level, self.state.tensors[tensor].width);
            let pixels = self.state.pixels(tensor);
            let planes = self.pooled_gradients[level].chunks_exact_mut(pixels);
            for (index, plane) in planes.take(regions * images).enumerate() {
                let (region, image) = (index / images, index % images);
                let lines = self.state.slopes[tensor][image * pixels * width..].chunks_exact(width);
                plane.iter_mut().zip(lines).for_each(|(to, line)| *to += line[region]);
            }
        }
    }

    /// A feature under the masks of a decoder's branches, the first of which is `region`'s, with its sums.
    fn mask_input(&mut self, DecoderInput { from, to: masked, .. }: DecoderInput, region: usize) {
        let items = self.branches() * self.state.images;
        let state = &mut self.state;
        let (images, item, pixels) = (state.images, state.item(from), state.pixels(from));
        let tensor = state.tensors[from];
        let mut out = std::mem::take(&mut state.values[masked]);
        assert!(out.len() >= items * item && state.partial_sums.len() >= items * 2 * tensor.width);
        let (to, sums) = (Shared::new(&mut out), Shared::new(&mut state.partial_sums));
        let (values, set) = (&state.values[from], state.set);
        let masks = &self.pooled[tensor.level][region * images * pixels..];
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

    /// A feature for each branch, with its sums.
    fn copy_input(&mut self, DecoderInput { from, to: copy, .. }: DecoderInput) {
        let branches = self.branches();
        let state = &mut self.state;
        let length = state.images * state.item(from);
        let mut out = std::mem::take(&mut state.values[copy]);
        for to in out.chunks_exact_mut(length).take(branches) {
            to.copy_from_slice(&state.values[from][..length]);
        }
        state.values[copy] = out;
        let mut sums = std::mem::take(&mut state.sums[copy]);
        for index in 0..branches * state.images {
            let (plain, squares) = state.sums[from].item(index % state.images);
            let (to_plain, to_squares) = sums.item_mut(index).split_at_mut(plain.len());
            to_plain.copy_from_slice(plain);
            to_squares.copy_from_slice(squares);
        }
        state.sums[copy] = sums;
    }

    fn masked_gradient(&mut self, DecoderInput { from, to: masked, .. }: DecoderInput, region: usize) {
        let branches = self.branches();
        let state = &mut self.state;
        let (images, item, pixels) = (state.images, state.item(from), state.pixels(from));
        let tensor = state.tensors[from];
        let mut slope = std::mem::take(&mut state.slopes[from]);
        assert!(slope.len() >= images * item);
        let to = Shared::new(&mut slope);
        let first = region * images * pixels;
        let mask_gradients = Shared::new(&mut self.pooled_gradients[tensor.level][first..]);
        let (values, masks, set) = (&state.values[from], &self.pooled[tensor.level][first..], state.set);
        let (gradients, written) = (&state.slopes[masked], state.written[from]);
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
        state.slopes[from] = slope;
        state.written[from] = true;
    }

    fn copied_gradient(&mut self, DecoderInput { from, to: copy, .. }: DecoderInput) {
        let branches = self.branches();
        let state = &mut self.state;
        let (images, length) = (state.images, state.images * state.item(from));
        let slope = std::mem::take(&mut state.slopes[copy]);
        for from_branch in slope.chunks_exact(length).take(branches) {
            state.add_slope(from_branch, from, images);
        }
        state.slopes[copy] = slope;
    }
}
