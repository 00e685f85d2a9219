//! The network in training, stage by stage.

use super::builder::{Builder, Extent, Memory};
use super::embedding::LearnedEmbedding;
use super::learned::Learned;
use super::options::TrainingOptions;
use super::state::State;
use super::step::Step;
use crate::KernelError;
use crate::convolution::Workspaces;
use crate::embedding::Embedding;
use crate::error::check_length;
use crate::memory::Buffer;
use crate::network::{Architecture, Joints, Network, Parameter, Tensor};
use crate::normalisation::ChannelSums;
use crate::simd::Arithmetic;

/// The whole factorized network (Eq. 2 to 7 of the paper) with its gradients. All that is kept is in single precision;
/// the products of convolutions are as [`TrainingOptions::arithmetic`] says.
///
/// A pass goes through stages, because how logits become masks, and predictions a loss, is the caller's matter:
/// [`encode`](Self::encode), [`mask_logits`](Self::mask_logits), [`decode`](Self::decode), then backwards
/// [`backward_decode`](Self::backward_decode), [`backward_masks`](Self::backward_masks) and
/// [`backward_encode`](Self::backward_encode). A stage that is not wanted is not called. Gradients of the parameters
/// add up until [`zero_gradients`](Self::zero_gradients).
pub struct TrainingNetwork {
    pub(super) architecture: Architecture,
    pub(super) options: TrainingOptions,
    list: Vec<Parameter>,
    encoder: Vec<Step>,
    mask_generator: Vec<Step>,
    pub(super) decoder: Vec<Step>,
    pub(super) joints: Joints,
    pub(super) state: State,
    /// Whether the packed weights of each [`Part`] are older than the parameters.
    stale: [bool; 3],
    /// Whether the decoder was last given [`Masks::Uniform`](super::Masks::Uniform).
    pub(super) uniform: bool,
    /// The most images of a pass: those of the options, or of the [`KeptPass`](super::KeptPass) that is taken up.
    pub(super) room: usize,
    /// The masks and their averages at each level, [K, batch, height >> level, width >> level], and their gradients.
    pub(super) pooled: Vec<Vec<f32>>,
    pub(super) pooled_gradients: Vec<Vec<f32>>,
    logits: Vec<f32>,
    pub(super) prediction: Vec<f32>,
    pub(super) mask_gradients: Vec<f32>,
}

/// Parts of the network whose weights are packed together.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Encoder,
    MaskGenerator,
    Decoder,
}

impl TrainingNetwork {
    /// A network with all parameters zero.
    ///
    /// # Errors
    /// [`KernelError::Size`] for an unusable architecture, image size or batch; [`KernelError::Arithmetic`] for bf16 with
    /// instructions that do not compute it.
    pub fn new(architecture: &Architecture, options: TrainingOptions) -> Result<Self, KernelError> {
        architecture.validate()?;
        let (height, width, images) = (options.height, options.width, options.batch);
        architecture.check_size(height, width)?;
        if images == 0 {
            return Err(KernelError::Size("the batch must hold at least one image".to_owned()));
        }
        if options.arithmetic == Arithmetic::Bf16 && !options.instructions.computes_bf16() {
            return Err(KernelError::Arithmetic {
                instructions: options.instructions.name(),
            });
        }
        let (regions, threads) = (architecture.regions, options.threads.count());
        let Network {
            parameters,
            tensors,
            norms,
            embedding,
            encoder,
            mask_generator,
            decoder,
            joints,
            ..
        } = Network::new(architecture);
        let extent = Extent {
            set: options.instructions,
            arithmetic: options.arithmetic,
            threads,
            height,
            width,
            images,
            branches: architecture.branches(),
            first_decoder: joints.first_decoder,
        };
        let mut builder = Builder::new(extent, &parameters, &tensors);
        let (norms, modulations) = builder.norms(&norms, architecture.norm_groups);
        let encoder = builder.steps(encoder, images);
        let mask_generator = builder.steps(mask_generator, images);
        let decoder = builder.steps(decoder, images * architecture.branches());
        let Memory {
            needs,
            space,
            partial_sums,
            scratch,
        } = builder.memory;
        let zeroed = || {
            let pixels = |level: usize| (height >> level) * (width >> level);
            let lengths = tensors.iter().enumerate();
            let lengths = lengths.map(|(id, tensor)| extent.items(id) * pixels(tensor.level) * tensor.width);
            lengths.map(Buffer::zeroed).collect()
        };
        let sums = |(id, tensor): (usize, &Tensor)| {
            if tensor.summed {
                ChannelSums::new(extent.items(id), tensor.width)
            } else {
                ChannelSums::default()
            }
        };
        let levels = || {
            (0..architecture.levels())
                .map(|level| vec![0.0; regions * images * (height >> level) * (width >> level)])
                .collect()
        };
        let embedding = Embedding::placed(&embedding, architecture.classes, |parameter| {
            parameters[parameter].offset
        });
        let length = parameters.last().map_or(0, |last| last.range().end);
        let state = State {
            set: options.instructions,
            height,
            width,
            parameters: vec![0.0; length],
            gradients: vec![0.0; length],
            values: zeroed(),
            slopes: zeroed(),
            written: vec![false; tensors.len()],
            sums: tensors.iter().enumerate().map(sums).collect(),
            tensors,
            norms,
            embedding: LearnedEmbedding::new(embedding, images),
            modulations,
            images: 0,
            image: vec![0.0; images * 3 * height * width],
            partial_sums: Buffer::zeroed(partial_sums),
            scratch: Buffer::zeroed(scratch),
            workspaces: Workspaces::new(threads, needs),
            space: space.space(),
            learned: Learned::default(),
            learning: true,
            unwanted: 0,
        };
        Ok(Self {
            architecture: architecture.clone(),
            list: parameters,
            encoder,
            mask_generator,
            decoder,
            joints,
            state,
            stale: [true; 3],
            uniform: false,
            room: images,
            pooled: levels(),
            pooled_gradients: levels(),
            logits: vec![0.0; images * regions * height * width],
            prediction: vec![0.0; images * 3 * height * width],
            mask_gradients: vec![0.0; images * regions * height * width],
            options,
        })
    }

