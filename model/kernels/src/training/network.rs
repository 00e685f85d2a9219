//! The network in training, stage by stage.

use super::builder::{Builder, Parts};
use super::embedding::Embedding;
use super::normalisation::Norm;
use super::parameters::Parameter;
use super::pixels::{Masked, average_pool, average_pool_gradient, mask_feature, mask_gradient, scale_into};
use super::state::{Modulation, State};
use crate::convolution::Workspaces;
use crate::memory::{Buffer, Shared};
use crate::normalisation::ChannelSums;
use crate::simd::InstructionSet;
use crate::threads::for_each;
use crate::{Architecture, KernelError, Threads};

/// What a training network is built for.
#[derive(Debug, Clone)]
pub struct TrainingOptions {
    /// Classes of a conditional network; 0 for an unconditional one.
    pub classes: usize,
    /// Height of the images in pixels, a multiple of [`Architecture::stride`].
    pub height: usize,
    /// Width of the images in pixels, a multiple of [`Architecture::stride`].
    pub width: usize,
    /// The most images of one pass.
    pub batch: usize,
    /// The threads that a pass may use. Results do not depend on their number.
    pub threads: Threads,
    /// The instructions to use; [`InstructionSet::detect`] is the fastest.
    pub instructions: InstructionSet,
}

/// The masks that the decoder's branches see.
#[derive(Debug, Clone, Copy)]
pub enum Masks<'a> {
    /// 1/K everywhere. All branches are equal then, so one is computed.
    Uniform,
    /// [batch, K, height, width]
    Given(&'a [f32]),
}

/// The parts of the network that learn: the others' gradients are left out, which saves their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// The mask generator.
    pub mask_generator: bool,
    /// Everything else: encoder, middle block, decoder and embedding.
    pub denoiser: bool,
}

impl Default for Learned {
    /// Both.
    fn default() -> Self {
        Self {
            mask_generator: true,
            denoiser: true,
        }
    }
}

/// The whole factorized network (Eq. 2 to 7 of the paper) with its gradients, in single precision.
///
/// A pass goes through stages, because how logits become masks, and predictions a loss, is the caller's matter:
/// [`encode`](Self::encode), [`mask_logits`](Self::mask_logits), [`decode`](Self::decode), then backwards
/// [`backward_decode`](Self::backward_decode), [`backward_masks`](Self::backward_masks) and
/// [`backward_encode`](Self::backward_encode). A stage that is not wanted is not called. Gradients of the parameters
/// add up until [`zero_gradients`](Self::zero_gradients).
pub struct TrainingNetwork {
    architecture: Architecture,
    options: TrainingOptions,
    list: Vec<Parameter>,
    parts: Parts,
    state: State,
    /// Whether the packed weights of each [`Part`] are older than the parameters.
    stale: [bool; 3],
    uniform: bool,
    /// The most images of a pass: those of the options, or of the [`KeptPass`] that is taken up.
    room: usize,
    /// The masks and their averages at each level, [K, batch, height >> level, width >> level], and their gradients.
    pooled: Vec<Vec<f32>>,
    pooled_gradients: Vec<Vec<f32>>,
    middle_scale: Vec<f32>,
    logits: Vec<f32>,
    prediction: Vec<f32>,
    mask_gradients: Vec<f32>,
}

/// A pass that waits: see [`TrainingNetwork::within`].
pub struct KeptPass {
    values: Vec<Buffer>,
    sums: Vec<ChannelSums>,
    written: Vec<bool>,
    norms: Vec<Norm>,
    embedding: Embedding,
    modulations: Vec<Modulation>,
    images: usize,
    image: Vec<f32>,
    room: usize,
}

/// Parts of the network whose weights are packed together.
#[derive(Debug, Clone, Copy)]
enum Part {
    Encoder,
    MaskGenerator,
    Decoder,
}

