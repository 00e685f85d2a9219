//! What the end-to-end tests in `tests/` share: where the built programs are, how they are started, where real data
//! lies.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A file that the build put beside the tests, such as `factorseg` or `libgstfactorseg.so`.
///
/// # Panics
/// If it is not there.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let path = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in <profile>/deps")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing; build the workspace first: cargo build --release --workspace",
        path.display()
    );
    path
}

/// A GStreamer tool that finds the plugin of this build and no other, with a registry of its own.
pub fn gstreamer_tool(name: &str, registry: &Path) -> Command {
    let plugin = built("libgstfactorseg.so");
    let mut command = Command::new(name);
    command
        .env("GST_PLUGIN_PATH", plugin.parent().expect("a directory"))
        .env("GST_REGISTRY", registry.join("registry.bin"))
        .env_remove("GST_DEBUG");
    command
}

/// Runs a command to its end and returns what it printed.
///
/// # Panics
/// If it fails, with all it printed.
pub fn succeed(command: &mut Command) -> String {
    let (output, text) = finish(command);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
    text
}

/// Runs a command that must fail, and returns what it printed.
///
/// # Panics
/// If it succeeds, or dies of a signal.
pub fn fail(command: &mut Command) -> String {
    let (output, text) = finish(command);
    assert!(!output.status.success(), "{command:?} succeeded:\n{text}");
    assert!(
        output.status.code().is_some(),
        "{command:?} died: {}\n{text}",
        output.status
    );
    text
}

fn finish(command: &mut Command) -> (Output, String) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output, text)
}

/// A file of the real data beside the repository; `None`, said aloud, where it is absent.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is absent", path.display());
    None
}
