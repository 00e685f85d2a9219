//! Generation: images and their regions from noise (Algorithm 2).

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::factorized::{Factorized, Prediction};
use crate::noise::standard_normal;
use crate::schedule::NoiseSchedule;

/// Generated images and the regions of their last step.
#[derive(Clone, Debug)]
pub struct Sample<B: Backend> {
    /// `x_0`, `[batch, 3, height, width]`, about -1 to 1.
    pub images: Tensor<B, 4>,
    /// Masks at `t = 1`, `[batch, K, height, width]`.
    pub masks: Tensor<B, 4>,
}

/// What to generate.
#[derive(Clone, Debug)]
pub struct SampleRequest {
    /// Number of images.
    pub count: usize,
    /// Height and width, multiples of the network's stride.
    pub size: [usize; 2],
    /// Class of each image; `None` for no class.
    pub classes: Option<Vec<usize>>,
    /// Seed of all noise.
    pub seed: u64,
}

/// Ancestral sampling over all timesteps (Algorithm 2). `progress` hears each timestep as it is reached, from `T` to 1;
/// when it returns `false` sampling stops and the result is `None`.
pub fn sample_ddpm<B: Backend>(
    network: &Factorized<B>,
    schedule: &NoiseSchedule,
    request: &SampleRequest,
    device: &B::Device,
    mut progress: impl FnMut(usize) -> bool,
) -> Option<Sample<B>> {
    let [height, width] = request.size;
    let shape = [request.count, 3, height, width];
    let length = shape.iter().product();
    let noise = |timestep: usize| {
        // One stream of noise for each timestep.
        let seed = request.seed ^ (timestep as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Tensor::<B, 4>::from_data(TensorData::new(standard_normal(seed, length), shape), device)
    };
    let classes = request.classes.as_ref().map(|classes| {
        let classes: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
        Tensor::<B, 1, Int>::from_data(TensorData::new(classes, [request.count]), device)
    });

    let mut x_t = noise(schedule.timesteps() + 1);
    let mut masks = None;
    for timestep in (1..=schedule.timesteps()).rev() {
        if !progress(timestep) {
            return None;
        }
        let steps = Tensor::<B, 1, Int>::full([request.count], timestep as i64, device);
        let Prediction {
            noise: predicted,
            masks: regions,
        } = network.predict_noise(x_t.clone(), steps, classes.clone());
        x_t = schedule.denoise(x_t, predicted, noise(timestep), timestep);
        masks = Some(regions);
    }
    masks.map(|masks| Sample { images: x_t, masks })
}
