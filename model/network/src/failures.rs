//! burn reports a failing device (out of memory, lost) by panicking: that ends here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use factorseg_kernels::KernelError;

/// What `run` returns; a panic in it as [`KernelError::Device`].
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T, KernelError>) -> Result<T, KernelError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("unknown reason");
        Err(failed(reason))
    })
}

/// The device's failure, in the lines of a report that say something, each once: burn lists all kernels that were to run.
pub(crate) fn failed(report: &str) -> KernelError {
    let mut said: Vec<&str> = Vec::new();
    for line in report.lines().map(str::trim) {
        let filler = ["", "Caused by:", "Backtrace"].contains(&line) || line.starts_with("No backtrace");
        if !filler && !said.contains(&line) && said.len() < 4 {
            said.push(line);
        }
    }
    KernelError::Device(said.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_reason() {
        let reason = |run: fn() -> Result<(), KernelError>| caught(run).unwrap_err();
        assert_eq!(
            reason(|| panic!("out of {}", "memory")),
            KernelError::Device("out of memory".into())
        );
        assert_eq!(reason(|| panic!("lost")), KernelError::Device("lost".into()));
        assert_eq!(caught(|| Ok(3)), Ok(3));
    }

    /// As burn 0.21 reports a launch that fails, and the hundreds after it.
    #[test]
    fn a_failure_of_every_kernel_is_told_once() {
        let launch = "Launch(An unknown error happened during launch\nCaused by:\n  \
                      DriverError(CUDA_ERROR_LAUNCH_FAILED, \"CUDA_ERROR_LAUNCH_FAILED\")\nBacktrace\nNo backtrace available)";
        let report = format!(
            "An error happened during execution\nCaused by:\n  The server is in an invalid state\nCaused by:\n  [{}]",
            vec![launch; 900].join(", ")
        );
        assert_eq!(
            failed(&report),
            KernelError::Device(
                "An error happened during execution: The server is in an invalid state: [Launch(An unknown error happened \
                 during launch: DriverError(CUDA_ERROR_LAUNCH_FAILED, \"CUDA_ERROR_LAUNCH_FAILED\")"
                    .into()
            )
        );
    }
}
