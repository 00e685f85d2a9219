//! Where the network runs: chosen when the program runs, never a panic where there is no GPU.

use std::fmt;
use std::str::FromStr;

use burn::{Dispatch, DispatchDevice};
use burn_cuda::CudaDevice;
use burn_flex::FlexDevice;

use crate::tuning::remember_tuning;

/// The backend that holds both the CPU and CUDA; its [device](DispatchDevice) tells which.
pub type Runtime = Dispatch;

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
            DeviceSpec::Cpu => f.write_str("cpu"),
            DeviceSpec::Cuda(index) => write!(f, "cuda:{index}"),
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
    pub fn resolve(self) -> Result<DispatchDevice, DeviceError> {
        match self {
            DeviceSpec::Cpu => Ok(DispatchDevice::Flex(FlexDevice)),
            DeviceSpec::Cuda(index) => cuda_device(index),
            DeviceSpec::Auto => cuda_device(0).or(Ok(DispatchDevice::Flex(FlexDevice))),
        }
    }
}

/// A word for a device, such as `cpu` or `cuda:0`; reads back as a [`DeviceSpec`].
pub fn device_name(device: &DispatchDevice) -> String {
    match device {
        DispatchDevice::Cuda(cuda) => DeviceSpec::Cuda(cuda.index).to_string(),
        DispatchDevice::Autodiff(inner) => device_name(inner),
        _ => DeviceSpec::Cpu.to_string(),
    }
}

fn cuda_device(index: usize) -> Result<DispatchDevice, DeviceError> {
    let devices = cuda_device_count().map_err(|reason| DeviceError::Cuda { index, reason })?;
    if index >= devices {
        return Err(DeviceError::Cuda {
            index,
            reason: format!("there are {devices} CUDA devices, counted from 0"),
        });
    }
    remember_tuning().map_err(|reason| DeviceError::Cuda { index, reason })?;
    Ok(DispatchDevice::Cuda(CudaDevice::new(index)))
}

/// Counts CUDA devices. burn panics where driver or compiler library is missing, so both are looked for first.
fn cuda_device_count() -> Result<usize, String> {
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
    usize::try_from(devices).map_err(|_| "the CUDA driver counts no devices".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for device in [
            DeviceSpec::Auto,
            DeviceSpec::Cpu,
            DeviceSpec::Cuda(0),
            DeviceSpec::Cuda(3),
        ] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(DeviceSpec::Cuda(0)));
        for word in ["", "gpu", "cuda:", "cuda:-1", "cuda:x"] {
            assert!(word.parse::<DeviceSpec>().is_err(), "{word}");
        }
    }

    #[test]
    fn a_device_that_cannot_be_had_is_an_error_and_auto_always_resolves() {
        assert!(DeviceSpec::Auto.resolve().is_ok());
        assert_eq!(device_name(&DeviceSpec::Cpu.resolve().unwrap()), "cpu");
        let message = DeviceSpec::Cuda(4096).resolve().unwrap_err().to_string();
        assert!(message.contains("cuda:4096"), "{message}");
    }
}
