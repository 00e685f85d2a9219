//! Where the network runs: chosen when the program runs, never a panic where there is no GPU. All devices are known here.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{LazyLock, Mutex, PoisonError};

use factorseg_kernels::{
    Architecture, CpuTraining, InstructionSet, KernelError, PlanOptions, SegmentationPass, SegmentationPlan, Threads,
    TrainingPass, TrainingSize,
};

use crate::checkpoint::Weights;
use crate::config::ModelConfig;
use crate::load::{LoadOptions, Precision};

/// A user's choice of device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceSpec {
    /// The first CUDA device where one works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize),
}

/// A device that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU, through our own kernels.
    Cpu,
    /// A CUDA device, through burn.
    Cuda(usize),
}

/// A device that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The word names no device.
    #[error("there is no device `{0}`; use auto, cpu, cuda or cuda:N")]
    Unknown(String),
    /// There is no CUDA, or not this device.
    #[error("device cuda:{index} is not available: {reason}; use device auto or cpu")]
    Cuda {
        /// The index that was asked for.
        index: usize,
        /// What is missing.
        reason: String,
    },
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Auto => f.write_str("auto"),
            DeviceSpec::Cpu => Device::Cpu.fmt(f),
            DeviceSpec::Cuda(index) => Device::Cuda(*index).fmt(f),
        }
    }
}

impl fmt::Display for Device {
    /// Reads back as a [`DeviceSpec`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let unknown = || DeviceError::Unknown(word.to_owned());
        match word {
            "auto" => Ok(DeviceSpec::Auto),
            "cpu" => Ok(DeviceSpec::Cpu),
            "cuda" => Ok(DeviceSpec::Cuda(0)),
            _ => {
                let index = word.strip_prefix("cuda:").ok_or_else(unknown)?;
                index.parse().map(DeviceSpec::Cuda).map_err(|_| unknown())
            }
        }
    }
}

impl DeviceSpec {
    /// The device itself.
    ///
    /// # Errors
    /// If a CUDA device is asked for by name and cannot be had. `Auto` never fails: it takes the CPU.
    pub fn resolve(self) -> Result<Device, DeviceError> {
        match self {
            DeviceSpec::Cpu => Ok(Device::Cpu),
            DeviceSpec::Cuda(index) => cuda_device(index),
            DeviceSpec::Auto => Ok(cuda_device(0).unwrap_or(Device::Cpu)),
        }
    }
}

fn cuda_device(index: usize) -> Result<Device, DeviceError> {
    match cuda::available(index) {
        Ok(()) => Ok(Device::Cuda(index)),
        Err(reason) => Err(DeviceError::Cuda { index, reason }),
    }
}

impl Device {
    /// A network that segments.
    pub(crate) fn segmentation(
        self,
        config: &ModelConfig,
        weights: &Weights,
        how: LoadOptions,
    ) -> Result<Box<dyn SegmentationPass>, KernelError> {
        let architecture = config.architecture();
        let lookup = |name: &str| weights.get(name);
        match self {
            Device::Cuda(index) => cuda::segmentation(index, &architecture, &lookup, how.precision == Precision::Bf16),
            Device::Cpu => {
                let options = PlanOptions {
                    threads: threads(how.threads)?,
                    arithmetic: how.precision.arithmetic(),
                    ..PlanOptions::new(config.image_size, config.image_size)
                };
                Ok(Box::new(SegmentationPlan::compile(&architecture, lookup, options)?))
            }
        }
    }

    /// The set of instructions that a network in use runs with, by [`InstructionSet::name`]; empty where the kernels are not ours.
    pub(crate) fn instructions(self) -> &'static str {
        match self {
            Device::Cpu => InstructionSet::detect().name(),
            Device::Cuda(_) => "",
        }
    }

    /// A network in training, its weights zero; on the CPU on `threads` threads (0: one per core). Without a choice of
    /// precision it is 32 bits: what a run learns should not depend on the processor it happens to start on.
    ///
    /// # Errors
    /// If the network or its size is unusable, the threads cannot be started, or the device fails.
    pub fn training(
        self,
        architecture: &Architecture,
        size: TrainingSize,
        threads: usize,
        precision: Precision,
    ) -> Result<Box<dyn TrainingPass>, KernelError> {
        match self {
            Device::Cuda(index) => cuda::training(index, architecture, size, precision == Precision::Bf16),
            Device::Cpu => {
                let threads = Threads::new(threads)?;
                Ok(Box::new(CpuTraining::new(
                    architecture,
                    size,
                    threads,
                    precision.arithmetic(),
                )?))
            }
        }
    }
}

impl Device {
    /// What tells this device from those of all machines, if networks in training on it can sum gradients up with others by
    /// themselves ([`TrainingPass::join`]).
    ///
    /// # Errors
    /// Why they cannot.
    pub fn identity(self) -> Result<u64, String> {
        match self {
            Device::Cuda(index) => cuda::identity(index),
            Device::Cpu => Err("the CPU's gradients are in host memory".to_owned()),
        }
    }

    /// A name for a group of such devices: what one process makes, and all give to [`TrainingPass::join`].
    ///
    /// # Errors
    /// Why they cannot.
    pub fn group_id(self) -> Result<Vec<u8>, String> {
        self.identity().and_then(|_| cuda::group_id())
    }
}

/// `count` threads, 0 for one per core: the same ones for all segmenters of a process that ask for as many.
fn threads(count: usize) -> Result<Threads, KernelError> {
    static POOLS: LazyLock<Mutex<HashMap<usize, Threads>>> = LazyLock::new(Mutex::default);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(threads) = pools.get(&count) {
        return Ok(threads.clone());
    }
    let threads = Threads::new(count)?;
    pools.insert(count, threads.clone());
    Ok(threads)
}

#[cfg(feature = "cuda")]
use factorseg_network::cuda;

/// What a build without CUDA has in its place.
#[cfg(not(feature = "cuda"))]
mod cuda {
    use super::*;

    const MISSING: &str =
        "this build has no CUDA; build with `cargo build --release` (CUDA=1 scripts/demo.sh) to have it";

    pub fn available(_: usize) -> Result<(), String> {
        Err(MISSING.to_owned())
    }

    pub fn identity(_: usize) -> Result<u64, String> {
        Err(MISSING.to_owned())
    }

    pub fn group_id() -> Result<Vec<u8>, String> {
        Err(MISSING.to_owned())
    }

    pub fn segmentation(
        _: usize,
        _: &Architecture,
        _: &factorseg_kernels::WeightLookup<'_>,
        _: bool,
    ) -> Result<Box<dyn SegmentationPass>, KernelError> {
        Err(KernelError::Device(MISSING.to_owned()))
    }

    pub fn training(
        _: usize,
        _: &Architecture,
        _: TrainingSize,
        _: bool,
    ) -> Result<Box<dyn TrainingPass>, KernelError> {
        Err(KernelError::Device(MISSING.to_owned()))
    }
}

#[cfg(test)]
mod tests;
