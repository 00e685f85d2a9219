//! Networks of checkpoints, in burn on the CPU.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::path::PathBuf;

use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexDevice};
use factorseg_model::checkpoint::Checkpoint;
use factorseg_network::parameters::fill;
use factorseg_network::{Factorized, MaskNetwork};

/// A file that the reference implementation wrote.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/reference/fixtures")
        .join(name)
}

/// Values as one row.
pub fn row(values: Vec<f32>) -> Tensor<Flex, 1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &FlexDevice)
}

/// The whole network.
pub fn whole(checkpoint: &mut Checkpoint) -> Factorized<Flex> {
    let network = Factorized::new(&checkpoint.config().architecture(), &FlexDevice);
    fill(network, |name| row(checkpoint.read(name).unwrap()), |_| false)
}

/// The part that segments.
pub fn masks(checkpoint: &mut Checkpoint) -> MaskNetwork<Flex> {
    let network = MaskNetwork::new(&checkpoint.config().architecture(), &FlexDevice);
    fill(network, |name| row(checkpoint.read(name).unwrap()), |_| false)
}
