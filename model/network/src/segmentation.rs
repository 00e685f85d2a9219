//! The segmentation pass through burn.

use std::sync::Arc;

use burn::tensor::activation::softmax;
use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor, TensorData};
use factorseg_kernels::{Architecture, KernelError, Noising, SegmentationPass};

use crate::factorized::MaskNetwork;
use crate::failures::{caught, failed};
use crate::parameters::{check, dtype_of, fill, flat, pass_dtype};

/// A network that segments on a device of burn's.
pub struct BurnSegmentation<B: Backend> {
    network: MaskNetwork<B>,
    classes: usize,
    device: B::Device,
    /// Of weights and activations.
    dtype: FloatDType,
    /// `[1, 4 C]`: constant while timestep and class are.
    embedding: Tensor<B, 2>,
    /// The noise that is on the device, `[1, samples, 3, height, width]`, weighted.
    noise: Option<(Arc<Noising>, Tensor<B, 5>)>,
}

impl<B: Backend> BurnSegmentation<B> {
    /// The network on `device`; `lookup` gives a weight's values (row-major) and shape by its name in a checkpoint. With
    /// `bf16`, weights and inputs of convolutions and projections are bfloat16; norms, softmax and conditioning stay in 32 bits.
    ///
    /// # Errors
    /// If a weight is missing or has another shape, or the device fails.
    pub fn new<'w>(
        architecture: &Architecture,
        lookup: impl Fn(&str) -> Option<(&'w [f32], &'w [usize])>,
        device: B::Device,
        bf16: bool,
    ) -> Result<Self, KernelError> {
        let list = architecture.parameters();
        for parameter in list.iter().filter(|parameter| !parameter.is_decoder()) {
            let (_, shape) = lookup(&parameter.name).ok_or_else(|| KernelError::MissingWeight {
                name: parameter.name.clone(),
            })?;
            if shape != parameter.shape {
                return Err(KernelError::WeightShape {
                    name: parameter.name.clone(),
                    expected: parameter.shape.clone(),
                    found: shape.to_vec(),
                });
            }
        }
        let dtype = pass_dtype(bf16);
        caught(|| {
            let network = MaskNetwork::new(architecture, &device);
            check(&network, list.iter().filter(|parameter| !parameter.is_decoder()))?;
            let values = |name: &str| {
                let values = lookup(name).map_or(Vec::new(), |(values, _)| values.to_vec());
                flat(values, &device).cast(dtype_of(name, dtype))
            };
            let network = fill(network, values, |_| false);
            Ok(Self {
                network,
                classes: architecture.classes,
                embedding: Tensor::zeros([1, 4 * architecture.base_channels], &device),
                device,
                dtype,
                noise: None,
            })
        })
    }

    /// The weighted noise, uploaded once for as long as it is the same.
    fn noise(&mut self, noising: &Arc<Noising>) -> Tensor<B, 5> {
        match &self.noise {
            Some((of, noise)) if Arc::ptr_eq(of, noising) => noise.clone(),
            _ => {
                let (width, height) = noising.size;
                let data = TensorData::new(noising.noise.clone(), [1, noising.samples, 3, height, width]);
                let noise = Tensor::from_data(data, &self.device) * noising.noise_weight;
                self.noise = Some((noising.clone(), noise.clone()));
                noise
            }
        }
    }
}

impl<B: Backend> SegmentationPass for BurnSegmentation<B> {
    fn condition(&mut self, timestep: usize, class: usize) -> Result<(), KernelError> {
        if self.classes > 0 && class > self.classes {
            return Err(KernelError::Size(format!(
                "there is no class {class}; the network has 0 to {}",
                self.classes
            )));
        }
        caught(|| {
            let index = |value: usize| Tensor::full([1], value as i64, &self.device);
            let embedding = self.network.embed(index(timestep), Some(index(class)));
            self.embedding = embedding.cast(self.dtype);
            Ok(())
        })
    }

    fn masks(&mut self, pictures: &[f32], noising: &Arc<Noising>) -> Result<Vec<f32>, KernelError> {
        let (width, height) = noising.size;
        let (count, samples) = (noising.pictures(pictures), noising.samples);
        caught(|| {
            // The noised pictures (Eq. 1), mixed on the device.
            let data = TensorData::new(pictures.to_vec(), [count, 1, 3, height, width]);
            let pictures = Tensor::<B, 5>::from_data(data, &self.device) * noising.picture_weight;
            let x_t = (pictures + self.noise(noising)).reshape([count * samples, 3, height, width]);
            let embedding = self.embedding.clone().repeat_dim(0, count * samples);
            let features = self.network.features(x_t.cast(self.dtype), embedding);
            let logits = self.network.mask_logits(&features);
            let masks = softmax(logits.cast(FloatDType::F32), 1);
            let [_, regions, height, width] = masks.dims();
            // What comes back is as much as one draw, however many there are.
            let masks = masks.reshape([count, samples, regions, height, width]).mean_dim(1);
            masks
                .try_into_data()
                .map_err(|error| failed(&error.to_string()))?
                .into_vec()
                .map_err(|error| KernelError::Device(format!("{error:?}")))
        })
    }
}
