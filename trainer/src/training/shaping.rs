//! From the mask generator's logits to the masks that the decoder sees (Eq. 4) on the CPU, and back: small steps, each
//! with the gradient of what it does.
//!
//! A new kind of shaping is a type that implements [`Shaping`], put into the list of [`steps`]; its gradient is tested
//! against finite differences in this module, and against the same function of [`super::masks`], which runs on a GPU.

use crate::recipe::{MaskShaping, Normalisation};

use super::masks::VARIANCE_FLOOR;

/// One number for each image, region and pixel: `[images, regions, pixels]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// The numbers.
    pub values: Vec<f32>,
    /// Images.
    pub images: usize,
    /// Regions K.
    pub regions: usize,
}

impl Volume {
    /// Pixels of an image.
    pub fn pixels(&self) -> usize {
        self.values.len() / (self.images * self.regions).max(1)
    }

    fn at(&self, image: usize, region: usize, pixel: usize) -> usize {
        (image * self.regions + region) * self.pixels() + pixel
    }

    /// Calls `function` with the numbers of all regions at each pixel, which it may change.
    fn at_pixels(&mut self, mut function: impl FnMut(&mut [f32])) {
        let (regions, pixels) = (self.regions, self.pixels());
        let mut line = vec![0.0; regions];
        for image in self.values.chunks_exact_mut((regions * pixels).max(1)) {
            for pixel in 0..pixels {
                for (region, value) in line.iter_mut().enumerate() {
                    *value = image[region * pixels + pixel];
                }
                function(&mut line);
                for (region, value) in line.iter().enumerate() {
                    image[region * pixels + pixel] = *value;
                }
            }
        }
    }

    /// The planes of one region in all images.
    fn planes(&self, region: usize) -> impl Iterator<Item = &[f32]> {
        let pixels = self.pixels().max(1);
        self.values.chunks_exact(pixels).skip(region).step_by(self.regions)
    }

    fn planes_mut(&mut self, region: usize) -> impl Iterator<Item = &mut [f32]> {
        let (pixels, regions) = (self.pixels().max(1), self.regions);
        self.values.chunks_exact_mut(pixels).skip(region).step_by(regions)
    }

    /// Mean and standard deviation of a region's numbers over images and pixels.
    pub fn statistics(&self, region: usize) -> (f64, f64) {
        let mean = self.mean(region, |value| value);
        let variance = self.mean(region, |value| (value - mean).powi(2));
        (mean, (variance + VARIANCE_FLOOR).sqrt())
    }

    /// Mean of `function` over all numbers of a region.
    fn mean(&self, region: usize, function: impl Fn(f64) -> f64) -> f64 {
        let sum: f64 = self
            .planes(region)
            .flat_map(|plane| plane.iter().map(|&value| function(f64::from(value))))
            .sum();
        sum / (self.images * self.pixels()).max(1) as f64
    }
}

/// One step of the way from logits to masks.
pub trait Shaping {
    /// Changes the numbers; keeps what the gradient needs.
    fn forward(&mut self, volume: &mut Volume);

    /// From the gradient by the step's result to that by what it got.
    fn backward(&self, gradient: &mut Volume);
}

/// The steps of a shaping. `gumbel` is noise of the logits' shape where the shaping asks for it. With the default
/// shaping and temperature 1 this is the paper's plain softmax.
pub fn steps(shaping: &MaskShaping, temperature: f64, gumbel: Option<Vec<f32>>) -> Vec<Box<dyn Shaping>> {
    let mut steps: Vec<Box<dyn Shaping>> = Vec::new();
    if shaping.normalise != Normalisation::None {
        steps.push(Box::new(ZeroSum));
        steps.push(Box::new(FixedOffset));
        steps.push(Box::new(Standardise::new(shaping.normalise == Normalisation::Batch)));
    }
    if temperature != 1.0 {
        steps.push(Box::new(Divide(temperature as f32)));
    }
    if let Some(noise) = gumbel {
        steps.push(Box::new(Noise {
            noise,
            scale: shaping.gumbel as f32,
        }));
    }
    steps.push(Box::new(Softmax::default()));
    if shaping.hard > 0.0 {
        steps.push(Box::new(StraightThrough(shaping.hard as f32)));
    }
    steps
}

/// Goes through all steps.
pub fn forward(steps: &mut [Box<dyn Shaping>], volume: &mut Volume) {
    for step in steps {
        step.forward(volume);
    }
}

/// Goes back through all steps.
pub fn backward(steps: &[Box<dyn Shaping>], gradient: &mut Volume) {
    for step in steps.iter().rev() {
        step.backward(gradient);
    }
}

