//! burn reports a failing device (out of memory, lost) by panicking: that ends here.
//!
//! Most panics are on threads of cubecl, one for every operation that follows the first, and the caller's own says only that there
//! was one. So those threads' are not printed, and the first of them is the reason.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use factorseg_kernels::KernelError;

/// How cubecl 0.10 names the threads of a device: "DSU-0-0" of the operations, "DSD-0-0" of the driver.
const DEVICE_THREADS: [&str; 2] = ["DSU-", "DSD-"];

/// The first panic on a device's thread that no error has told yet.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// What `run` returns; a panic in it as [`KernelError::Device`].
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T, KernelError>) -> Result<T, KernelError> {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(listen);
    CATCHING.set(true);
    let done = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(false);
    done.unwrap_or_else(|panic| {
        let first = FIRST.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(failed(first.as_deref().unwrap_or(reason(panic.as_ref()))))
    })
}

/// Keeps panics that end in an error from being printed. All others are, as before.
fn listen() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or_default();
        if DEVICE_THREADS.iter().any(|start| name.starts_with(start)) {
            let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| reason(panic.payload()).to_owned());
        } else if !CATCHING.get() {
            if let Some(first) = FIRST.lock().unwrap_or_else(PoisonError::into_inner).take() {
                eprintln!("{}", failed(&first));
            }
            print(panic);
        }
    }));
}

fn reason(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let unwrapped = text.and_then(|text| text.strip_prefix("called `Result::unwrap()` on an `Err` value: "));
    unwrapped.or(text).unwrap_or("unknown reason")
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