impl TrainingNetwork {
    /// A network with all parameters zero.
    ///
    /// # Errors
    /// [`KernelError::Size`] for an unusable architecture, image size or batch.
    pub fn new(architecture: &Architecture, options: TrainingOptions) -> Result<Self, KernelError> {
        architecture.validate()?;
        let (height, width, images) = (options.height, options.width, options.batch);
        let stride = architecture.stride();
        let usable = |side: usize| side > 0 && side.is_multiple_of(stride) && side <= 1 << 14;
        if !usable(height) || !usable(width) || images == 0 {
            return Err(KernelError::Size(format!(
                "{images} images of {width} x {height} (width x height) do not fit the network: at least one, with \
                 sides that are multiples of {stride}"
            )));
        }
        if !architecture.base_channels.is_multiple_of(2) {
            return Err(KernelError::Size("base_channels must be even".to_owned()));
        }
        let mut builder = Builder::new(
            architecture,
            options.instructions,
            height,
            width,
            images,
            options.threads.count(),
        );
        let (parts, embedding) = builder.network(options.classes)?;
        let tensors = std::mem::take(&mut builder.tensors);
        let lengths: Vec<usize> = tensors
            .iter()
            .map(|tensor| tensor.items * (height >> tensor.level) * (width >> tensor.level) * tensor.width)
            .collect();
        let zeroed = || lengths.iter().map(|&length| Buffer::zeroed(length)).collect();
        let regions = architecture.regions;
        let levels = || {
            (0..architecture.levels())
                .map(|level| vec![0.0; regions * images * (height >> level) * (width >> level)])
                .collect()
        };
        let state = State {
            set: options.instructions,
            height,
            width,
            parameters: vec![0.0; builder.parameters.length],
            gradients: vec![0.0; builder.parameters.length],
            values: zeroed(),
            slopes: zeroed(),
            written: vec![false; tensors.len()],
            sums: tensors
                .iter()
                .map(|tensor| {
                    if tensor.summed {
                        ChannelSums::new(tensor.items, tensor.width)
                    } else {
                        ChannelSums::default()
                    }
                })
                .collect(),
            tensors,
            norms: std::mem::take(&mut builder.norms),
            embedding,
            modulations: std::mem::take(&mut builder.modulations),
            images: 0,
            image: vec![0.0; images * 3 * height * width],
            partial_sums: Buffer::zeroed(builder.partial_sums),
            scratch: Buffer::zeroed(builder.scratch),
            workspaces: Workspaces::new(options.threads.count(), builder.needs),
            space: builder.space.space(),
            learned: Learned::default(),
            learning: true,
            unwanted: 0,
        };
        Ok(Self {
            architecture: architecture.clone(),
            list: builder.parameters.list,
            parts,
            state,
            stale: [true; 3],
            uniform: false,
            room: options.batch,
            pooled: levels(),
            pooled_gradients: levels(),
            middle_scale: vec![1.0; images],
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
        // Nothing needs the gradient of h_enc and h_mid where encoder and decoder stay.
        self.state.unwanted = if learned.denoiser {
            0
        } else {
            self.parts.first_tensors.0
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
        check("the images", images * 3 * pixels, x_t.len())?;
        let rows = self.state.embedding.table_rows();
        let classes = classes.filter(|_| rows > 0);
        if let Some(classes) = classes {
            check("the classes", images, classes.len())?;
            if let Some(class) = classes.iter().find(|&&class| class < 0 || class as usize >= rows) {
                return Err(KernelError::Size(format!(
                    "there is no class {class}; the network has 0 to {}",
                    rows - 1
                )));
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
            for step in &self.parts.encoder {
                step.forward(state, images);
            }
        });
        Ok(())
    }

    /// Takes over changed parameters in one part: the others may not be wanted in this pass.
    fn pack(&mut self, part: Part) {
        if !std::mem::take(&mut self.stale[part as usize]) {
            return;
        }
        let (set, parameters) = (self.state.set, &self.state.parameters);
        let steps = match part {
            Part::Encoder => &mut self.parts.encoder,
            Part::MaskGenerator => &mut self.parts.mask_generator,
            Part::Decoder => &mut self.parts.decoder,
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

    /// Room for a pass of [`Self::encode`] and [`Self::mask_logits`] over up to `images` images: see [`Self::within`].
    pub fn kept_pass(&self, images: usize) -> KeptPass {
        let state = &self.state;
        let images = images.min(self.options.batch);
        let tensors = 0..self.parts.first_tensors.1;
        KeptPass {
            values: tensors
                .clone()
                .map(|tensor| Buffer::zeroed(images * state.item(tensor)))
                .collect(),
            sums: state.sums[tensors].to_vec(),
            written: state.written.clone(),
            norms: state.norms.clone(),
            embedding: state.embedding.clone(),
            modulations: state.modulations.clone(),
            images: 0,
            image: vec![0.0; images * 3 * self.options.height * self.options.width],
            room: images,
        }
    }

    /// Does `work` on the pass of [`Self::encode`] and [`Self::mask_logits`] in `kept`, while the one under way waits: two
    /// passes can be forward before the first is backward. Copies nothing; gradients of parameters add up over both. The
    /// parameters must not change in between, and a pass must fit the room of the [`Self::kept_pass`] that it happens in.
    ///
    /// # Errors
    /// [`KernelError::Size`] if `kept` is of another network; else what `work` returns, after which the pass that waited is
    /// under way as well.
    pub fn within<T>(
        &mut self,
        kept: &mut KeptPass,
        work: impl FnOnce(&mut Self) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        self.exchange(kept)?;
        let done = work(self);
        self.exchange(kept)?;
        done
    }

    fn exchange(&mut self, kept: &mut KeptPass) -> Result<(), KernelError> {
        let (state, tensors) = (&mut self.state, self.parts.first_tensors.1);
        let fits = |values: &[Buffer], images: usize| {
            let lengths = values.iter().map(|values| values.len());
            lengths.eq((0..tensors).map(|tensor| images * state.item(tensor)))
        };
        if !fits(&kept.values, kept.room) || kept.norms.len() != state.norms.len() {
            return Err(KernelError::Size("a kept pass of another network".to_owned()));
        }
        state.values[..tensors].swap_with_slice(&mut kept.values);
        state.sums[..tensors].swap_with_slice(&mut kept.sums);
        std::mem::swap(&mut state.written, &mut kept.written);
        std::mem::swap(&mut state.norms, &mut kept.norms);
        std::mem::swap(&mut state.embedding, &mut kept.embedding);
        std::mem::swap(&mut state.modulations, &mut kept.modulations);
        std::mem::swap(&mut state.images, &mut kept.images);
        std::mem::swap(&mut state.image, &mut kept.image);
        std::mem::swap(&mut self.room, &mut kept.room);
        Ok(())
    }

    /// The mask generator's output before the softmax (Eq. 4), [batch, K, height, width].
    pub fn mask_logits(&mut self) -> &[f32] {
        let threads = self.options.threads.clone();
        let images = self.state.images;
        threads.install(|| {
            self.pack(Part::MaskGenerator);
            for step in &self.parts.mask_generator {
                step.forward(&mut self.state, images);
            }
        });
        let (tensor, regions) = (self.parts.logits, self.architecture.regions);
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

    /// The predicted noise (Eq. 6 and 7), [batch, 3, height, width]: each branch sees h_enc under its own mask and
    /// h_mid whole, times the image's `middle_scale` if given, and the sum of the branches is weighted by the masks.
    ///
    /// # Errors
    /// [`KernelError::Length`] for masks or scales that do not fit the batch of [`Self::encode`].
    pub fn decode(&mut self, masks: Masks<'_>, middle_scale: Option<&[f32]>) -> Result<&[f32], KernelError> {
        let (images, regions) = (self.state.images, self.architecture.regions);
        let pixels = self.options.height * self.options.width;
        if let Some(scales) = middle_scale {
            check("the scales of the middle", images, scales.len())?;
            self.middle_scale[..images].copy_from_slice(scales);
        } else {
            self.middle_scale.fill(1.0);
        }
        match masks {
            Masks::Uniform => {
                self.uniform = true;
                for level in &mut self.pooled {
                    level.fill(1.0 / regions as f32);
                }
            }
            Masks::Given(masks) => {
                check("the masks", images * regions * pixels, masks.len())?;
                self.uniform = false;
                for (index, plane) in masks.chunks_exact(pixels).enumerate() {
                    let (image, region) = (index / regions, index % regions);
                    self.pooled[0][(region * images + image) * pixels..][..pixels].copy_from_slice(plane);
                }
                let (finest, coarser) = self.pooled.split_at_mut(1);
                for (level, pooled) in coarser.iter_mut().enumerate() {
                    let factor = 2 << level;
                    average_pool(
                        &finest[0],
                        regions * images,
                        self.options.height,
                        self.options.width,
                        factor,
                        pooled,
                    );
                }
            }
        }
        let items = self.branches() * images;
        let threads = self.options.threads.clone();
        threads.install(|| {
            self.pack(Part::Decoder);
            for index in 0..self.parts.skips.len() {
                self.mask_skip(index);
            }
            self.copy_middle();
            for step in &self.parts.decoder {
                step.forward(&mut self.state, items);
            }
        });
        let tensor = self.parts.noise;
        let width = self.state.tensors[tensor].width;
        let noise = &self.state.values[tensor];
        let branches = self.branches();
        for (image, planes) in self.prediction.chunks_exact_mut(3 * pixels).take(images).enumerate() {
            planes.fill(0.0);
            for branch in 0..branches {
                let item = branch * images + image;
                let mask = &self.pooled[0][item * pixels..][..pixels];
                let noise = &noise[item * pixels * width..][..pixels * width];
                for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
                    for (pixel, value) in plane.iter_mut().enumerate() {
                        let weight = if self.uniform { 1.0 } else { mask[pixel] };
                        *value += weight * noise[pixel * width + channel];
                    }
                }
            }
        }
        Ok(&self.prediction[..images * 3 * pixels])
    }

    /// Branches of the decoder that are computed.
    fn branches(&self) -> usize {
        if self.uniform { 1 } else { self.architecture.regions }
    }

    /// One tensor of h_enc under the masks, with its sums.
    fn mask_skip(&mut self, index: usize) {
        let (skip, masked) = self.parts.skips[index];
        let items = self.branches() * self.state.images;
        let state = &mut self.state;
        let (images, item, pixels) = (state.images, state.item(skip), state.pixels(skip));
        let tensor = state.tensors[skip];
        let mut out = std::mem::take(&mut state.values[masked]);
        assert!(out.len() >= items * item && state.partial_sums.len() >= items * 2 * tensor.width);
        let (to, sums) = (Shared::new(&mut out), Shared::new(&mut state.partial_sums));
        let (values, masks, set) = (&state.values[skip], &self.pooled[tensor.level], state.set);
        for_each(&mut state.workspaces.threads, items, |_, index| {
            let masked = Masked {
                feature: values[index % images * item..][..item].as_ptr(),
                mask: masks[index * pixels..][..pixels].as_ptr(),
                pixels,
                channels: tensor.width,
            };
            // SAFETY: everything was measured above; each item belongs to one task.
            unsafe {
                mask_feature(
                    set,
                    masked,
                    to.pointer(index * item),
                    sums.pointer(index * 2 * tensor.width),
                );
            }
        });
        state.values[masked] = out;
        state.gather_sums(masked, items);
    }

    /// h_mid for each branch, scaled, with its sums.
    fn copy_middle(&mut self) {
        let (middle, copy) = self.parts.middle;
        let items = self.branches() * self.state.images;
        let state = &mut self.state;
        let (images, item) = (state.images, state.item(middle));
        let mut out = std::mem::take(&mut state.values[copy]);
        for index in 0..items {
            let (image, scale) = (index % images, self.middle_scale[index % images]);
            let from = &state.values[middle][image * item..][..item];
            let to = &mut out[index * item..][..item];
            // SAFETY: both slices hold `item` numbers, whole channel blocks.
            unsafe { scale_into(state.set, from.as_ptr(), scale, to.as_mut_ptr(), false, item) };
        }
        state.values[copy] = out;
        let mut sums = std::mem::take(&mut state.sums[copy]);
        for index in 0..items {
            let scale = f64::from(self.middle_scale[index % images]);
            let (plain, squares) = state.sums[middle].item(index % images);
            let (to_plain, to_squares) = sums.item_mut(index).split_at_mut(plain.len());
            for (to, from) in to_plain.iter_mut().zip(plain) {
                *to = from * scale;
            }
            for (to, from) in to_squares.iter_mut().zip(squares) {
                *to = from * scale * scale;
            }
        }
        state.sums[copy] = sums;
    }

    /// Takes the gradient of a loss by the predicted noise, [batch, 3, height, width], back through the decoder and
    /// returns that by the masks, [batch, K, height, width]: zero for [`Masks::Uniform`].
    ///
    /// # Errors
    /// [`KernelError::Length`] for a gradient that does not fit the batch.
    pub fn backward_decode(&mut self, gradient: &[f32]) -> Result<&[f32], KernelError> {
        let (images, regions) = (self.state.images, self.architecture.regions);
        let pixels = self.options.height * self.options.width;
        check("the gradient of the noise", images * 3 * pixels, gradient.len())?;
        if self.uniform && !self.state.learned.denoiser {
            let result = &mut self.mask_gradients[..images * regions * pixels];
            result.fill(0.0);
            return Ok(result);
        }
        self.state.learning = self.state.learned.denoiser;
        let items = self.branches() * images;
        let tensor = self.parts.noise;
        let width = self.state.tensors[tensor].width;
        self.state.written[self.parts.first_tensors.1..].fill(false);
        for level in &mut self.pooled_gradients {
            level.fill(0.0);
        }
        let (slope, noise) = (&mut self.state.slopes[tensor], &self.state.values[tensor]);
        for item in 0..items {
            let gradient = &gradient[item % images * 3 * pixels..][..3 * pixels];
            let mask = &self.pooled[0][item * pixels..][..pixels];
            let mask_gradient = &mut self.pooled_gradients[0][item * pixels..][..pixels];
            let slope = &mut slope[item * pixels * width..][..pixels * width];
            let noise = &noise[item * pixels * width..][..pixels * width];
            for (pixel, slope) in slope.chunks_exact_mut(width).enumerate() {
                slope.fill(0.0);
                let weight = if self.uniform { 1.0 } else { mask[pixel] };
                for channel in 0..3 {
                    let gradient = gradient[channel * pixels + pixel];
                    slope[channel] = weight * gradient;
                    mask_gradient[pixel] += gradient * noise[pixel * width + channel];
                }
            }
        }
        self.state.written[tensor] = true;
        let threads = self.options.threads.clone();
        threads.install(|| {
            for step in self.parts.decoder.iter().rev() {
                step.backward(&mut self.state, items);
            }
            for index in 0..self.parts.skips.len() {
                self.skip_gradient(index);
            }
            if self.state.learned.denoiser {
                self.middle_gradient();
            }
        });
        let result = &mut self.mask_gradients[..images * regions * pixels];
        if self.uniform {
            result.fill(0.0);
            return Ok(result);
        }
        let (finest, coarser) = self.pooled_gradients.split_at_mut(1);
        for (level, pooled) in coarser.iter().enumerate() {
            let (height, width) = (self.options.height, self.options.width);
            average_pool_gradient(pooled, items, height, width, 2 << level, &mut finest[0]);
        }
        for (index, plane) in result.chunks_exact_mut(pixels).enumerate() {
            let (image, region) = (index / regions, index % regions);
            plane.copy_from_slice(&finest[0][(region * images + image) * pixels..][..pixels]);
        }
        Ok(result)
    }

    fn skip_gradient(&mut self, index: usize) {
        let (skip, masked) = self.parts.skips[index];
        if !self.state.written[masked] {
            return;
        }
        let branches = self.branches();
        let state = &mut self.state;
        let (images, item, pixels) = (state.images, state.item(skip), state.pixels(skip));
        let tensor = state.tensors[skip];
        let mut slope = std::mem::take(&mut state.slopes[skip]);
        assert!(slope.len() >= images * item);
        let to = Shared::new(&mut slope);
        let mask_gradients = Shared::new(&mut self.pooled_gradients[tensor.level]);
        let (values, masks, set) = (&state.values[skip], &self.pooled[tensor.level], state.set);
        let (gradients, written) = (&state.slopes[masked], state.written[skip]);
        for_each(&mut state.workspaces.threads, images, |_, image| {
            for branch in 0..branches {
                let index = branch * images + image;
                let masked = Masked {
                    feature: values[image * item..][..item].as_ptr(),
                    mask: masks[index * pixels..][..pixels].as_ptr(),
                    pixels,
                    channels: tensor.width,
                };
                let gradient = gradients[index * item..][..item].as_ptr();
                // SAFETY: everything was measured or is cut by range here; an image and its masks belong to one task.
                unsafe {
                    let mask_gradients = mask_gradients.part(index * pixels, pixels).as_mut_ptr();
                    let add = written || branch > 0;
                    mask_gradient(set, masked, gradient, to.pointer(image * item), add, mask_gradients);
                }
            }
        });
        state.slopes[skip] = slope;
        state.written[skip] = true;
    }

    fn middle_gradient(&mut self) {
        let (middle, copy) = self.parts.middle;
        if !self.state.written[copy] {
            return;
        }
        let items = self.branches() * self.state.images;
        let state = &mut self.state;
        let (images, item) = (state.images, state.item(middle));
        let mut slope = std::mem::take(&mut state.slopes[middle]);
        for index in 0..items {
            let (image, scale) = (index % images, self.middle_scale[index % images]);
            let from = &state.slopes[copy][index * item..][..item];
            let to = &mut slope[image * item..][..item];
            let add = state.written[middle] || index >= images;
            // SAFETY: both slices hold `item` numbers, whole channel blocks.
            unsafe { scale_into(state.set, from.as_ptr(), scale, to.as_mut_ptr(), add, item) };
        }
        state.slopes[middle] = slope;
        state.written[middle] = true;
    }

    /// Takes the gradient by the logits, [batch, K, height, width], back through the mask generator.
    ///
    /// # Errors
    /// [`KernelError::Length`] for a gradient that does not fit the batch.
    pub fn backward_masks(&mut self, gradient: &[f32]) -> Result<(), KernelError> {
        let (images, regions) = (self.state.images, self.architecture.regions);
        let pixels = self.options.height * self.options.width;
        check("the gradient of the logits", images * regions * pixels, gradient.len())?;
        let learned = self.state.learned;
        if !learned.mask_generator && !learned.denoiser {
            return Ok(());
        }
        self.state.learning = learned.mask_generator;
        let tensor = self.parts.logits;
        let width = self.state.tensors[tensor].width;
        let (first, last) = self.parts.first_tensors;
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
            for step in self.parts.mask_generator.iter().rev() {
                step.backward(&mut self.state, images);
            }
        });
        Ok(())
    }

    /// Takes what the other backward stages have left at h_enc and h_mid back through encoder and embedding.
    pub fn backward_encode(&mut self) {
        if !self.state.learned.denoiser {
            return;
        }
        self.state.learning = true;
        let threads = self.options.threads.clone();
        let images = self.state.images;
        threads.install(|| {
            for step in self.parts.encoder.iter().rev() {
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
fn to_planes(from: &[f32], width: usize, channels: usize, planes: &mut [f32]) {
    let pixels = planes.len() / channels;
    for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
        for (value, line) in plane.iter_mut().zip(from.chunks_exact(width)) {
            *value = line[channel];
        }
    }
}

fn check(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found {
        Ok(())
    } else {
        Err(KernelError::Length { what, expected, found })
    }
}
