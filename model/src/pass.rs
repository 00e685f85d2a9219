//! The segmentation pass (Eq. 2 to 4) on a device: through our own kernels on the CPU, through burn elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use burn::DispatchDevice;
use burn::tensor::activation::softmax;
use burn::tensor::{FloatDType, Tensor, TensorData};
use burn_flex::{Flex, FlexDevice};
use factorseg_kernels::{Arithmetic, KernelError, PlanOptions, SegmentationPlan, Threads};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::device::Runtime;
use crate::draws::Draws;
use crate::embedding::Conditioning;
use crate::factorized::MaskNetwork;
use crate::load::Precision;
use crate::parameters::{cast_weights, parameter_specs};
use crate::segmenter::InputImage;

/// A loaded network that turns noised images into masks.
pub(crate) trait MaskPass: Send {
    /// Conditions the passes that follow on a timestep (the paper's, `1..=T`) and a class (index; the number of classes
    /// for "no class").
    fn condition(&mut self, timestep: usize, class: usize) -> Result<(), String>;

    /// Masks of images of the size of `draws`, `[images, K, height, width]`: the mean over the draws.
    fn masks(&mut self, images: &[InputImage], draws: &Arc<Draws>) -> Result<Vec<f32>, String>;
}

/// Through burn, on any device.
pub(crate) struct BurnPass {
    network: MaskNetwork<Runtime>,
    device: DispatchDevice,
    /// Of weights and activations.
    dtype: FloatDType,
    /// `[1, 4 C]`: constant while timestep and class are.
    embedding: Tensor<Runtime, 2>,
    /// The noise that is on the device, `[1, samples, 3, height, width]`, weighted.
    noise: Option<(Arc<Draws>, Tensor<Runtime, 5>)>,
}

impl BurnPass {
    pub(crate) fn load(
        checkpoint: &mut Checkpoint,
        device: &DispatchDevice,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        let channels = checkpoint.config().embedding_channels();
        let mut network: MaskNetwork<Runtime> = checkpoint.load_mask_network(device)?;
        let dtype = match precision {
            Precision::Auto | Precision::F32 => FloatDType::F32,
            Precision::Bf16 => FloatDType::BF16,
        };
        if dtype != FloatDType::F32 {
            network = cast_weights(network, dtype);
        }
        Ok(Self {
            network,
            device: device.clone(),
            dtype,
            embedding: Tensor::zeros([1, channels], device),
            noise: None,
        })
    }

    /// The weighted noise, uploaded once for as long as it is the same.
    fn noise(&mut self, draws: &Arc<Draws>) -> Tensor<Runtime, 5> {
        match &self.noise {
            Some((of, noise)) if Arc::ptr_eq(of, draws) => noise.clone(),
            _ => {
                let (width, height) = draws.size;
                let data = TensorData::new(draws.noise.clone(), [1, draws.samples, 3, height, width]);
                let noise = Tensor::from_data(data, &self.device) * draws.noise_weight;
                self.noise = Some((draws.clone(), noise.clone()));
                noise
            }
        }
    }

    /// The noised images (Eq. 1), mixed on the device, `[images * samples, 3, height, width]`.
    fn noised(&mut self, images: &[InputImage], draws: &Arc<Draws>) -> Tensor<Runtime, 4> {
        let (width, height) = draws.size;
        let pixels: Vec<f32> = images.iter().flat_map(|image| image.data.iter().copied()).collect();
        let data = TensorData::new(pixels, [images.len(), 1, 3, height, width]);
        let images_of = Tensor::<Runtime, 5>::from_data(data, &self.device) * draws.image_weight;
        (images_of + self.noise(draws)).reshape([images.len() * draws.samples, 3, height, width])
    }
}

impl MaskPass for BurnPass {
    fn condition(&mut self, timestep: usize, class: usize) -> Result<(), String> {
        let index = |value: usize| Tensor::full([1], value as i64, &self.device);
        let embedding = self.network.embed(index(timestep), Some(index(class)));
        self.embedding = embedding.cast(self.dtype);
        Ok(())
    }