/// Takes out what all regions' logits have in common at a pixel: the softmax does not see it, but it would carry the
/// variance.
#[derive(Debug)]
pub struct ZeroSum;

impl Shaping for ZeroSum {
    fn forward(&mut self, volume: &mut Volume) {
        volume.at_pixels(|values| {
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            values.iter_mut().for_each(|value| *value -= mean);
        });
    }

    fn backward(&self, gradient: &mut Volume) {
        ZeroSum.forward(gradient);
    }
}

/// Leaves the logits as they are, but lets no gradient through to a picture's own mean of a region. Otherwise the
/// cheapest way to keep regions in balance over a batch is to give whole pictures to one region or another, without
/// any boundary.
#[derive(Debug)]
pub struct FixedOffset;

impl Shaping for FixedOffset {
    fn forward(&mut self, _: &mut Volume) {}

    fn backward(&self, gradient: &mut Volume) {
        let pixels = gradient.pixels().max(1);
        for plane in gradient.values.chunks_exact_mut(pixels) {
            let mean = plane.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels as f64;
            plane.iter_mut().for_each(|value| *value -= mean as f32);
        }
    }
}

/// Mean 0 of each region over batch and pixels and, if asked for, variance 1.
#[derive(Debug)]
pub struct Standardise {
    scale: bool,
    deviations: Vec<f64>,
    /// The result.
    values: Option<Volume>,
}

impl Standardise {
    /// Of mean and, with `scale`, variance.
    pub fn new(scale: bool) -> Self {
        Self {
            scale,
            deviations: Vec::new(),
            values: None,
        }
    }
}

impl Shaping for Standardise {
    fn forward(&mut self, volume: &mut Volume) {
        self.deviations.clear();
        for region in 0..volume.regions {
            let (mean, deviation) = volume.statistics(region);
            let deviation = if self.scale { deviation } else { 1.0 };
            self.deviations.push(deviation);
            for value in volume.planes_mut(region).flatten() {
                *value = ((f64::from(*value) - mean) / deviation) as f32;
            }
        }
        self.values = self.scale.then(|| volume.clone());
    }

    fn backward(&self, gradient: &mut Volume) {
        for (region, deviation) in self.deviations.iter().enumerate() {
            let mean = gradient.mean(region, |value| value);
            let Some(values) = &self.values else {
                for slope in gradient.planes_mut(region).flatten() {
                    *slope -= mean as f32;
                }
                continue;
            };
            let products: f64 = gradient
                .planes(region)
                .flatten()
                .zip(values.planes(region).flatten())
                .map(|(&slope, &value)| f64::from(slope) * f64::from(value))
                .sum();
            let common = products / (gradient.images * gradient.pixels()).max(1) as f64;
            for (slope, &value) in gradient
                .planes_mut(region)
                .flatten()
                .zip(values.planes(region).flatten())
            {
                *slope = ((f64::from(*slope) - mean - f64::from(value) * common) / deviation) as f32;
            }
        }
    }
}

/// Divides by the temperature.
#[derive(Debug)]
pub struct Divide(pub f32);

impl Shaping for Divide {
    fn forward(&mut self, volume: &mut Volume) {
        volume.values.iter_mut().for_each(|value| *value /= self.0);
    }

    fn backward(&self, gradient: &mut Volume) {
        gradient.values.iter_mut().for_each(|value| *value /= self.0);
    }
}

/// Adds noise.
#[derive(Debug)]
pub struct Noise {
    /// One number for each of the logits.
    pub noise: Vec<f32>,
    /// What it is multiplied with.
    pub scale: f32,
}

impl Shaping for Noise {
    fn forward(&mut self, volume: &mut Volume) {
        for (value, noise) in volume.values.iter_mut().zip(&self.noise) {
            *value += noise * self.scale;
        }
    }

    fn backward(&self, _: &mut Volume) {}
}

/// Softmax over the regions.
#[derive(Debug, Default)]
pub struct Softmax {
    masks: Option<Volume>,
}

impl Shaping for Softmax {
    fn forward(&mut self, volume: &mut Volume) {
        volume.at_pixels(|values| {
            let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            values.iter_mut().for_each(|value| *value = (*value - largest).exp());
            let total: f32 = values.iter().sum();
            values.iter_mut().for_each(|value| *value /= total);
        });
        self.masks = Some(volume.clone());
    }

    fn backward(&self, gradient: &mut Volume) {
        let Some(masks) = &self.masks else { return };
        for image in 0..masks.images {
            for pixel in 0..masks.pixels() {
                let places = || (0..masks.regions).map(|region| masks.at(image, region, pixel));
                let mean: f32 = places().map(|place| masks.values[place] * gradient.values[place]).sum();
                for place in places() {
                    gradient.values[place] = masks.values[place] * (gradient.values[place] - mean);
                }
            }
        }
    }
}

