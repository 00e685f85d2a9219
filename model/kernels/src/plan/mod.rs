//! The segmentation pass as a plan: compiled once from a network's weights, then run frame after frame.

mod architecture;
mod program;
mod weights;

pub use architecture::Architecture;

use crate::convolution::{Input, Needs, Output, Planar, Residual, Workspaces, convolve};
use crate::memory::Buffer;
use crate::normalisation::{ChannelSums, GroupNorm};
use crate::operands::{Adds, Reads, TensorId};
use crate::resample::resample;
use crate::simd::{Arithmetic, InstructionSet};
use crate::softmax::{probabilities, probabilities_scratch};
use crate::source::{Affine, Part, Source};
use crate::tiling::Tiling;
use crate::{KernelError, Threads};
use program::{Extent, Program, Step};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weights::Weights;

/// What a plan is compiled for.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// Height of the images in pixels, a multiple of [`Architecture::stride`].
    pub height: usize,
    /// Width of the images in pixels, a multiple of [`Architecture::stride`].
    pub width: usize,
    /// The most images of one run.
    pub batch: usize,
    /// The threads that a run may use.
    pub threads: Threads,
    /// The instructions to use; [`InstructionSet::detect`] is the fastest.
    pub instructions: InstructionSet,
    /// What convolutions multiply.
    pub arithmetic: Arithmetic,
}

impl PlanOptions {
    /// One image at a time of this size, on the calling thread, with the processor's fastest instructions, in single
    /// precision.
    pub fn new(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            batch: 1,
            threads: Threads::Single,
            instructions: InstructionSet::detect(),
            arithmetic: Arithmetic::F32,
        }
    }
}

/// The segmentation pass of one network for one image size: encoder, middle block and mask generator (Eq. 2 to 4 of
/// the paper) from noised images to region probabilities.
///
/// Everything that does not depend on the image is computed when the plan is compiled; a run allocates nothing.
pub struct SegmentationPlan {
    architecture: Architecture,
    program: Arc<Program>,
    norms: Vec<GroupNorm>,
    options: PlanOptions,
    layout: Layout,
}

/// All memory of a plan, and the tilings that it was measured for.
struct Layout {
    /// The buffer of each activation; activations that never live at the same time share one.
    slot_of: Vec<usize>,
    slots: Vec<Buffer>,
    /// Of each step that is a convolution.
    tilings: Vec<Option<Tiling>>,
    sums: Vec<ChannelSums>,
    partial_sums: Buffer,
    scale: Buffer,
    shift: Buffer,
    scratch: Buffer,
    workspaces: Workspaces,
}

