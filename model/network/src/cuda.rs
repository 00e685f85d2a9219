//! The devices of CUDA, and what runs on them.

use burn::backend::Autodiff;
use burn_cuda::{Cuda, CudaDevice};
use factorseg_kernels::{Architecture, KernelError, SegmentationPass, TrainingPass, TrainingSize, WeightLookup};

pub use crate::nccl::{group_id, identity};
use crate::tuning::remember_tuning;
use crate::{BurnSegmentation, BurnTraining};
use crate::{nccl, preflight};

/// Whether device `index` can be used; to be called before it is.
///
/// # Errors
/// What is missing, in words.
pub fn available(index: usize) -> Result<(), String> {
    preflight::check(index)?;
    remember_tuning()
}

/// A network that segments on device `index`; see [`BurnSegmentation::new`].
///
/// # Errors
/// Those of [`BurnSegmentation::new`].
pub fn segmentation(
    index: usize,
    architecture: &Architecture,
    lookup: &WeightLookup<'_>,
    bf16: bool,
) -> Result<Box<dyn SegmentationPass>, KernelError> {
    let pass = BurnSegmentation::<Cuda>::new(architecture, lookup, CudaDevice::new(index), bf16)?;
    Ok(Box::new(pass))
}

/// A network in training on device `index`; see [`BurnTraining::new`].
///
/// # Errors
/// Those of [`BurnTraining::new`].
pub fn training(
    index: usize,
    architecture: &Architecture,
    size: TrainingSize,
    bf16: bool,
) -> Result<Box<dyn TrainingPass>, KernelError> {
    let pass = BurnTraining::<Autodiff<Cuda>>::new(architecture, size, CudaDevice::new(index), bf16)?;
    Ok(Box::new(pass.that_joins(nccl::join)))
}
