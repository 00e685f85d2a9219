//! Passes on the device that is tested: burn's on the CPU, or with the feature `cuda` the first CUDA device, which
//! `tests/cuda/quick.sh` emulates.
//!
//! There the tests are those of `factorseg-model`, and take what the library has compiled: a test that names burn's types is built for
//! minutes.

use std::path::PathBuf;

use factorseg_kernels::{Architecture, KernelError, SegmentationPass, TrainingPass, TrainingSize, WeightLookup};

/// A network in training.
#[cfg(not(feature = "cuda"))]
pub fn training(
    architecture: &Architecture,
    size: TrainingSize,
    bf16: bool,
) -> Result<Box<dyn TrainingPass>, KernelError> {
    type Training = factorseg_network::BurnTraining<burn::backend::Autodiff<burn_flex::Flex>>;
    Ok(Box::new(Training::new(architecture, size, Default::default(), bf16)?))
}

/// A network in training.
#[cfg(feature = "cuda")]
pub fn training(
    architecture: &Architecture,
    size: TrainingSize,
    bf16: bool,
) -> Result<Box<dyn TrainingPass>, KernelError> {
    factorseg_network::cuda::training(0, architecture, size, bf16)
}

/// A network that segments.
#[cfg(not(feature = "cuda"))]
pub fn segmentation(
    architecture: &Architecture,
    lookup: &WeightLookup<'_>,
    bf16: bool,
) -> Result<Box<dyn SegmentationPass>, KernelError> {
    type Segmentation = factorseg_network::BurnSegmentation<burn_flex::Flex>;
    Ok(Box::new(Segmentation::new(
        architecture,
        lookup,
        Default::default(),
        bf16,
    )?))
}

/// A network that segments.
#[cfg(feature = "cuda")]
pub fn segmentation(
    architecture: &Architecture,
    lookup: &WeightLookup<'_>,
    bf16: bool,
) -> Result<Box<dyn SegmentationPass>, KernelError> {
    factorseg_network::cuda::segmentation(0, architecture, lookup, bf16)
}

/// A file that the reference implementation wrote.
pub fn fixture(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut fixtures = root.ancestors().map(|folder| folder.join("tests/reference/fixtures"));
    fixtures.find(|folder| folder.exists()).unwrap().join(name)
}
