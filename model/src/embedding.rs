//! Time and class conditioning: the vector that every residual block is scaled and shifted by.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

use crate::config::ModelConfig;

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
    pub(crate) fn new(config: &ModelConfig, device: &B::Device) -> Self {
        let hidden = config.embedding_channels();
        Self {
            linear_1: LinearConfig::new(config.base_channels, hidden).init(device),
            linear_2: LinearConfig::new(hidden, hidden).init(device),
        }
    }

    /// Embeds timesteps of the paper's numbering, `[batch]` in `1..=T`, as `[batch, 4 C]`.
    pub fn forward(&self, timestep: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        let [channels, _] = self.linear_1.weight.dims();
        let hidden = self.linear_1.forward(sinusoid(timestep, channels));
        self.linear_2.forward(silu(hidden))
    }
}

/// `[cos, sin]` of the timestep at `channels / 2` wavelengths: `[batch, channels]`.
///
/// Public implementations count timesteps from 0, so the paper's `t` enters as `t - 1`.
fn sinusoid<B: Backend>(timestep: Tensor<B, 1, Int>, channels: usize) -> Tensor<B, 2> {
    let half = channels / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|i| (-(MAXIMUM_PERIOD.ln()) * i as f64 / half as f64).exp() as f32)
        .collect();
    let device = timestep.device();
    let frequencies = Tensor::<B, 1>::from_floats(frequencies.as_slice(), &device);
    let angles =
        timestep.sub_scalar(1).float().unsqueeze_dim::<2>(1) * frequencies.unsqueeze::<2>();
    Tensor::cat(vec![angles.clone().cos(), angles.sin()], 1)
}

/// A learned vector for each class, and one more for "no class".
pub(crate) fn class_embedding<B: Backend>(
    config: &ModelConfig,
    device: &B::Device,
) -> Option<Embedding<B>> {
    (config.classes > 0)
        .then(|| EmbeddingConfig::new(config.classes + 1, config.embedding_channels()).init(device))
}
