//! The factorized denoising network (Section 3, Figure 2; Eq. 2 to 7).

use burn::module::Module;
use burn::tensor::activation::{silu, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::module::avg_pool2d;
use burn::tensor::{Int, Tensor};

use crate::embedding::Conditioning;
use crate::encoder::{Encoder, IMAGE_CHANNELS};
use crate::middle::Middle;
use crate::upstack::UpStack;
use factorseg_kernels::{Architecture, Decoding};

/// What encoder and middle block make of a noised image.
#[derive(Clone, Debug)]
pub struct Features<B: Backend> {
    /// `h_enc` (Eq. 2): the encoder's outputs, in the order in which they arise.
    pub skips: Vec<Tensor<B, 4>>,
    /// `h_mid` (Eq. 3).
    pub middle: Tensor<B, 4>,
    /// The activated time and class embedding, `[batch, 4 C]`.
    pub embedding: Tensor<B, 2>,
}

/// The part that segments: everything but the decoder.
#[derive(Module, Debug)]
pub struct MaskNetwork<B: Backend> {
    /// Embeds timestep and class.
    pub conditioning: Conditioning<B>,
    /// `theta_enc` (Eq. 2).
    pub encoder: Encoder<B>,
    /// `theta_mid` (Eq. 3).
    pub middle: Middle<B>,
    /// `theta_mask` (Eq. 4).
    pub mask_generator: UpStack<B>,
}

/// The whole network: the part that segments, and the decoder.
#[derive(Module, Debug)]
pub struct Factorized<B: Backend> {
    /// Makes the region masks.
    pub mask_network: MaskNetwork<B>,
    /// `theta_dec` (Eq. 6).
    pub decoder: Decoder<B>,
    #[module(skip)]
    decoding: Decoding,
}

/// `theta_dec`.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a network has one")]
pub enum Decoder<B: Backend> {
    /// All regions share it.
    Shared(UpStack<B>),
    /// Each region has its own ([`Decoding::Unshared`]).
    Unshared(Vec<UpStack<B>>),
}

/// A noise prediction and the regions it was made in.
#[derive(Clone, Debug)]
pub struct Prediction<B: Backend> {
    /// The predicted noise (Eq. 7), `[batch, 3, height, width]`.
    pub noise: Tensor<B, 4>,
    /// The region masks (Eq. 4), `[batch, K, height, width]`, positive, with sum 1 over `K`.
    pub masks: Tensor<B, 4>,
}

impl<B: Backend> MaskNetwork<B> {
    /// A network whose weights are to be [filled](crate::parameters::fill): they are drawn when they are first read, so
    /// building it costs nothing. The architecture must be valid.
    pub fn new(architecture: &Architecture, device: &B::Device) -> Self {
        Self {
            conditioning: Conditioning::new(architecture, device),
            encoder: Encoder::new(architecture, device),
            middle: Middle::new(architecture, device),
            mask_generator: UpStack::new(architecture, architecture.regions, 0, device),
        }
    }

    /// The activated embedding of timesteps and classes, `[batch, 4 C]`; see [`Conditioning::forward`].
    pub fn embed(&self, timestep: Tensor<B, 1, Int>, class: Option<Tensor<B, 1, Int>>) -> Tensor<B, 2> {
        silu(self.conditioning.forward(timestep, class))
    }

    /// Encoder and middle block (Eq. 2 and 3). `x_t` is `[batch, 3, height, width]`, its sides multiples of the stride.
    pub fn features(&self, x_t: Tensor<B, 4>, embedding: Tensor<B, 2>) -> Features<B> {
        let skips = self.encoder.forward(x_t, &embedding);
        // The encoder always has `conv_in`'s output, so there is a last one.
        let deepest = skips[skips.len() - 1].clone();
        let middle = self.middle.forward(deepest, &embedding);
        Features {
            skips,
            middle,
            embedding,
        }
    }

    /// The mask generator's output before the softmax, `[batch, K, height, width]`.
    pub fn mask_logits(&self, features: &Features<B>) -> Tensor<B, 4> {
        self.mask_generator
            .forward(features.middle.clone(), features.skips.clone(), &features.embedding)
    }

    /// The region masks (Eq. 4), `[batch, K, height, width]`: all that segmentation needs.
    ///
    /// `x_t` is `[batch, 3, height, width]`; timestep and class are as in [`MaskNetwork::embed`].
    pub fn masks(
        &self,
        x_t: Tensor<B, 4>,
        timestep: Tensor<B, 1, Int>,
        class: Option<Tensor<B, 1, Int>>,
    ) -> Tensor<B, 4> {
        let features = self.features(x_t, self.embed(timestep, class));
        softmax(self.mask_logits(&features), 1)
    }
}

impl<B: Backend> Factorized<B> {
    /// The whole network; see [`MaskNetwork::new`].
    pub fn new(architecture: &Architecture, device: &B::Device) -> Self {
        let stack = || UpStack::new(architecture, IMAGE_CHANNELS, architecture.joined_masks(), device);
        Self {
            mask_network: MaskNetwork::new(architecture, device),
            decoder: match architecture.decoding {
                Decoding::Unshared => Decoder::Unshared((0..architecture.regions).map(|_| stack()).collect()),
                _ => Decoder::Shared(stack()),
            },
            decoding: architecture.decoding,
        }
    }

    /// The region masks alone; see [`MaskNetwork::masks`].
    pub fn masks(
        &self,
        x_t: Tensor<B, 4>,
        timestep: Tensor<B, 1, Int>,
        class: Option<Tensor<B, 1, Int>>,
    ) -> Tensor<B, 4> {
        self.mask_network.masks(x_t, timestep, class)
    }

    /// Masks and predicted noise (Eq. 2 to 7).
    ///
    /// `x_t` is `[batch, 3, height, width]`; timestep and class are as in [`MaskNetwork::embed`].
    pub fn predict_noise(
        &self,
        x_t: Tensor<B, 4>,
        timestep: Tensor<B, 1, Int>,
        class: Option<Tensor<B, 1, Int>>,
    ) -> Prediction<B> {
        let network = &self.mask_network;
        let features = network.features(x_t, network.embed(timestep, class));
        let masks = softmax(network.mask_logits(&features), 1);
        let noise = self.decode(&features, masks.clone());
        Prediction { noise, masks }
    }

    /// The decoder, once for each region on the features that the region's mask lets through (Eq. 6), and the sum of
    /// its masked outputs (Eq. 7). All regions run as one batch. Or as the architecture's [`Decoding`] says.
    ///
    /// `masks` is `[batch, K, height, width]`; the result is `[batch, 3, height, width]`.
    pub fn decode(&self, features: &Features<B>, masks: Tensor<B, 4>) -> Tensor<B, 4> {
        self.sum(self.branches(features, &masks), masks)
    }

    /// Whether all branches predict the same under uniform masks.
    pub(crate) fn has_equal_branches(&self) -> bool {
        matches!(self.decoding, Decoding::Factorized | Decoding::MaskedMiddle)
    }

    /// The predictions of [`Self::branches`] as one.
    pub(crate) fn sum(&self, branches: Tensor<B, 4>, masks: Tensor<B, 4>) -> Tensor<B, 4> {
        match self.decoding {
            Decoding::Concatenated => branches,
            _ => sum_of_regions(branches, masks),
        }
    }

    /// What each region's branch predicts (Eq. 6), `[K * batch, 3, height, width]`, all images of the first region first; or what
    /// the one branch predicts that sees all masks (Eq. 5), `[batch, 3, height, width]`.
    pub fn branches(&self, features: &Features<B>, masks: &Tensor<B, 4>) -> Tensor<B, 4> {
        let regions = masks.dims()[1];
        let whole = |feature| for_each_region(feature, regions);
        let masked = |feature: &Tensor<B, 4>| masked_by_region(feature.clone(), masks);
        let (middle, skips): (_, Vec<_>) = match self.decoding {
            Decoding::Factorized | Decoding::Unshared => {
                (whole(&features.middle), features.skips.iter().map(masked).collect())
            }
            Decoding::MaskedMiddle => (masked(&features.middle), features.skips.iter().map(whole).collect()),
            Decoding::Concatenated => {
                let beside = |skip: &Tensor<B, 4>| Tensor::cat(vec![skip.clone(), averaged_to(skip, masks)], 1);
                (features.middle.clone(), features.skips.iter().map(beside).collect())
            }
        };
        match &self.decoder {
            Decoder::Shared(decoder) => {
                let branches = middle.dims()[0] / features.middle.dims()[0];
                decoder.forward(middle, skips, &for_each_region(&features.embedding, branches))
            }
            Decoder::Unshared(decoders) => {
                let images = features.middle.dims()[0];
                let branch = |(region, decoder): (usize, &UpStack<B>)| {
                    let own = |all: &Tensor<B, 4>| all.clone().narrow(0, region * images, images);
                    decoder.forward(own(&middle), skips.iter().map(own).collect(), &features.embedding)
                };
                Tensor::cat(decoders.iter().enumerate().map(branch).collect(), 0)
            }
        }
    }
}

/// The branches' predictions, `[K * batch, ..]`, in their masks, as one sum (Eq. 7), `[batch, ..]`. Not `sum_dim` over a fifth dimension: where burn 0.21 fuses that with the convolution
/// before it, it sums other pixels.
fn sum_of_regions<B: Backend>(branches: Tensor<B, 4>, masks: Tensor<B, 4>) -> Tensor<B, 4> {
    let [batch, regions, height, width] = masks.dims();
    let all = branches * region_major(masks).reshape([regions * batch, 1, height, width]);
    let mut branches = all.chunk(regions, 0).into_iter();
    let first = branches
        .next()
        .unwrap_or_else(|| unreachable!("a network has a region"));
    branches.fold(first, |sum, branch| sum + branch)
}

/// The same for every region: `[batch, ..]` to `[K * batch, ..]`. Not `repeat_dim`: burn 0.21's gradient of it mixes up
/// the images of a batch.
fn for_each_region<B: Backend, const D: usize>(features: &Tensor<B, D>, regions: usize) -> Tensor<B, D> {
    Tensor::cat(vec![features.clone(); regions], 0)
}

/// `[batch, K, height, width]` to `[K, batch, 1, height, width]`.
fn region_major<B: Backend>(masks: Tensor<B, 4>) -> Tensor<B, 5> {
    masks.swap_dims(0, 1).unsqueeze_dim::<5>(2)
}

/// A skip, `[batch, channels, height, width]`, under each region's mask: `[K * batch, channels, height, width]`. The
/// mask is averaged down to the skip's resolution.
fn masked_by_region<B: Backend>(skip: Tensor<B, 4>, masks: &Tensor<B, 4>) -> Tensor<B, 4> {
    let [batch, channels, height, width] = skip.dims();
    let (regions, masks) = (masks.dims()[1], averaged_to(&skip, masks));
    (skip.unsqueeze::<5>() * region_major(masks)).reshape([regions * batch, channels, height, width])
}

/// Masks at a feature's resolution.
fn averaged_to<B: Backend>(feature: &Tensor<B, 4>, masks: &Tensor<B, 4>) -> Tensor<B, 4> {
    let factor = masks.dims()[2] / feature.dims()[2];
    match factor {
        1 => masks.clone(),
        _ => avg_pool2d(masks.clone(), [factor, factor], [factor, factor], [0, 0], true, false),
    }
}
