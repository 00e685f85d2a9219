//! The stages of one pass, forward and backward.
//!
//! Between two stages the tape is cut: a stage reads leaves of its own, and what it leaves at them is the gradient that the stage
//! before goes back with, as the weights of a linear function of its results. A pass has its own leaves for the weights, too:
//! burn 0.21 loses gradients, at random, where a leaf is in several graphs that go back one after the other.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{FloatDType, Int, Tensor, TensorData};
use factorseg_kernels::{Architecture, KernelError, Learned, Masks, TrainingSize};

use super::{Row, values};
use crate::factorized::{Factorized, Features};

/// A pass under way, and what it has computed so far.
pub(super) struct Pass<B: AutodiffBackend> {
    network: Factorized<B>,
    learned: Learned,
    images: usize,
    dtype: FloatDType,
    device: B::Device,
    /// h_enc, h_mid and the embedding on the encoder's tape.
    features: Option<Features<B>>,
    /// What the stages that follow have left at them.
    slopes: Slopes<B>,
    /// The leaves of the mask generator, and its logits.
    logits: Option<(Features<B>, Tensor<B, 4>)>,
    decoded: Option<Decoded<B>>,
}

struct Decoded<B: AutodiffBackend> {
    leaves: Features<B>,
    /// `None`: uniform ones.
    masks: Option<Tensor<B, 4>>,
    /// `[branches * images, 3, side, side]`
    branches: Tensor<B, 4>,
    predicted: Tensor<B, 4>,
}

/// Gradients by h_enc and h_mid, and by the embedding; `None` where nothing has come back.
struct Slopes<B: AutodiffBackend> {
    maps: Vec<Option<Tensor<B::InnerBackend, 4>>>,
    embedding: Option<Tensor<B::InnerBackend, 2>>,
}

/// A tensor as the start of a tape of its own.
fn leaf<B: AutodiffBackend, const D: usize>(tensor: &Tensor<B, D>, learns: bool) -> Tensor<B, D> {
    Tensor::from_inner(tensor.clone().inner()).set_require_grad(learns)
}

fn image_tensor<B: AutodiffBackend>(values: &[f32], shape: [usize; 4], device: &B::Device) -> Tensor<B, 4> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

impl<B: AutodiffBackend> Pass<B> {
    /// Encoder and middle block.
    pub(super) fn encode(
        network: Factorized<B>,
        learned: Learned,
        (x_t, timesteps, classes): (&[f32], &[i32], &[i32]),
        side: usize,
        dtype: FloatDType,
        device: &B::Device,
    ) -> Self {
        let images = timesteps.len();
        let indices =
            |indices: &[i32]| Tensor::<B, 1, Int>::from_data(TensorData::new(indices.to_vec(), [images]), device);
        let class = (!classes.is_empty()).then(|| indices(classes));
        let features = network.mask_network.features(
            image_tensor(x_t, [images, 3, side, side], device).cast(dtype),
            network.mask_network.embed(indices(timesteps), class).cast(dtype),
        );
        Self {
            network,
            learned,
            images,
            dtype,
            device: device.clone(),
            slopes: Slopes {
                maps: vec![None; features.skips.len() + 1],
                embedding: None,
            },
            features: Some(features),
            logits: None,
            decoded: None,
        }
    }

    pub(super) fn images(&self) -> usize {
        self.images
    }

    /// The features as leaves, on a tape if what made them learns.
    fn leaves(&self) -> Option<Features<B>> {
        let features = self.features.as_ref()?;
        let learns = self.learned.encoder;
        Some(Features {
            skips: features.skips.iter().map(|skip| leaf(skip, learns)).collect(),
            middle: leaf(&features.middle, learns),
            embedding: leaf(&features.embedding, learns),
        })
    }

    pub(super) fn mask_logits(&mut self) -> Vec<f32> {
        let Some(leaves) = self.leaves() else {
            return Vec::new();
        };
        let logits = self.network.mask_network.mask_logits(&leaves).cast(FloatDType::F32);
        self.logits = Some((leaves, logits.clone()));
        values(logits)
    }

    pub(super) fn decode(&mut self, masks: Masks<'_>, regions: usize) -> Vec<f32> {
        let Some(leaves) = self.leaves() else {
            return Vec::new();
        };
        let [images, _, side, _] = leaves.skips[0].dims();
        // K equal branches, each on 1/K of the features, weighted by 1/K: one of them is the sum.
        let alone = matches!(masks, Masks::Uniform) && self.network.has_equal_branches();
        let (learned, masks) = match masks {
            Masks::Given(masks) => {
                let masks = image_tensor::<B>(masks, [images, regions, side, side], &self.device);
                let masks = masks.set_require_grad(self.learned.before_masks());
                (Some(masks.clone()), masks)
            }
            Masks::Uniform => {
                let shape = [images, if alone { 1 } else { regions }, side, side];
                (None, Tensor::full(shape, 1.0 / regions as f64, &self.device))
            }
        };
        let masks = masks.cast(self.dtype);
        let branches = self.network.branches(&leaves, &masks);
        let predicted = match alone {
            true => branches.clone(),
            false => self.network.sum(branches.clone(), masks),
        };
        let predicted = predicted.cast(FloatDType::F32);
        self.decoded = Some(Decoded {
            leaves,
            masks: learned,
            branches,
            predicted: predicted.clone(),
        });
        values(predicted)
    }

