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
mod tests;