/// Towards one-hot of the largest region forward (of equal ones the first), the soft masks' gradient backward.
#[derive(Debug)]
pub struct StraightThrough(pub f32);

impl Shaping for StraightThrough {
    fn forward(&mut self, volume: &mut Volume) {
        let part = self.0;
        volume.at_pixels(|values| {
            let mut largest = 0;
            for (region, value) in values.iter().enumerate() {
                if *value > values[largest] {
                    largest = region;
                }
            }
            for (region, value) in values.iter_mut().enumerate() {
                let hard = if region == largest { 1.0 } else { 0.0 };
                *value += (hard - *value) * part;
            }
        });
    }

    fn backward(&self, _: &mut Volume) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::normal;
    use crate::data::order::{Stream, random};
    use crate::recipe::Ramp;
    use crate::training::masks::shape_masks;
    use crate::training::{Device, Tensor};
    use burn::tensor::TensorData;
    use factorseg_model::DeviceSpec;

    const SHAPE: [usize; 4] = [2, 3, 3, 4];

    fn values(seed: u64) -> Vec<f32> {
        let mut values = Vec::new();
        normal(&mut random(seed, Stream::Sample, 0), 72, &mut values);
        values
    }

    fn volume(values: Vec<f32>) -> Volume {
        Volume {
            values,
            images: SHAPE[0],
            regions: SHAPE[1],
        }
    }

    fn shapings() -> Vec<(MaskShaping, f64)> {
        let mut all = Vec::new();
        for normalise in [Normalisation::None, Normalisation::Batch, Normalisation::BatchCentre] {
            for hard in [0.0, 0.4, 1.0] {
                for gumbel in [0.0, 0.5] {
                    for temperature in [1.0, 0.6] {
                        let shaping = MaskShaping {
                            normalise,
                            hard,
                            gumbel,
                            temperature: Ramp::constant(temperature),
                        };
                        all.push((shaping, temperature));
                    }
                }
            }
        }
        all
    }

    /// Masks and gradients of every combination are those of the function that runs on a GPU.
    #[test]
    fn every_shaping_equals_that_of_the_tape() {
        let device = Device::autodiff(DeviceSpec::Cpu.resolve().unwrap());
        let tensor = |values: Vec<f32>| Tensor::<4>::from_data(TensorData::new(values, SHAPE), &device);
        let read = |tensor: Tensor<4>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
        let noise = |shaping: &MaskShaping| (shaping.gumbel > 0.0).then(|| values(2));
        for (shaping, temperature) in shapings() {
            let logits = tensor(values(1)).require_grad();
            let masks = shape_masks(logits.clone(), &shaping, temperature, noise(&shaping).map(tensor));
            let loss = (masks.clone() * tensor(values(3))).sum();
            let expected = read(logits.grad(&loss.backward()).map(Tensor::from_inner).unwrap());

            let mut steps = steps(&shaping, temperature, noise(&shaping));
            let mut found = volume(values(1));
            forward(&mut steps, &mut found);
            let mut gradient = volume(values(3));
            backward(&steps, &mut gradient);
            for (a, b) in found.values.iter().zip(read(masks)) {
                assert!((a - b).abs() < 1e-5, "{shaping:?}: mask {a} for {b}");
            }
            for (a, b) in gradient.values.iter().zip(expected) {
                assert!((a - b).abs() < 2e-5, "{shaping:?}: gradient {a} for {b}");
            }
        }
    }

    /// The gradients of the steps that have none by intention are left out.
    #[test]
    fn gradients_equal_finite_differences() {
        type Make = fn() -> Box<dyn Shaping>;
        let all: [Make; 5] = [
            || Box::new(ZeroSum),
            || Box::new(Standardise::new(true)),
            || Box::new(Standardise::new(false)),
            || Box::new(Divide(0.7)),
            || Box::new(Softmax::default()),
        ];
        for (index, make) in all.iter().enumerate() {
            let objective = |logits: Vec<f32>| -> f64 {
                let mut volume = volume(logits);
                make().forward(&mut volume);
                let weighted = volume.values.iter().zip(values(3));
                weighted.map(|(a, b)| f64::from(*a) * f64::from(b)).sum()
            };
            let mut step = make();
            step.forward(&mut volume(values(1)));
            let mut gradient = volume(values(3));
            step.backward(&mut gradient);
            for place in (0..72).step_by(5) {
                let moved = |distance: f32| {
                    let mut logits = values(1);
                    logits[place] += distance;
                    objective(logits)
                };
                let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let found = f64::from(gradient.values[place]);
                assert!((found - expected).abs() < 2e-3, "step {index}: {found} for {expected}");
            }
        }
    }
}
