//! The devices of CUDA: counted without a panic where there is no GPU, and what runs on them.

use burn::backend::Autodiff;
use burn_cuda::{Cuda, CudaDevice};
use factorseg_kernels::{Architecture, KernelError, SegmentationPass, TrainingPass, TrainingSize, WeightLookup};

use crate::tuning::remember_tuning;
use crate::{BurnSegmentation, BurnTraining};

/// Counts CUDA devices. burn panics where driver or compiler library is missing, so both are looked for first.
///
/// # Errors
/// What is missing, in words.
pub fn count() -> Result<usize, String> {
    // SAFETY: looking for a library runs its initialisers; these are the CUDA driver's own libraries, which burn
    // would load next.
    let (driver, compiler) = unsafe {
        (
            cudarc::driver::sys::is_culib_present(),
            cudarc::nvrtc::sys::is_culib_present(),
        )
    };
    if !driver {
        return Err("the CUDA driver (libcuda) is not installed".into());
    }
    if !compiler {
        return Err("the CUDA run-time compiler (libnvrtc) is not installed".into());
    }
    let devices = cudarc::driver::CudaContext::device_count()
        .map_err(|error| format!("the CUDA driver does not start ({error})"))?;
    remember_tuning()?;
    usize::try_from(devices).map_err(|_| "the CUDA driver counts no devices".into())
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
    Ok(Box::new(pass))
}
