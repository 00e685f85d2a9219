//! Generation: images and their regions from noise (Algorithm 2).

use factorseg_kernels::{KernelError, Masks, TrainingPass};

use crate::noise::standard_normal;
use crate::schedule::NoiseSchedule;
use crate::softmax::softmax;

/// Generated images and the regions of their last step.
#[derive(Clone, Debug)]
pub struct Sample {
    /// `x_0`, `[count, 3, side, side]`, about -1 to 1.
    pub images: Vec<f32>,
    /// Masks at `t = 1`, `[count, K, side, side]`.
    pub masks: Vec<f32>,
}

/// What to generate.
#[derive(Clone, Debug)]
pub struct SampleRequest {
    /// Number of images.
    pub count: usize,
    /// Side in pixels: that of the passes.
    pub side: usize,
    /// Regions K.
    pub regions: usize,
    /// Class of each image; empty for no class.
    pub classes: Vec<i32>,
    /// Seed of all noise.
    pub seed: u64,
}

/// Ancestral sampling over all timesteps (Algorithm 2), as many images at once as the passes take. `progress` hears each
/// timestep as it is reached, from `T` to 1; when it returns `false` sampling stops and the result is `None`.
///
/// # Errors
/// If the request does not fit the network, or its device fails.
pub fn sample_ddpm(
    network: &mut dyn TrainingPass,
    schedule: &NoiseSchedule,
    request: &SampleRequest,
    mut progress: impl FnMut(usize) -> bool,
) -> Result<Option<Sample>, KernelError> {
    let SampleRequest {
        count, side, regions, ..
    } = *request;
    let (image, batch) = (3 * side * side, network.batch());
    let noise = |timestep: usize| {
        // One stream of noise for each timestep.
        let seed = request.seed ^ (timestep as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        standard_normal(seed, count * image)
    };
    let mut images = noise(schedule.timesteps() + 1);
    let mut masks = Vec::new();
    for timestep in (1..=schedule.timesteps()).rev() {
        if !progress(timestep) {
            return Ok(None);
        }
        let mut predicted = Vec::with_capacity(images.len());
        masks.clear();
        for (index, part) in images.chunks(batch * image).enumerate() {
            let parts = part.len() / image;
            let classes = match request.classes.is_empty() {
                true => &[],
                false => &request.classes[index * batch..][..parts],
            };
            network.encode(part, &vec![timestep as i32; parts], classes)?;
            let mut regions_of_part = network.mask_logits()?;
            softmax(&mut regions_of_part, parts, regions);
            predicted.extend(network.decode(Masks::Given(&regions_of_part))?);
            masks.extend(regions_of_part);
        }
        schedule.denoise(&mut images, &predicted, &noise(timestep), timestep);
    }
    Ok(Some(Sample { images, masks }))
}
