//! Passes of another network of the same shape, without gradients.

use std::ops::Range;

use factorseg_kernels::{KernelError, Masks, TrainingNetwork};

use super::NativeLearner;

impl NativeLearner {
    /// Mask logits of noised images, `[images, K, height, width]`, by another network of the same shape: `values` are
    /// its parameters.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn mask_logits(
        &mut self,
        values: &[Vec<f32>],
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
    ) -> Result<Vec<f32>, KernelError> {
        self.with_parameters(values, noised, timesteps, classes, |network, _| {
            Ok(network.mask_logits().to_vec())
        })
    }

    /// The noise that another network of the same shape predicts, `[images, 3, height, width]`, under `masks`
    /// (`[images, K, height, width]`; uniform ones if left out).
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn predict(
        &mut self,
        values: &[Vec<f32>],
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
        masks: Option<&[f32]>,
    ) -> Result<Vec<f32>, KernelError> {
        let options = self.network.options();
        let image = self.regions * options.height * options.width;
        self.with_parameters(values, noised, timesteps, classes, |network, images| {
            let given = masks.map_or(Masks::Uniform, |masks| {
                Masks::Given(&masks[images.start * image..images.end * image])
            });
            network.decode(given, None).map(<[f32]>::to_vec)
        })
    }

    /// Encodes all images, as many at once as the network takes, with `values` for parameters, and joins what `pass`
    /// makes of the images whose indices it is given. The learner's own parameters are back afterwards.
    fn with_parameters(
        &mut self,
        values: &[Vec<f32>],
        noised: &[f32],
        timesteps: &[i32],
        classes: &[i32],
        mut pass: impl FnMut(&mut TrainingNetwork, Range<usize>) -> Result<Vec<f32>, KernelError>,
    ) -> Result<Vec<f32>, KernelError> {
        let own = self.network.parameters().to_vec();
        self.network.parameters_mut().copy_from_slice(&values.concat());
        let options = self.network.options();
        let (image, batch) = (3 * options.height * options.width, options.batch);
        let mut joined = Vec::new();
        let mut result = Ok(());
        for (index, part) in timesteps.chunks(batch).enumerate() {
            let images = index * batch..index * batch + part.len();
            let timesteps: Vec<f32> = part.iter().map(|timestep| *timestep as f32).collect();
            let classes = (!classes.is_empty()).then(|| &classes[images.clone()]);
            let pictures = &noised[images.start * image..images.end * image];
            let made = match self.network.encode(pictures, &timesteps, classes) {
                Ok(()) => pass(&mut self.network, images),
                Err(error) => Err(error),
            };
            match made {
                Ok(values) => joined.extend(values),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.network.parameters_mut().copy_from_slice(&own);
        result.map(|()| joined)
    }
}
