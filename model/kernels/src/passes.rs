//! What a device does with the network: segment, and train. The CPU's implementations are this crate's
//! ([`SegmentationPlan`](crate::SegmentationPlan), [`CpuTraining`](crate::CpuTraining)); others go through the same two traits.

use std::ops::Range;
use std::sync::Arc;

use crate::{KernelError, Learned, Masks, Parameter};

/// The noise that pictures of one size are segmented under (Eq. 1): drawn once, mixed where the pass runs.
#[derive(Debug, PartialEq)]
pub struct Noising {
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Draws for each picture.
    pub samples: usize,
    /// The draws, `[samples, 3, height, width]`.
    pub noise: Vec<f32>,
    /// Weight of the picture.
    pub picture_weight: f32,
    /// Weight of the noise.
    pub noise_weight: f32,
}

impl Noising {
    /// Pictures in `[pictures, 3, height, width]`.
    pub fn pictures(&self, values: &[f32]) -> usize {
        values.len() / (3 * self.size.0 * self.size.1).max(1)
    }

    /// The noised pictures, `[pictures, samples, 3, height, width]`.
    pub fn noised(&self, pictures: &[f32]) -> Vec<f32> {
        let picture = self.noise.len() / self.samples;
        let mut noised = Vec::with_capacity(pictures.len() * self.samples);
        for picture in pictures.chunks_exact(picture) {
            for noise in self.noise.chunks_exact(picture.len()) {
                let both = picture.iter().zip(noise);
                noised.extend(both.map(|(value, noise)| self.picture_weight * value + self.noise_weight * noise));
            }
        }
        noised
    }

    /// The mean over the draws, `[pictures, ...]` of `[pictures, samples, ...]`.
    pub fn mean(&self, pictures: usize, values: Vec<f32>) -> Vec<f32> {
        if self.samples == 1 {
            return values;
        }
        let length = values.len() / (pictures * self.samples);
        let scale = 1.0 / self.samples as f32;
        let mut means = Vec::with_capacity(pictures * length);
        for draws in values.chunks_exact(self.samples * length) {
            means.extend((0..length).map(|at| scale * draws[at..].iter().step_by(length).sum::<f32>()));
        }
        means
    }
}

/// Finds a weight's values (row-major) and shape by its name in a checkpoint.
pub type WeightLookup<'w> = dyn Fn(&str) -> Option<(&'w [f32], &'w [usize])> + 'w;

/// A network that segments (Eq. 2 to 4).
pub trait SegmentationPass: Send {
    /// Conditions the passes that follow on a timestep (the paper's, `1..=T`) and a class (an index; the number of classes
    /// for "no class").
    ///
    /// # Errors
    /// If there is no such class, or the device fails.
    fn condition(&mut self, timestep: usize, class: usize) -> Result<(), KernelError>;

    /// Masks, `[pictures, K, height, width]`, of pictures `[pictures, 3, height, width]`: the mean over the draws of
    /// `noising`, whose size is theirs.
    ///
    /// # Errors
    /// If the pictures do not fit, or the device fails.
    fn masks(&mut self, pictures: &[f32], noising: &Arc<Noising>) -> Result<Vec<f32>, KernelError>;
}

/// The whole network (Eq. 2 to 7) with its gradients, optimizer and moving average.
///
/// A pass goes through stages, because how logits become masks, and predictions a loss, is the caller's matter: `encode`,
/// `mask_logits`, `decode`, then backwards `backward_decode`, `backward_masks`, `backward_encode`. A stage that is not wanted
/// is not called. Gradients of parameters add up from [`begin`](Self::begin) to [`update`](Self::update). Parameters,
/// gradients and moments are flat, in the order of [`Architecture::parameters`](crate::Architecture::parameters).
pub trait TrainingPass: Send {
    /// Names, shapes and places of the parameters.
    fn list(&self) -> &[Parameter];

    /// The most images of a pass.
    fn batch(&self) -> usize;

    /// All parameters.
    ///
    /// # Errors
    /// If the device fails.
    fn parameters(&self) -> Result<Vec<f32>, KernelError>;

    /// Takes over parameters, which are as many.
    ///
    /// # Errors
    /// If the device fails.
    fn set_parameters(&mut self, values: &[f32]) -> Result<(), KernelError>;

    /// The gradients of whole parameters, `range` of the flat values; 0 where one takes no part.
    ///
    /// # Errors
    /// If the device fails.
    fn gradients(&self, range: Range<usize>) -> Result<Vec<f32>, KernelError>;

    /// Replaces those of the whole parameters from `start` on, as by sums with other devices' gradients.
    ///
    /// # Errors
    /// If the device fails.
    fn set_gradients(&mut self, start: usize, values: &[f32]) -> Result<(), KernelError>;

    /// Joins the passes of other processes, which do the same: from then on their devices can sum gradients up.
    ///
    /// # Errors
    /// If this device sums nothing up with others, or cannot reach them.
    fn join(&mut self, _group: &DeviceGroup) -> Result<(), KernelError> {
        Err(KernelError::Device("it sums nothing up with other devices".to_owned()))
    }

