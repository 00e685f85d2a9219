//! What `gst-inspect-1.0` prints of the element, held against `golden/gst-inspect.txt`: pads, formats, properties, ranges
//! and defaults are what applications and scripts rely on.
//!
//! After a wanted change: `UPDATE_GOLDEN=1 cargo test --release -p factorseg-tests --test inspect`.

use std::path::Path;

use factorseg_tests::{gstreamer_tool, succeed};
use tempfile::TempDir;

/// Lines that tell of one build or machine.
const VOLATILE: [&str; 4] = ["Filename", "Version", "Source release date", "Origin URL"];

/// The lines that are the same for every build.
fn normalised(text: &str) -> String {
    let kept = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !VOLATILE.iter().any(|name| line.trim_start().starts_with(name)));
    let mut joined = kept.collect::<Vec<_>>().join("\n");
    joined.truncate(joined.trim_end().len());
    joined.push('\n');
    joined
}

#[test]
fn inspect_prints_what_it_printed() {
    let directory = TempDir::new().unwrap();
    let version = succeed(gstreamer_tool("gst-inspect-1.0", directory.path()).arg("--version"));
    if !version.contains("GStreamer 1.22.") {
        // Other versions lay the same facts out in another way.
        eprintln!("SKIPPED: the golden dump is of GStreamer 1.22, this is {version}");
        return;
    }
    let text = normalised(&succeed(
        gstreamer_tool("gst-inspect-1.0", directory.path()).arg("factorseg"),
    ));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/gst-inspect.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (number, (line, expected)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(line, expected, "line {} of {}", number + 1, path.display());
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}
