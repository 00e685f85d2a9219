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
    // As cubecl 0.10 fails: for each operation on its thread, then on the one that asked.
    let failing = thread::Builder::new().name("DSD-0-0".to_owned()).spawn(|| {
        let first: Result<(), &str> = Err("can't allocate buffer of size: 64");
        for result in [first, Err("the page doesn't exist")] {
            let _ = catch_unwind(|| result.unwrap());
        }
    });
    failing.unwrap().join().unwrap();
    let told = KernelError::Device("\"can't allocate buffer of size: 64\"".into());
    assert_eq!(reason(|| panic!("CallError")), told);
    // It is told once.
    assert_eq!(reason(|| panic!("CallError")), KernelError::Device("CallError".into()));
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