    /// Names, shapes and places of the parameters, in the order of a checkpoint's network.
    pub fn list(&self) -> &[Parameter] {
        &self.list
    }

    /// What the network was built for.
    pub fn options(&self) -> &TrainingOptions {
        &self.options
    }

    /// All parameters.
    pub fn parameters(&self) -> &[f32] {
        &self.state.parameters
    }

    /// All parameters, to change them.
    pub fn parameters_mut(&mut self) -> &mut [f32] {
        self.stale = [true; 3];
        &mut self.state.parameters
    }

    /// The gradients of all parameters.
    pub fn gradients(&self) -> &[f32] {
        &self.state.gradients
    }

    /// Parameters to change by their gradients, and the gradients.
    pub fn parameters_and_gradients(&mut self) -> (&mut [f32], &mut [f32]) {
        self.stale = [true; 3];
        (&mut self.state.parameters, &mut self.state.gradients)
    }

    /// Says which parts learn, from the next backward stage on; all do in a new network. The gradients of the others
    /// stay as they are.
    pub fn learn(&mut self, learned: Learned) {
        self.state.learned = learned;
        // Nothing needs the gradient of h_enc and h_mid where the encoder stays, nor that of the decoder's copies of them where
        // the masks stay, too.
        self.state.unwanted = match learned.encoder {
            true => 0,
            false if learned.mask_generator => self.joints.first_mask,
            false => self.joints.first_decoded,
        };
    }

    /// Forgets the gradients.
    pub fn zero_gradients(&mut self) {
        self.state.gradients.fill(0.0);
    }

    /// Encoder and middle block (Eq. 2 and 3). `x_t` is [batch, 3, height, width]; `timesteps` are the paper's, 1..=T,
    /// one an image; `classes` may be missing: all images are then of no class.
    ///
    /// # Errors
    /// [`KernelError::Length`] for slices that do not fit each other or the largest batch, [`KernelError::Size`] for a
    /// class that the network does not have.
    pub fn encode(&mut self, x_t: &[f32], timesteps: &[f32], classes: Option<&[i32]>) -> Result<(), KernelError> {
        let images = timesteps.len();
        if images == 0 || images > self.room {
            return Err(KernelError::Size(format!(
                "a batch of {images} images; there is room for 1 to {}",
                self.room
            )));
        }
        let pixels = self.options.height * self.options.width;
        check_length("the images", images * 3 * pixels, x_t.len())?;
        let classes = classes.filter(|_| self.architecture.classes > 0);
        if let Some(classes) = classes {
            check_length("the classes", images, classes.len())?;
            for &class in classes {
                self.state.embedding.layers.check_class(class.into())?;
            }
        }
        let threads = self.options.threads.clone();
        threads.install(|| {
            self.pack(Part::Encoder);
            let state = &mut self.state;
            state.images = images;
            state.image[..x_t.len()].copy_from_slice(x_t);
            state.written.fill(false);
            state.embedding.forward(&state.parameters, timesteps, classes);
            for step in &self.encoder {
                step.forward(state, images);
            }
        });
        Ok(())
    }

