//! Networks of checkpoints, in burn: on the CPU, or with the feature `cuda` on the first CUDA device, which
//! `tests/cuda/run.sh` emulates.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::path::PathBuf;

use burn::tensor::{Tensor, TensorData};
use factorseg_model::checkpoint::Checkpoint;
use factorseg_network::parameters::fill;
use factorseg_network::{Factorized, MaskNetwork};

/// The backend that is tested, and its device.
#[cfg(not(feature = "cuda"))]
pub type Tested = burn_flex::Flex;
#[cfg(feature = "cuda")]
pub type Tested = burn_cuda::Cuda;

pub fn device() -> <Tested as burn::tensor::backend::BackendTypes>::Device {
    Default::default()
}

/// A file that the reference implementation wrote.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/reference/fixtures")
        .join(name)
}

/// Values as one row.
pub fn row(values: Vec<f32>) -> Tensor<Tested, 1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &device())
}

/// The whole network.
pub fn whole(checkpoint: &mut Checkpoint) -> Factorized<Tested> {
    let network = Factorized::new(&checkpoint.config().architecture(), &device());
    fill(network, |name| row(checkpoint.read(name).unwrap()), |_| false)
}

/// The part that segments.
pub fn masks(checkpoint: &mut Checkpoint) -> MaskNetwork<Tested> {
    let network = MaskNetwork::new(&checkpoint.config().architecture(), &device());
    fill(network, |name| row(checkpoint.read(name).unwrap()), |_| false)
}