    /// What each branch predicts, `[images, K, 3, side, side]`.
    pub(super) fn branches(&self, regions: usize) -> Vec<f32> {
        let Some(decoded) = &self.decoded else {
            return Vec::new();
        };
        let [items, channels, height, width] = decoded.branches.dims();
        let branches = decoded.branches.clone().cast(FloatDType::F32);
        let branches = branches.reshape([items / self.images, self.images, channels, height, width]);
        // Uniform masks have one branch for all.
        let copies = regions * self.images / items;
        values(Tensor::cat(vec![branches; copies], 0).swap_dims(0, 1))
    }

    pub(super) fn backward_decode(
        &mut self,
        gradient: &[f32],
        regions: usize,
        sums: &mut [Option<Row<B>>],
    ) -> Vec<f32> {
        let Some(Decoded {
            leaves,
            masks,
            predicted,
            ..
        }) = self.decoded.take()
        else {
            return Vec::new();
        };
        let [images, _, side, _] = predicted.dims();
        let nothing = || vec![0.0; images * regions * side * side];
        let learned = self.learned;
        let before = learned.encoder || learned.mask_generator && masks.is_some();
        if !learned.decoder && !before {
            return nothing();
        }
        let gradient = image_tensor(gradient, predicted.dims(), &self.device);
        let mut tape = (predicted * gradient).sum().backward();
        collect(&self.network, &mut tape, sums);
        self.slopes.add(&leaves, &mut tape);
        let by_masks = masks.and_then(|masks| masks.grad_remove(&mut tape));
        by_masks.map_or_else(nothing, values)
    }

    pub(super) fn backward_masks(&mut self, gradient: &[f32], sums: &mut [Option<Row<B>>]) {
        let Some((leaves, logits)) = self.logits.take().filter(|_| self.learned.before_masks()) else {
            return;
        };
        let gradient = image_tensor(gradient, logits.dims(), &self.device);
        let mut tape = (logits * gradient).sum().backward();
        collect(&self.network, &mut tape, sums);
        self.slopes.add(&leaves, &mut tape);
    }

    pub(super) fn backward_encode(&mut self, sums: &mut [Option<Row<B>>]) {
        let Some(features) = self.features.take().filter(|_| self.learned.encoder) else {
            return;
        };
        let maps = features.skips.into_iter().chain([features.middle]);
        let maps = maps
            .zip(&mut self.slopes.maps)
            .filter_map(|(map, slope)| linear(map, slope.take()));
        let embedding = linear(features.embedding, self.slopes.embedding.take());
        if let Some(linear) = maps.chain(embedding).reduce(|sum, more| sum + more) {
            collect(&self.network, &mut linear.backward(), sums);
        }
    }
}

/// The function of `values` whose gradient is `slope`.
fn linear<B: AutodiffBackend, const D: usize>(
    values: Tensor<B, D>,
    slope: Option<Tensor<B::InnerBackend, D>>,
) -> Option<Tensor<B, 1>> {
    Some((values * Tensor::from_inner(slope?)).sum().cast(FloatDType::F32))
}

impl<B: AutodiffBackend> Slopes<B> {
    /// Adds what a stage has left at its leaves.
    fn add(&mut self, leaves: &Features<B>, tape: &mut B::Gradients) {
        for (sum, leaf) in self.maps.iter_mut().zip(leaves.skips.iter().chain([&leaves.middle])) {
            *sum = added(sum.take(), leaf.grad_remove(tape));
        }
        self.embedding = added(self.embedding.take(), leaves.embedding.grad_remove(tape));
    }
}

fn added<B: burn::tensor::backend::Backend, const D: usize>(
    one: Option<Tensor<B, D>>,
    other: Option<Tensor<B, D>>,
) -> Option<Tensor<B, D>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

/// Adds the gradients of all parameters, in 32 bits.
fn collect<B: AutodiffBackend>(network: &Factorized<B>, tape: &mut B::Gradients, sums: &mut [Option<Row<B>>]) {
    struct Collect<'a, B: AutodiffBackend, I> {
        tape: &'a mut B::Gradients,
        sums: I,
    }
    impl<'a, B: AutodiffBackend, I: Iterator<Item = &'a mut Option<Row<B>>>> ModuleVisitor<B> for Collect<'_, B, I> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            let Some(sum) = self.sums.next() else { return };
            let gradient = param.val().grad_remove(self.tape).map(|gradient| {
                let count = gradient.shape().num_elements();
                gradient.reshape([count]).cast(FloatDType::F32)
            });
            *sum = added(sum.take(), gradient);
        }
    }
    network.visit(&mut Collect::<B, _> {
        tape,
        sums: sums.iter_mut(),
    });
}

pub(super) fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    match expected == found {
        true => Ok(()),
        false => Err(KernelError::Length { what, expected, found }),
    }
}

/// Whether a batch fits network and size.
pub(super) fn check_batch(
    x_t: &[f32],
    timesteps: &[i32],
    classes: &[i32],
    architecture: &Architecture,
    size: &TrainingSize,
) -> Result<(), KernelError> {
    let images = timesteps.len();
    if images == 0 || images > size.batch {
        return Err(KernelError::Size(format!(
            "a batch of {images} images; there is room for 1 to {}",
            size.batch
        )));
    }
    check_length("the images", images * 3 * size.side.pow(2), x_t.len())?;
    if architecture.classes == 0 || classes.is_empty() {
        return Ok(());
    }
    check_length("the classes", images, classes.len())?;
    let known = 0..=architecture.classes as i64;
    match classes.iter().find(|&&class| !known.contains(&i64::from(class))) {
        None => Ok(()),
        Some(class) => Err(KernelError::Size(format!(
            "there is no class {class}; the network has 0 to {}",
            architecture.classes
        ))),
    }
}