    /// Takes over changed parameters in one part: the others may not be wanted in this pass.
    pub(super) fn pack(&mut self, part: Part) {
        if !std::mem::take(&mut self.stale[part as usize]) {
            return;
        }
        let (set, parameters) = (self.state.set, &self.state.parameters);
        let steps = match part {
            Part::Encoder => &mut self.encoder,
            Part::MaskGenerator => &mut self.mask_generator,
            Part::Decoder => &mut self.decoder,
        };
        if self.options.threads.count() == 1 {
            for step in steps {
                step.pack(set, parameters);
            }
        } else {
            rayon::scope(|scope| {
                for step in steps {
                    scope.spawn(move |_| step.pack(set, parameters));
                }
            });
        }
    }

    /// The mask generator's output before the softmax (Eq. 4), [batch, K, height, width].
    pub fn mask_logits(&mut self) -> &[f32] {
        let threads = self.options.threads.clone();
        let images = self.state.images;
        threads.install(|| {
            self.pack(Part::MaskGenerator);
            for step in &self.mask_generator {
                step.forward(&mut self.state, images);
            }
        });
        let (tensor, regions) = (self.joints.logits, self.architecture.regions);
        let (pixels, width) = (self.state.pixels(tensor), self.state.tensors[tensor].width);
        for (item, planes) in self.logits.chunks_exact_mut(regions * pixels).take(images).enumerate() {
            to_planes(
                &self.state.values[tensor][item * pixels * width..],
                width,
                regions,
                planes,
            );
        }
        &self.logits[..images * regions * pixels]
    }

    /// Takes the gradient by the logits, [batch, K, height, width], back through the mask generator.
    ///
    /// # Errors
    /// [`KernelError::Length`] for a gradient that does not fit the batch.
    pub fn backward_masks(&mut self, gradient: &[f32]) -> Result<(), KernelError> {
        let (images, regions) = (self.state.images, self.architecture.regions);
        let pixels = self.options.height * self.options.width;
        check_length("the gradient of the logits", images * regions * pixels, gradient.len())?;
        let learned = self.state.learned;
        if !learned.before_masks() {
            return Ok(());
        }
        self.state.learning = learned.mask_generator;
        let tensor = self.joints.logits;
        let width = self.state.tensors[tensor].width;
        let (first, last) = (self.joints.first_mask, self.joints.first_decoder);
        self.state.written[first..last].fill(false);
        let slope = &mut self.state.slopes[tensor];
        for (item, planes) in gradient.chunks_exact(regions * pixels).enumerate() {
            for (pixel, slope) in slope[item * pixels * width..][..pixels * width]
                .chunks_exact_mut(width)
                .enumerate()
            {
                slope.fill(0.0);
                for region in 0..regions {
                    slope[region] = planes[region * pixels + pixel];
                }
            }
        }
        self.state.written[tensor] = true;
        let threads = self.options.threads.clone();
        threads.install(|| {
            for step in self.mask_generator.iter().rev() {
                step.backward(&mut self.state, images);
            }
        });
        Ok(())
    }

    /// Takes what the other backward stages have left at h_enc and h_mid back through encoder and embedding.
    pub fn backward_encode(&mut self) {
        if !self.state.learned.encoder {
            return;
        }
        self.state.learning = true;
        let threads = self.options.threads.clone();
        let images = self.state.images;
        threads.install(|| {
            for step in self.encoder.iter().rev() {
                step.backward(&mut self.state, images);
            }
            let State {
                embedding,
                parameters,
                gradients,
                ..
            } = &mut self.state;
            embedding.backward(parameters, gradients, images);
        });
    }
}

/// [pixels, width] to [channels, pixels].
pub(super) fn to_planes(from: &[f32], width: usize, channels: usize, planes: &mut [f32]) {
    let pixels = planes.len() / channels;
    for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
        for (value, line) in plane.iter_mut().zip(from.chunks_exact(width)) {
            *value = line[channel];
        }
    }
}
