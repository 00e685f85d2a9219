//! What the steps of a pass read and write: parameters, activations, gradients and workspaces.

use super::embedding::LearnedEmbedding;
use super::learned::Learned;
use super::normalisation::Norm;
use super::weight_gradient::Space;
use crate::convolution::Workspaces;
use crate::embedding::Linear;
use crate::memory::{Buffer, Shared};
use crate::network::{Tensor, TensorId};
use crate::normalisation::ChannelSums;

use crate::simd::InstructionSet;

/// Scales and shifts of a block, [images, 2 channels], with their gradient.
#[derive(Clone)]
pub(crate) struct Modulation {
    pub(crate) linear: Linear,
    pub(crate) output: Vec<f32>,
    pub(crate) gradient: Vec<f32>,
}

/// See the module.
pub(crate) struct State {
    pub(crate) set: InstructionSet,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) parameters: Vec<f32>,
    pub(crate) gradients: Vec<f32>,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) values: Vec<Buffer>,
    pub(crate) slopes: Vec<Buffer>,
    /// Whether the gradient of an activation holds something in this pass.
    pub(crate) written: Vec<bool>,
    pub(crate) sums: Vec<ChannelSums>,
    pub(crate) norms: Vec<Norm>,
    pub(crate) embedding: LearnedEmbedding,
    pub(crate) modulations: Vec<Modulation>,
    /// Images of the batch under way, and the images themselves.
    pub(crate) images: usize,
    pub(crate) image: Vec<f32>,
    pub(crate) partial_sums: Buffer,
    pub(crate) scratch: Buffer,
    pub(crate) workspaces: Workspaces,
    pub(crate) space: Space,
    pub(crate) learned: Learned,
    /// Whether the part whose steps are taken back learns.
    pub(crate) learning: bool,
    /// Gradients of activations below this one are not wanted.
    pub(crate) unwanted: TensorId,
}

impl State {
    /// Height and width of an activation.
    pub(crate) fn size(&self, tensor: TensorId) -> (usize, usize) {
        let level = self.tensors[tensor].level;
        (self.height >> level, self.width >> level)
    }

    pub(crate) fn pixels(&self, tensor: TensorId) -> usize {
        let (height, width) = self.size(tensor);
        height * width
    }

    /// Numbers of one item of an activation.
    pub(crate) fn item(&self, tensor: TensorId) -> usize {
        self.pixels(tensor) * self.tensors[tensor].width
    }

    /// Adds up partial sums by item, [items, 2, width], that a step has left.
    pub(crate) fn gather_sums(&mut self, tensor: TensorId, items: usize) {
        let width = self.tensors[tensor].width;
        for (item, partial) in self.partial_sums.chunks_exact(2 * width).take(items).enumerate() {
            for (to, from) in self.sums[tensor].item_mut(item).iter_mut().zip(partial) {
                *to = f64::from(*from);
            }
        }
    }

    /// Adds `from` (the gradient of another activation of the same size) to the gradient of `tensor`.
    pub(crate) fn add_slope(&mut self, from: &[f32], tensor: TensorId, items: usize) {
        let item = self.item(tensor);
        let add = self.written[tensor];
        let mut slope = std::mem::take(&mut self.slopes[tensor]);
        assert!(from.len() >= items * item && slope.len() >= items * item);
        let to = Shared::new(&mut slope);
        let set = self.set;
        crate::threads::for_each(&mut self.workspaces.threads, items, |_, index| {
            let from = from[index * item..][..item].as_ptr();
            // SAFETY: both slices were measured; each item belongs to one task.
            unsafe { super::pixels::copy_or_add(set, from, to.pointer(index * item), add, item) };
        });
        self.slopes[tensor] = slope;
        self.written[tensor] = true;
    }
}