    fn masks(&mut self, images: &[InputImage], draws: &Arc<Draws>) -> Result<Vec<f32>, String> {
        let x_t = self.noised(images, draws);
        let embedding = self.embedding.clone().repeat_dim(0, images.len() * draws.samples);
        let features = self.network.features(x_t.cast(self.dtype), embedding);
        let logits = self.network.mask_logits(&features);
        let masks = softmax(logits.cast(FloatDType::F32), 1);
        let [_, regions, height, width] = masks.dims();
        let masks = masks.reshape([images.len(), draws.samples, regions, height, width]);
        // What comes back is as much as one draw, however many there are.
        masks
            .mean_dim(1)
            .into_data()
            .into_vec()
            .map_err(|error| format!("{error:?}"))
    }
}

/// Through `factorseg-kernels`: a plan for one image size, with everything folded in that the image does not change.
pub(crate) struct CpuPass {
    plan: SegmentationPlan,
    conditioning: Conditioning<Flex>,
    /// What depends on the conditioning: folded anew whenever it changes.
    folded: Weights,
    regions: usize,
}

/// Values and shapes by name.
type Weights = HashMap<String, (Vec<f32>, Vec<usize>)>;

fn lookup<'w>(weights: &'w Weights) -> impl Fn(&str) -> Option<(&'w [f32], &'w [usize])> {
    |name| {
        weights
            .get(name)
            .map(|(values, shape)| (values.as_slice(), shape.as_slice()))
    }
}

/// `count` threads, 0 for one per core: the same ones for all networks of a process that ask for as many.
fn threads(count: usize) -> Result<Threads, KernelError> {
    static POOLS: LazyLock<Mutex<HashMap<usize, Threads>>> = LazyLock::new(Mutex::default);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(threads) = pools.get(&count) {
        return Ok(threads.clone());
    }
    let threads = Threads::new(count)?;
    pools.insert(count, threads.clone());
    Ok(threads)
}

impl CpuPass {
    pub(crate) fn load(
        checkpoint: &mut Checkpoint,
        thread_count: usize,
        precision: Precision,
    ) -> Result<Self, CpuPassError> {
        let config = checkpoint.config().clone();
        let mut conditioning = Conditioning::new(&config, &FlexDevice);
        conditioning = checkpoint.fill(conditioning)?;
        let network = config.init_mask_network::<Flex>(&FlexDevice);
        checkpoint.check(&network)?;
        let mut weights = Weights::new();
        for spec in parameter_specs(&network) {
            let values = checkpoint.read(&spec.name)?;
            weights.insert(spec.name, (values, spec.shape));
        }
        let embedding = vec![0.0; config.embedding_channels()];
        let options = PlanOptions {
            threads: threads(thread_count)?,
            arithmetic: match precision {
                Precision::Auto | Precision::F32 => Arithmetic::F32,
                Precision::Bf16 => Arithmetic::Bf16,
            },
            ..PlanOptions::new(config.image_size, config.image_size)
        };
        let plan = SegmentationPlan::compile(&config.architecture(), lookup(&weights), &embedding, options)?;
        weights.retain(|name, _| name.contains(".embedding.") || name.contains(".norm_2."));
        Ok(Self {
            plan,
            conditioning,
            folded: weights,
            regions: config.regions,
        })
    }
}

impl MaskPass for CpuPass {
    fn condition(&mut self, timestep: usize, class: usize) -> Result<(), String> {
        let index = |value: usize| Tensor::full([1], value as i64, &FlexDevice);
        let embedding = self.conditioning.forward(index(timestep), Some(index(class)));
        let embedding = embedding
            .into_data()
            .into_vec::<f32>()
            .map_err(|error| format!("{error:?}"))?;
        self.plan
            .set_embedding(lookup(&self.folded), &embedding)
            .map_err(|error| error.to_string())
    }

