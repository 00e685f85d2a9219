//! Passes of other weights, without gradients.

use std::ops::Range;

use anyhow::Result;
use factorseg_kernels::{KernelError, Learned, Masks, TrainingPass};

use super::Learner;

impl Learner {
    /// Mask logits of noised images (`[images, 3, side, side]`, one timestep an image, `classes` empty or one an image),
    /// `[images, K, side, side]`, by other weights of the same network.
    ///
    /// # Errors
    /// If the images do not fit the network, or the device fails.
    pub fn mask_logits(
        &mut self,
        weights: &[f32],
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
    ) -> Result<Vec<f32>> {
        self.with_weights(weights, noised, timesteps, classes, |network, _| network.mask_logits())
    }

    /// The noise that other weights of the same network predict under `masks` (`[images, K, side, side]`; uniform ones if left
    /// out), `[images, 3, side, side]`.
    ///
    /// # Errors
    /// As [`Self::mask_logits`].
    pub fn predict(
        &mut self,
        weights: &[f32],
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
        masks: Option<&[f32]>,
    ) -> Result<Vec<f32>> {
        let image = self.regions * self.side * self.side;
        self.with_weights(weights, noised, timesteps, classes, |network, images| {
            network.decode(masks.map_or(Masks::Uniform, |masks| {
                Masks::Given(&masks[images.start * image..images.end * image])
            }))
        })
    }

    /// Encodes all images, as many at once as the network takes, with other weights, and joins what `pass` makes of the images
    /// whose indices it is given. The learner's own weights are back afterwards.
    fn with_weights(
        &mut self,
        weights: &[f32],
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
        pass: impl Fn(&mut dyn TrainingPass, Range<usize>) -> Result<Vec<f32>, KernelError>,
    ) -> Result<Vec<f32>> {
        let network = self.network.as_mut();
        let own = network.parameters()?;
        network.set_parameters(weights)?;
        network.begin(Learned::NOTHING);
        let (image, batch) = (3 * self.side * self.side, network.batch());
        let mut chunk = |index: usize, timesteps: &[i32]| {
            let images = index * batch..index * batch + timesteps.len();
            let classes = classes.get(images.clone()).unwrap_or_default();
            network.encode(&noised[images.start * image..images.end * image], timesteps, classes)?;
            pass(network, images)
        };
        let chunks = timesteps.chunks(batch).enumerate();
        let joined: Result<Vec<Vec<f32>>, KernelError> = chunks.map(|(index, part)| chunk(index, part)).collect();
        let back = self.network.set_parameters(&own);
        let joined = joined?.concat();
        back?;
        Ok(joined)
    }
}
