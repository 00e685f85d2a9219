//! The segmentation pass as a plan: compiled once from a network's weights, then run frame after frame.

mod conditioning;
mod memory;
mod options;
mod pass;
mod program;
mod run;
mod tiles;
mod weights;

pub use options::PlanOptions;

use crate::KernelError;
use crate::error::check_length;
use crate::network::{Architecture, Network};
use crate::normalisation::GroupNorm;
use conditioning::Conditioning;
use memory::Memory;
use program::{Program, Step, group_norm};
use run::Run;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weights::WeightValues;

/// The segmentation pass of one network for one image size: encoder, middle block and mask generator (Eq. 2 to 4 of
/// the paper) from noised images to region probabilities, for one timestep and class at a time.
///
/// Everything that does not depend on the image is computed when the plan is compiled or conditioned; a run allocates
/// nothing.
pub struct SegmentationPlan {
    architecture: Architecture,
    program: Arc<Program>,
    norms: Vec<GroupNorm>,
    options: PlanOptions,
    memory: Memory,
}

impl SegmentationPlan {
    /// Compiles the plan, for timestep 1 and no class until [`Self::condition`].
    ///
    /// `lookup` gives a weight's values (row-major) and shape by its name in a checkpoint: those of
    /// [`Architecture::parameters`] but for the decoder's.
    ///
    /// # Errors
    /// [`KernelError::Size`] for an unusable architecture, image size or batch; [`KernelError::Arithmetic`] for bf16 with
    /// instructions that do not compute it; [`KernelError::MissingWeight`] and [`KernelError::WeightShape`] for weights
    /// that do not fit.
    pub fn compile<'w>(
        architecture: &Architecture,
        lookup: impl Fn(&str) -> Option<(&'w [f32], &'w [usize])>,
        options: PlanOptions,
    ) -> Result<Self, KernelError> {
        architecture.validate()?;
        options.check(architecture)?;
        let network = Network::new(architecture);
        let weights = WeightValues::find(&network.parameters[..network.decoder_parameters], lookup)?;
        let norms = network.segmentation_norms().iter();
        let norms = norms.map(|norm| group_norm(norm, architecture.norm_groups, &weights));
        let mut norms: Vec<GroupNorm> = norms.collect();
        let conditioning = Conditioning::new(&network, architecture.classes, &weights);
        conditioning.fold(1, architecture.classes, &mut norms)?;
        let program = Program::new(network, conditioning, &weights, &options);
        Ok(Self {
            architecture: architecture.clone(),
            memory: Memory::new(&program, &options),
            program: Arc::new(program),
            norms,
            options,
        })
    }

    /// A plan for another image size, batch or set of threads that shares this plan's weights and begins with its
    /// timestep and class. Instruction set and arithmetic stay those of this plan.
    ///
    /// # Errors
    /// [`KernelError::Size`] for an unusable image size or batch.
    pub fn resized(&self, options: PlanOptions) -> Result<Self, KernelError> {
        let options = PlanOptions {
            instructions: self.options.instructions,
            arithmetic: self.options.arithmetic,
            ..options
        };
        options.check(&self.architecture)?;
        Ok(Self {
            architecture: self.architecture.clone(),
            program: Arc::clone(&self.program),
            norms: self.norms.clone(),
            memory: Memory::new(&self.program, &options),
            options,
        })
    }

    /// Conditions the runs that follow on a timestep (the paper's, 1..=T) and a class: its index, or
    /// [`Architecture::classes`] for "no class". An unconditional network ignores the class.
    ///
    /// # Errors
    /// [`KernelError::Size`] for timestep 0 or a class that the network does not have; the plan is unchanged then.
    pub fn condition(&mut self, timestep: usize, class: usize) -> Result<(), KernelError> {
        self.program.conditioning.fold(timestep, class, &mut self.norms)
    }

    /// What the plan was compiled for.
    pub fn options(&self) -> &PlanOptions {
        &self.options
    }

    /// Bytes of the packed weights, which [`Self::resized`] plans share.
    pub fn weight_bytes(&self) -> usize {
        let bytes = |step: &Step| match step {
            Step::Convolution(step) => step.packed.bytes(),
            _ => 0,
        };
        self.program.steps.iter().map(bytes).sum()
    }

    /// Bytes of the activations and workspaces of this plan.
    pub fn activation_bytes(&self) -> usize {
        self.memory.bytes()
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
        let batch = (input.len() / (3 * pixels)).clamp(1, self.options.batch);
        check_length("the input", batch * 3 * pixels, input.len())?;
        let regions = self.architecture.regions;
        check_length("the output", batch * regions * pixels, output.len())?;
        let mut run = Run {
            program: &self.program,
            norms: &self.norms,
            memory: &mut self.memory,
            height: self.options.height,
            width: self.options.width,
            batch,
        };
        self.options.threads.install(|| {
            for (index, planned) in run.program.steps.iter().enumerate() {
                let start = Instant::now();
                run.step(index, input);
                step(planned.name(), start.elapsed());
            }
            let start = Instant::now();
            run.softmax(regions, output);
            step("softmax", start.elapsed());
        });
        Ok(())
    }
}