    /// Begins to replace gradients of whole parameters by their sums over the group, which does the same for the same ranges in
    /// the same order. They are not to be touched before [`end_sums`](Self::end_sums).
    ///
    /// # Errors
    /// If it has not joined a group, or the device fails.
    fn begin_sum(&mut self, _range: Range<usize>) -> Result<(), KernelError> {
        Err(KernelError::Device("it has joined no other devices".to_owned()))
    }

    /// Waits for the sums that have begun.
    ///
    /// # Errors
    /// If the device fails.
    fn end_sums(&mut self) -> Result<(), KernelError> {
        Ok(())
    }

    /// Forgets the gradients, and says which parts learn in the passes that follow.
    fn begin(&mut self, learned: Learned);

    /// Encoder and middle block (Eq. 2 and 3) of noised images, `[images, 3, side, side]`; `timesteps` are the paper's, one an
    /// image, `classes` are one an image, or empty: all of no class.
    ///
    /// # Errors
    /// If the images are none or too many, there is no such class, or the device fails.
    fn encode(&mut self, x_t: &[f32], timesteps: &[i32], classes: &[i32]) -> Result<(), KernelError>;

    /// The mask generator's output before the softmax (Eq. 4), `[images, K, side, side]`.
    ///
    /// # Errors
    /// If the device fails.
    fn mask_logits(&mut self) -> Result<Vec<f32>, KernelError>;

    /// The predicted noise (Eq. 6 and 7), `[images, 3, side, side]`.
    ///
    /// # Errors
    /// If the masks do not fit the images, or the device fails.
    fn decode(&mut self, masks: Masks<'_>) -> Result<Vec<f32>, KernelError>;

    /// What each region's branch predicts (Eq. 6) in the pass of the last [`decode`](Self::decode), `[images, K, 3, side, side]`.
    ///
    /// # Errors
    /// If the device fails.
    fn branches(&mut self) -> Result<Vec<f32>, KernelError>;

    /// From the gradient of a loss by the predicted noise to that by the masks, `[images, K, side, side]`: zero for
    /// [`Masks::Uniform`].
    ///
    /// # Errors
    /// If the gradient does not fit the images, or the device fails.
    fn backward_decode(&mut self, gradient: &[f32]) -> Result<Vec<f32>, KernelError>;

    /// Takes the gradient by the logits, `[images, K, side, side]`, back through the mask generator.
    ///
    /// # Errors
    /// As [`backward_decode`](Self::backward_decode).
    fn backward_masks(&mut self, gradient: &[f32]) -> Result<(), KernelError>;

    /// Takes what the other two have left at `h_enc` and `h_mid` back through encoder and embedding.
    ///
    /// # Errors
    /// If the device fails.
    fn backward_encode(&mut self) -> Result<(), KernelError>;

    /// Lets the pass under way wait, and goes on with the one that has waited: two can be forward before the first is
    /// backward. The one that waits has room for [`TrainingSize::waiting`] images, encoder and mask generator.
    ///
    /// # Errors
    /// If there is no room for one.
    fn exchange(&mut self) -> Result<(), KernelError>;

    /// Moves parameters and average by the gradients.
    ///
    /// # Errors
    /// If the device fails; the parameters may have moved in part.
    fn update(&mut self, update: &Update<'_>) -> Result<(), KernelError>;

    /// Everything that a checkpoint holds.
    ///
    /// # Errors
    /// If the device fails.
    fn snapshot(&self) -> Result<Snapshot, KernelError>;

    /// Goes back to a snapshot of the same network.
    ///
    /// # Errors
    /// If the device fails.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), KernelError>;
}

/// What a [`TrainingPass`] is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingSize {
    /// Side of the square images in pixels, a multiple of the architecture's stride.
    pub side: usize,
    /// The most images of a pass.
    pub batch: usize,
    /// The most images of the pass that waits; 0: none does.
    pub waiting: usize,
}

/// Devices of several processes that sum gradients up among themselves, and which of them this one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceGroup {
    /// What one of them has named the group, and how the others find it.
    pub id: Vec<u8>,
    /// This one, from 0.
    pub rank: usize,
    /// How many there are.
    pub count: usize,
}

/// AdamW's constants (Loshchilov and Hutter).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Decay of the mean of the gradient.
    pub beta_1: f64,
    /// Decay of the mean of its square.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Part of a parameter that one learning rate takes away, independently of the gradient.
    pub weight_decay: f64,
}

/// One step of the optimizer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update<'a> {
    /// Largest norm of the whole gradient.
    pub clip: Option<f64>,
    /// Its constants.
    pub adam: Adam,
    /// Learning rate of each parameter; one at 0 stays as it is, and so do its moments.
    pub rates: &'a [f64],
    /// Part of the moving average that stays.
    pub average_rate: f64,
}

/// Adam's memory of one parameter, flat.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Decaying mean of the gradient.
    pub first: Vec<f32>,
    /// Decaying mean of its square.
    pub second: Vec<f32>,
    /// Updates so far.
    pub updates: u64,
}

/// The whole state of a network in training.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The parameters.
    pub raw: Vec<f32>,
    /// Their moving average.
    pub average: Vec<f32>,
    /// Adam's moments of each parameter; `None` before its first update.
    pub moments: Vec<Option<Moments>>,
}

#[cfg(test)]
mod tests;
