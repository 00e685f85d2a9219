//! The facts on every buffer, read by the documented programs in C and in Python.

use std::path::{Path, PathBuf};
use std::process::Command;

use factorseg_tests::{gstreamer_tool, succeed};
use tempfile::TempDir;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("meta").join(name)
}

/// What both print: three frames, their own masks, areas that sum up to the whole.
fn check(text: &str) {
    let headings = text
        .lines()
        .filter(|line| *line == "class none, timestep 30, mask 0 ns old")
        .count();
    assert_eq!(headings, 3, "{text}");
    let areas: Vec<f64> = text
        .lines()
        .filter_map(|line| line.split_once(" covers ")?.1.split_once(" %")?.0.parse().ok())
        .collect();
    assert_eq!(areas.len() % 3, 0, "{text}");
    let regions = areas.len() / 3;
    for frame in areas.chunks(regions) {
        assert!((frame.iter().sum::<f64>() - 100.0).abs() < 0.2, "{text}");
    }
    assert!(text.contains(" within 0."), "{text}");
    assert!(text.contains("(foreground)"), "{text}");
}

#[test]
fn a_program_in_c_reads_the_facts() {
    let directory = TempDir::new().unwrap();
    let flags = succeed(Command::new("pkg-config").args(["--cflags", "--libs", "gstreamer-1.0"]));
    let program = directory.path().join("read_meta");
    succeed(
        Command::new("cc")
            .args(["-Wall", "-Werror", "-o"])
            .arg(&program)
            .arg(source("read_meta.c"))
            .args(flags.split_whitespace()),
    );
    check(&succeed(&mut gstreamer_tool(
        program.to_str().unwrap(),
        directory.path(),
    )));
}

#[test]
fn a_program_in_python_reads_the_facts() {
    // The distribution's own interpreter has the bindings, whichever other comes first in the path.
    let python = "/usr/bin/python3";
    let bindings = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst";
    let there = Command::new(python).args(["-c", bindings]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: python3-gi and gir1.2-gstreamer-1.0 are not installed");
        return;
    }
    let directory = TempDir::new().unwrap();
    check(&succeed(
        gstreamer_tool(python, directory.path())
            .args(["-W", "ignore"])
            .arg(source("read_meta.py")),
    ));
}
