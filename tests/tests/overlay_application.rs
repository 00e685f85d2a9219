//! The media application: what `scripts/demo.sh` runs.

use std::process::Command;

use factorseg_tests::{built, fail, succeed};
use tempfile::TempDir;

#[test]
fn the_built_in_clip_becomes_a_video_and_a_poster() {
    let directory = TempDir::new().unwrap();
    let video = directory.path().join("demo.mp4");
    let text = succeed(Command::new(built("factorseg-overlay")).arg("--output").arg(&video));
    assert!(text.contains("75 frames in"), "{text}");
    assert!(text.contains("frames per second"), "{text}");
    assert!(text.contains("device: c"), "{text}");
    assert!(std::fs::metadata(&video).unwrap().len() > 10_000);
    let poster = image::open(video.with_extension("png")).unwrap();
    assert_eq!((poster.width(), poster.height()), (640, 360));

    // Its own output is a video that it reads, odd things said about it are errors.
    let again = directory.path().join("again.mp4");
    let overlay = |input: &std::path::Path, set: &str| {
        let mut command = Command::new(built("factorseg-overlay"));
        command.arg(input).arg("--output").arg(&again).args(["--set", set]);
        command
    };
    let text = succeed(&mut overlay(&video, "interval=25"));
    assert!(text.contains("75 frames in"), "{text}");
    for (set, expected) in [
        ("colour=red", "no property `colour`"),
        ("overlay=sparkles", "`sparkles` is no value"),
        ("stats=1", "read-only"),
        ("overlay", "not NAME=VALUE"),
    ] {
        let text = fail(&mut overlay(&video, set));
        assert!(text.contains(expected), "{set}: {text}");
    }
}

#[test]
fn inputs_that_are_no_video_are_errors_that_name_them() {
    let directory = TempDir::new().unwrap();
    let noise = directory.path().join("noise.mp4");
    std::fs::write(&noise, [0x5a; 4096]).unwrap();
    let overlay = |input: &std::path::Path| {
        let mut command = Command::new(built("factorseg-overlay"));
        command.arg(input).arg("--output").arg(directory.path().join("out.mp4"));
        command
    };
    for (input, expected) in [
        (directory.path().join("missing.mp4"), "missing.mp4"),
        (directory.path().to_owned(), "holds no pictures"),
        (noise, "decodebin"),
    ] {
        let text = fail(&mut overlay(&input));
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}