impl SegmentationPlan {
    /// Compiles the plan.
    ///
    /// `lookup` gives a weight's values (row-major) and shape by its name in a checkpoint: linear layers are
    /// [inputs, outputs], convolutions [outputs, inputs, height, width], normalisations have `gamma` and `beta`.
    /// `embedding` is the sum of the time and class embeddings, [4 C], before the blocks' SiLU; it stays fixed until
    /// [`Self::set_embedding`].
    ///
    /// # Errors
    /// [`KernelError::Size`] for an unusable architecture, image size or batch; [`KernelError::Arithmetic`] for bf16 with
    /// instructions that do not compute it; [`KernelError::Length`] for an embedding of another length; [`KernelError::MissingWeight`] and [`KernelError::WeightShape`] for weights that
    /// do not fit.
    pub fn compile<'w>(
        architecture: &Architecture,
        lookup: impl Fn(&str) -> Option<(&'w [f32], &'w [usize])>,
        embedding: &[f32],
        options: PlanOptions,
    ) -> Result<Self, KernelError> {
        architecture.validate()?;
        check_size(architecture, &options)?;
        if options.arithmetic == Arithmetic::Bf16 && !options.instructions.computes_bf16() {
            return Err(KernelError::Arithmetic {
                instructions: options.instructions.name(),
            });
        }
        check_length("the embedding", 4 * architecture.base_channels, embedding.len())?;
        let extent = Extent {
            height: options.height,
            width: options.width,
            batch: options.batch,
        };
        let weights = Weights { lookup: &lookup };
        let (set, arithmetic) = (options.instructions, options.arithmetic);
        let (program, norms) = program::compile(architecture, &weights, embedding, extent, set, arithmetic)?;
        let layout = Layout::new(&program, &options);
        Ok(Self {
            architecture: architecture.clone(),
            program: Arc::new(program),
            norms,
            options,
            layout,
        })
    }

    /// A plan for another image size, batch or set of threads that shares this plan's packed weights. Instruction set
    /// and arithmetic stay those of this plan.
    ///
    /// # Errors
    /// [`KernelError::Size`] for an unusable image size or batch.
    pub fn resized(&self, options: PlanOptions) -> Result<Self, KernelError> {
        let options = PlanOptions {
            instructions: self.options.instructions,
            arithmetic: self.options.arithmetic,
            ..options
        };
        check_size(&self.architecture, &options)?;
        Ok(Self {
            architecture: self.architecture.clone(),
            program: Arc::clone(&self.program),
            norms: self.norms.clone(),
            layout: Layout::new(&self.program, &options),
            options,
        })
    }

    /// Folds in another embedding, [4 C] (another timestep or class), with the same weights as at compilation.
    ///
    /// # Errors
    /// Those of [`Self::compile`]; the plan is unchanged then.
    pub fn set_embedding<'w>(
        &mut self,
        lookup: impl Fn(&str) -> Option<(&'w [f32], &'w [usize])>,
        embedding: &[f32],
    ) -> Result<(), KernelError> {
        check_length("the embedding", 4 * self.architecture.base_channels, embedding.len())?;
        program::fold_embedding(&self.program, &mut self.norms, &Weights { lookup: &lookup }, embedding)
    }

    /// What the plan was compiled for.
    pub fn options(&self) -> &PlanOptions {
        &self.options
    }

    /// Bytes of the packed weights, which [`Self::resized`] plans share.
    pub fn weight_bytes(&self) -> usize {
        let bytes = |step: &Step| match step {
            Step::Convolution { convolution, .. } => convolution.bytes(),
            _ => 0,
        };
        self.program.steps.iter().map(bytes).sum()
    }

    /// Bytes of the activations and workspaces of this plan.
    pub fn activation_bytes(&self) -> usize {
        let layout = &self.layout;
        let workspaces: usize = layout
            .workspaces
            .threads
            .iter()
            .map(|workspace| workspace.left.len() + workspace.region.len() + workspace.product.len())
            .sum();
        size_of::<f32>() * (layout.slots.iter().map(|slot| slot.len()).sum::<usize>() + workspaces)
    }

    /// Region probabilities of noised images.
    ///
    /// `input` is x_t, [batch, 3, height, width]; `output` becomes [batch, K, height, width], each in 0..=1 and
    /// summing to one over K. The batch is taken from the input's length, 1 up to the plan's.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice does not hold such a batch.
    pub fn run(&mut self, input: &[f32], output: &mut [f32]) -> Result<(), KernelError> {
        self.run_timed(input, output, |_, _| {})
    }

    /// As [`Self::run`]; `step` is called after each step of the pass with its name and duration.
    ///
    /// # Errors
    /// Those of [`Self::run`].
    pub fn run_timed(
        &mut self,
        input: &[f32],
        output: &mut [f32],
        mut step: impl FnMut(&str, Duration) + Send,
    ) -> Result<(), KernelError> {
        let pixels = self.options.height * self.options.width;
        let batch = input.len() / (3 * pixels);
        if batch == 0 || batch > self.options.batch || input.len() != batch * 3 * pixels {
            let batch = batch.clamp(1, self.options.batch);
            return Err(KernelError::Length {
                what: "the input",
                expected: batch * 3 * pixels,
                found: input.len(),
            });
        }
        check_length("the output", batch * self.architecture.regions * pixels, output.len())?;
        let Self {
            program,
            norms,
            options,
            layout,
            architecture,
        } = self;
        options.threads.install(|| {
            for (index, planned) in program.steps.iter().enumerate() {
                let start = Instant::now();
                layout.step(
                    program,
                    norms,
                    options,
                    architecture.regions,
                    index,
                    batch,
                    input,
                    output,
                );
                step(planned.name(), start.elapsed());
            }
        });
        Ok(())
    }
}

fn check_size(architecture: &Architecture, options: &PlanOptions) -> Result<(), KernelError> {
    let stride = architecture.stride();
    let usable = |side: usize| side > 0 && side.is_multiple_of(stride) && side <= 1 << 14;
    if !usable(options.height) || !usable(options.width) {
        return Err(KernelError::Size(format!(
            "an image of {} x {} (width x height) does not fit the network: both must be multiples of {stride}, up to {}",
            options.width,
            options.height,
            1 << 14
        )));
    }
    if options.batch == 0 {
        return Err(KernelError::Size("the batch must hold at least one image".to_owned()));
    }
    Ok(())
}

fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found {
        Ok(())
    } else {
        Err(KernelError::Length { what, expected, found })
    }
}

impl Layout {
    fn new(program: &Program, options: &PlanOptions) -> Self {
        let batch = options.batch;
        let pixels = |tensor: TensorId| {
            let level = program.tensors[tensor].level;
            (options.height >> level) * (options.width >> level)
        };
        let (slot_of, lengths) = assign_slots(program, |tensor| batch * pixels(tensor) * program.tensors[tensor].width);
        let threads = options.threads.count();
        let mut needs = Needs::default();
        let (mut partial_sums, mut channels, mut scratch) = (0, 0, 0);
        let mut tilings = Vec::new();
        for step in &program.steps {
            let mut tiling = None;
            match step {
                Step::Convolution {
                    convolution,
                    reads,
                    output,
                    ..
                } => {
                    let level = program.tensors[*output].level;
                    let (height, width) = (options.height >> level, options.width >> level);
                    let side = convolution.method.side();
                    let target = block_target(batch * height.div_ceil(side) * width.div_ceil(side), side, threads);
                    let tiles = Tiling::new(batch, height, width, side, target);
                    needs = needs.join(convolution.needs(&tiles));
                    partial_sums = partial_sums.max(tiles.rectangles(batch).len() * 2 * convolution.outputs());
                    if let Reads::Activations { first, second, .. } = reads {
                        let width = |tensor: TensorId| program.tensors[tensor].width;
                        channels = channels.max(width(*first) + second.map_or(0, width));
                    }
                    tiling = Some(tiles);
                }
                Step::Attention { attention, input, .. } => {
                    needs = needs.join(Needs {
                        left: attention.needs(pixels(*input)),
                        ..Needs::default()
                    });
                }
                Step::Resample { input, norm, .. } => {
                    if norm.is_some() {
                        channels = channels.max(program.tensors[*input].width);
                    }
                }
                Step::Softmax { logits } => scratch = probabilities_scratch(program.tensors[*logits].width),
            }
            tilings.push(tiling);
        }
        Self {
            slot_of,
            slots: lengths.into_iter().map(Buffer::zeroed).collect(),
            tilings,
            sums: program
                .tensors
                .iter()
                .map(|tensor| {
                    if tensor.summed {
                        ChannelSums::new(batch, tensor.width)
                    } else {
                        ChannelSums::default()
                    }
                })
                .collect(),
            partial_sums: Buffer::zeroed(partial_sums),
            scale: Buffer::zeroed(batch * channels),
            shift: Buffer::zeroed(batch * channels),
            scratch: Buffer::zeroed(scratch),
            workspaces: Workspaces::new(threads, needs),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn step(
        &mut self,
        program: &Program,
        norms: &[GroupNorm],
        options: &PlanOptions,
        regions: usize,
        index: usize,
        batch: usize,
        image: &[f32],
        probabilities_out: &mut [f32],
    ) {
        let size = |tensor: TensorId| {
            let level = program.tensors[tensor].level;
            (options.height >> level, options.width >> level)
        };
        match &program.steps[index] {
            Step::Convolution {
                convolution,
                reads,
                norm,
                adds,
                output,
                ..
            } => {
                let Some(tiling) = &self.tilings[index] else {
                    unreachable!("every convolution has a tiling")
                };
                // Taken out while it is written: the borrow of the others stays plain.
                let mut out = std::mem::take(&mut self.slots[self.slot_of[*output]]);
                let part = |tensor: TensorId| Part {
                    data: &self.slots[self.slot_of[tensor]],
                    channels: program.tensors[tensor].width,
                };
                let input = match *reads {
                    Reads::Image => Input::Planar(Planar {
                        data: image,
                        channels: 3,
                        height: options.height,
                        width: options.width,
                    }),
                    Reads::Activations {
                        first,
                        second,
                        upsample,
                    } => {
                        let (height, width) = size(first);
                        let affine = norm.map(|(norm, activate)| {
                            let sums = [Some(&self.sums[first]), second.map(|second| &self.sums[second])];
                            norms[norm].affine(sums, batch, height * width, &mut self.scale, &mut self.shift);
                            Affine {
                                scale: &self.scale,
                                shift: &self.shift,
                                activate,
                            }
                        });
                        let second = second.map(part);
                        Input::Activations(Source {
                            first: part(first),
                            second,
                            height,
                            width,
                            upsample,
                            affine,
                        })
                    }
                };
                let residual = match *adds {
                    Adds::Nothing => Residual::None,
                    Adds::Output => Residual::Output,
                    Adds::Tensor(tensor) => Residual::Tensor(part(tensor).data),
                };
                let summed = program.tensors[*output].summed;
                let sums = summed.then_some(&mut self.partial_sums[..]);
                let written = Output {
                    data: &mut out,
                    residual,
                    sums,
                };
                convolve(
                    program.set,
                    &mut self.workspaces,
                    convolution,
                    tiling,
                    batch,
                    input,
                    written,
                );
                if summed {
                    self.sums[*output].gather(tiling.rectangles(batch), &self.partial_sums);
                }
                self.slots[self.slot_of[*output]] = out;
            }
            Step::Attention {
                attention,
                input,
                output,
                ..
            } => {
                let mut out = std::mem::take(&mut self.slots[self.slot_of[*output]]);
                let (height, width) = size(*input);
                let read = &self.slots[self.slot_of[*input]];
                attention.run(
                    program.set,
                    &mut self.workspaces.threads,
                    batch,
                    height * width,
                    read,
                    &mut out,
                );
                self.slots[self.slot_of[*output]] = out;
            }
            Step::Resample {
                resampling,
                input,
                norm,
                output,
                ..
            } => {
                let mut out = std::mem::take(&mut self.slots[self.slot_of[*output]]);
                let (height, width) = size(*input);
                let affine = norm.map(|(norm, activate)| {
                    let sums = [Some(&self.sums[*input]), None];
                    norms[norm].affine(sums, batch, height * width, &mut self.scale, &mut self.shift);
                    Affine {
                        scale: &self.scale,
                        shift: &self.shift,
                        activate,
                    }
                });
                let source = Source {
                    first: Part {
                        data: &self.slots[self.slot_of[*input]],
                        channels: program.tensors[*input].width,
                    },
                    second: None,
                    height,
                    width,
                    upsample: false,
                    affine,
                };
                let workspaces = &mut self.workspaces.threads;
                resample(program.set, workspaces, *resampling, batch, source, &mut out);
                self.slots[self.slot_of[*output]] = out;
            }
            Step::Softmax { logits } => {
                let (height, width) = size(*logits);
                let channels = program.tensors[*logits].width;
                let read = &self.slots[self.slot_of[*logits]];
                let items = probabilities_out.chunks_exact_mut(regions * height * width);
                for (item, out) in items.enumerate() {
                    let logits = &read[item * height * width * channels..][..height * width * channels];
                    probabilities(program.set, logits, channels, regions, out, &mut self.scratch);
                }
            }
        }
    }
}

/// Tiles of a block: enough that reading the weights is spread over many, few enough for the cache, and, with
/// threads, so many blocks that each thread has some.
fn block_target(tiles: usize, side: usize, threads: usize) -> usize {
    let most = if side == 1 { 96 } else { 32 };
    if threads == 1 || tiles >= 2 * most * threads {
        return most;
    }
    // Fewer than eight tiles would leave the multipliers waiting for weights: then one block, whose channels the
    // threads share.
    let share = tiles.div_ceil(threads);
    if share >= 8 { share.min(most) } else { tiles }
}

/// A slot for every activation, so that activations in use at the same time have different ones; and the slots'
/// lengths.
fn assign_slots(program: &Program, length: impl Fn(TensorId) -> usize) -> (Vec<usize>, Vec<usize>) {
    let mut last_use = vec![0; program.tensors.len()];
    for (index, step) in program.steps.iter().enumerate() {
        for tensor in step.tensors() {
            last_use[tensor] = index;
        }
    }
    let mut slot_of = vec![usize::MAX; program.tensors.len()];
    let mut lengths: Vec<usize> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    for (index, step) in program.steps.iter().enumerate() {
        for tensor in step.tensors() {
            if slot_of[tensor] == usize::MAX {
                // The free slot whose size fits best.
                let best = (0..free.len()).min_by_key(|&candidate| lengths[free[candidate]].abs_diff(length(tensor)));
                let slot = best.map_or_else(
                    || {
                        lengths.push(0);
                        lengths.len() - 1
                    },
                    |candidate| free.swap_remove(candidate),
                );
                lengths[slot] = lengths[slot].max(length(tensor));
                slot_of[tensor] = slot;
            }
        }
        for tensor in step.tensors() {
            if last_use[tensor] == index && !free.contains(&slot_of[tensor]) {
                free.push(slot_of[tensor]);
            }
        }
    }
    (slot_of, lengths)
}