    fn masks(&mut self, images: &[InputImage], draws: &Arc<Draws>) -> Result<Vec<f32>, String> {
        let (width, height) = draws.size;
        let batch = images.len() * draws.samples;
        let planned = self.plan.options();
        if (planned.height, planned.width) != (height, width) || planned.batch < batch {
            let options = PlanOptions {
                height,
                width,
                batch,
                ..planned.clone()
            };
            self.plan = self.plan.resized(options).map_err(|error| error.to_string())?;
        }
        let mut masks = vec![0.0; batch * self.regions * height * width];
        self.plan
            .run(&draws.noised(images), &mut masks)
            .map_err(|error| error.to_string())?;
        Ok(draws.mean(images.len(), masks))
    }
}

/// Why a checkpoint cannot run on the CPU.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CpuPassError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::CheckpointSource;
    use crate::device::DeviceSpec;
    use crate::load::LoadOptions;
    use crate::schedule::NoiseSchedule;
    use crate::segmenter::{Engine, SegmentError, Segmenter, SegmenterOptions};

    /// Masks of the shipped checkpoint by the pass that `load` makes.
    fn masks(load: impl Fn(&mut Checkpoint) -> Box<dyn MaskPass>) -> Vec<f32> {
        let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path("")).unwrap();
        let side = checkpoint.config().image_size;
        let classes = checkpoint.config().no_class();
        let mut pass = load(&mut checkpoint);
        pass.condition(30, classes).unwrap();
        let image = InputImage {
            width: side,
            height: side,
            data: (0..3 * side * side).map(|i| (i as f32 * 0.013).sin()).collect(),
        };
        let schedule = NoiseSchedule::new(&checkpoint.config().schedule);
        let draws = Draws::new(&SegmenterOptions::default(), &schedule, (side, side));
        pass.masks(&[image], &Arc::new(draws)).unwrap()
    }

    fn assert_rounded(exact: &[f32], rounded: &[f32]) {
        assert!(rounded.iter().all(|value| value.is_finite()));
        let differences = exact.iter().zip(rounded).map(|(a, b)| (a - b).abs());
        let mean = differences.sum::<f32>() / exact.len() as f32;
        println!("mean difference of probabilities in bfloat16: {mean:.5}");
        // Rounded at all, and no more than 8 bits of mantissa explain.
        assert!(mean > 1e-6 && mean < 0.02, "{mean}");
    }

    /// What burn computes on CUDA in bfloat16, computed by burn on the CPU.
    #[test]
    fn masks_in_bfloat16_are_those_in_32_bits_but_for_rounding() {
        let device = DeviceSpec::Cpu.resolve().unwrap();
        let [exact, rounded] = [Precision::F32, Precision::Bf16]
            .map(|precision| masks(|checkpoint| Box::new(BurnPass::load(checkpoint, &device, precision).unwrap())));
        assert_rounded(&exact, &rounded);
    }

    /// The same with our own kernels, or the error of a processor that has no bfloat16.
    #[test]
    fn the_cpu_computes_in_bfloat16_where_it_can() {
        let load = |precision| {
            let how = LoadOptions {
                device: DeviceSpec::Cpu,
                precision,
                threads: 1,
            };
            Segmenter::load(&CheckpointSource::Embedded, how, &SegmenterOptions::default())
        };
        if !Precision::Bf16.runs_on_this_processor() {
            let error = load(Precision::Bf16).err().unwrap();
            assert!(matches!(error, SegmentError::Precision { .. }), "{error}");
            return;
        }
        assert_eq!(load(Precision::Bf16).unwrap().info().precision, Precision::Bf16);
        let [exact, rounded] = [Precision::F32, Precision::Bf16]
            .map(|precision| masks(|checkpoint| Box::new(CpuPass::load(checkpoint, 1, precision).unwrap())));
        assert_rounded(&exact, &rounded);
    }

    #[test]
    fn networks_with_as_many_threads_share_them() {
        let (Threads::Pool(first), Threads::Pool(second)) = (threads(3).unwrap(), threads(3).unwrap()) else {
            panic!("three threads are a pool");
        };
        assert!(std::sync::Arc::ptr_eq(&first, &second));
        assert_eq!(threads(1).unwrap().count(), 1);
    }
}
