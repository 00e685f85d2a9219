//! The segmentation pass (Eq. 2 to 4) on a device: through our own kernels on the CPU, through burn elsewhere.

use std::collections::HashMap;
use std::sync::OnceLock;

use burn::DispatchDevice;
use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexDevice};
use factorseg_kernels::{Architecture, KernelError, PlanOptions, SegmentationPlan, Threads};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::ModelConfig;
use crate::device::Runtime;
use crate::embedding::Conditioning;
use crate::factorized::MaskNetwork;
use crate::parameters::parameter_specs;

/// A loaded network that turns noised images into masks.
pub(crate) trait MaskPass: Send {
    /// Conditions the passes that follow on a timestep (the paper's, `1..=T`) and a class (index; the number of classes
    /// for "no class").
    fn condition(&mut self, timestep: usize, class: usize) -> Result<(), String>;

    /// `x_t`, `[batch, 3, height, width]`, to masks, `[batch, K, height, width]`.
    fn masks(&mut self, x_t: Vec<f32>, shape: [usize; 4]) -> Result<Vec<f32>, String>;
}

/// Through burn, on any device.
pub(crate) struct BurnPass {
    network: MaskNetwork<Runtime>,
    device: DispatchDevice,
    /// `[1, 4 C]`: constant while timestep and class are.
    embedding: Tensor<Runtime, 2>,
}

impl BurnPass {
    pub(crate) fn load(checkpoint: &mut Checkpoint, device: &DispatchDevice) -> Result<Self, CheckpointError> {
        let channels = checkpoint.config().embedding_channels();
        Ok(Self {
            network: checkpoint.load_mask_network(device)?,
            device: device.clone(),
            embedding: Tensor::zeros([1, channels], device),
        })
    }
}

impl MaskPass for BurnPass {
    fn condition(&mut self, timestep: usize, class: usize) -> Result<(), String> {
        let index = |value: usize| Tensor::full([1], value as i64, &self.device);
        self.embedding = self.network.embed(index(timestep), Some(index(class)));
        Ok(())
    }

    fn masks(&mut self, x_t: Vec<f32>, shape: [usize; 4]) -> Result<Vec<f32>, String> {
        let x_t = Tensor::<Runtime, 4>::from_data(TensorData::new(x_t, shape), &self.device);
        let embedding = self.embedding.clone().repeat_dim(0, shape[0]);
        let features = self.network.features(x_t, embedding);
        let masks = softmax(self.network.mask_logits(&features), 1);
        masks.into_data().into_vec().map_err(|error| format!("{error:?}"))
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

/// One pool for all networks of a process, with a thread for each core.
fn threads() -> Result<Threads, KernelError> {
    static POOL: OnceLock<Threads> = OnceLock::new();
    if let Some(threads) = POOL.get() {
        return Ok(threads.clone());
    }
    let threads = Threads::new(0)?;
    Ok(POOL.get_or_init(|| threads).clone())
}

impl CpuPass {
    pub(crate) fn load(checkpoint: &mut Checkpoint) -> Result<Self, CpuPassError> {
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
            threads: threads()?,
            ..PlanOptions::new(config.image_size, config.image_size)
        };
        let plan = SegmentationPlan::compile(&architecture(&config), lookup(&weights), &embedding, options)?;
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

    fn masks(&mut self, x_t: Vec<f32>, shape: [usize; 4]) -> Result<Vec<f32>, String> {
        let [batch, _, height, width] = shape;
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
        self.plan.run(&x_t, &mut masks).map_err(|error| error.to_string())?;
        Ok(masks)
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

fn architecture(config: &ModelConfig) -> Architecture {
    Architecture {
        base_channels: config.base_channels,
        channel_multipliers: config.channel_multipliers.clone(),
        residual_blocks: config.residual_blocks,
        attention_levels: (0..config.levels())
            .map(|level| config.level_has_attention(level))
            .collect(),
        attention_heads: config.attention_heads,
        norm_groups: config.norm_groups,
        regions: config.regions,
    }
}
