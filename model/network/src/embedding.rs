//! Time and class conditioning: the vector that every residual block is scaled and shifted by.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

use factorseg_kernels::Architecture;

/// Longest wavelength of the sinusoidal embedding, in timesteps (as in DDPM).
const MAXIMUM_PERIOD: f64 = 10_000.0;

/// Sinusoidal embedding of the timestep, followed by two linear layers.
#[derive(Module, Debug)]
pub struct TimeEmbedding<B: Backend> {
    /// `C` to `4 C`.
    pub linear_1: Linear<B>,
    /// `4 C` to `4 C`.
    pub linear_2: Linear<B>,
}

impl<B: Backend> TimeEmbedding<B> {
    pub(crate) fn new(architecture: &Architecture, device: &B::Device) -> Self {
        let hidden = 4 * architecture.base_channels;
        Self {
            linear_1: LinearConfig::new(architecture.base_channels, hidden).init(device),
            linear_2: LinearConfig::new(hidden, hidden).init(device),
        }
    }

    /// Embeds timesteps of the paper's numbering, `[batch]` in `1..=T`, as `[batch, 4 C]`.
    pub fn forward(&self, timestep: Tensor<B, 1>) -> Tensor<B, 2> {
        let [channels, _] = self.linear_1.weight.dims();
        let hidden = self.linear_1.forward(sinusoid(timestep, channels));
        self.linear_2.forward(silu(hidden))
    }
}

/// `[cos, sin]` of the timestep at `channels / 2` wavelengths: `[batch, channels]`.
///
/// Public implementations count timesteps from 0, so the paper's `t` enters as `t - 1`.
fn sinusoid<B: Backend>(timestep: Tensor<B, 1>, channels: usize) -> Tensor<B, 2> {
    let half = channels / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|i| (-(MAXIMUM_PERIOD.ln()) * i as f64 / half as f64).exp() as f32)
        .collect();
    let device = timestep.device();
    let frequencies = Tensor::<B, 1>::from_floats(frequencies.as_slice(), &device);
    let angles = timestep.sub_scalar(1).unsqueeze_dim::<2>(1) * frequencies.unsqueeze::<2>();
    Tensor::cat(vec![angles.clone().cos(), angles.sin()], 1)
}

/// What the network is told beside the image: the timestep and, in a class-conditional network, the class.
#[derive(Module, Debug)]
pub struct Conditioning<B: Backend> {
    /// Embeds `t`.
    pub time_embedding: TimeEmbedding<B>,
    /// A learned vector for each class, and one more for "no class".
    pub class_embedding: Option<Embedding<B>>,
}

impl<B: Backend> Conditioning<B> {
    pub(crate) fn new(architecture: &Architecture, device: &B::Device) -> Self {
        let class_embedding =
            || EmbeddingConfig::new(architecture.classes + 1, 4 * architecture.base_channels).init(device);
        Self {
            time_embedding: TimeEmbedding::new(architecture, device),
            class_embedding: (architecture.classes > 0).then(class_embedding),
        }
    }

    /// The sum of both embeddings, `[batch, 4 C]`, of timesteps (`[batch]`, the paper's `1..=T`) and classes (`[batch]`).
    ///
    /// A class-conditional network takes a missing class for "no class"; an unconditional one ignores the class.
    pub fn forward(&self, timestep: Tensor<B, 1, Int>, class: Option<Tensor<B, 1, Int>>) -> Tensor<B, 2> {
        let time = self.time_embedding.forward(timestep.clone().float());
        let Some(table) = &self.class_embedding else {
            return time;
        };
        let [rows, _] = table.weight.dims();
        let class = class.unwrap_or_else(|| timestep.full_like(rows as i64 - 1));
        time + table.forward(class.unsqueeze_dim::<2>(1)).squeeze_dim::<2>(1)
    }
}
