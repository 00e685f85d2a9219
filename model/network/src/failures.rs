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
        Err(KernelError::Device(reason.to_owned()))
    })
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
}
