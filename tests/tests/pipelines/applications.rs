//! The applications in `pipelines/examples`, in Rust with the plugin inside, in Python and in C: all print the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use factorseg_tests::{built, fail, gstreamer_tool, succeed};

use crate::support::{folder, frames, white};

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../pipelines/examples")
        .join(name)
}

#[test]
fn frames_masks_and_facts_are_read_together_in_three_languages() {
    let folder = folder();
    let path = folder.path();
    let flags = ["--cflags", "--libs", "gstreamer-app-1.0", "gstreamer-video-1.0"];
    let flags = succeed(Command::new("pkg-config").args(flags));
    let compile = ["-Wall", "-Werror", "-o", "objects"];
    succeed(
        Command::new("cc")
            .current_dir(path)
            .args(compile)
            .arg(source("objects.c"))
            .args(flags.split_whitespace()),
    );

    let c = || gstreamer_tool(path.join("objects").to_str().unwrap(), path);
    // The distribution's own interpreter has the bindings, whichever other comes first in the path.
    let python = || {
        let mut command = gstreamer_tool("/usr/bin/python3", path);
        command.args(["-W", "ignore"]).arg(source("objects.py"));
        command
    };
    // No plugin path: the plugin is inside.
    let rust = || {
        let mut command = Command::new(built("examples/objects"));
        command
            .env_remove("GST_PLUGIN_PATH")
            .env("GST_REGISTRY", path.join("another.bin"));
        command
    };
    let video = path.join("in.mp4");
    let text = succeed(rust().arg(&video));
    assert_eq!(text, succeed(c().arg(&video)));
    assert_eq!(text, succeed(python().arg(&video)));

    // What they say is what the frames show.
    let number = |line: &str, before: &str| -> f64 {
        let (text, _) = line.split_once(before).unwrap();
        text.rsplit([' ', 'x']).next().unwrap().parse().unwrap()
    };
    let (lines, frames) = (text.lines().collect::<Vec<_>>(), frames(path, "in.mp4"));
    assert_eq!(lines.len(), frames.len());
    for (line, frame) in lines.iter().zip(&frames).skip(1) {
        let ball = white(frame).len() as f64;
        let pixels = number(line, " pixels");
        assert!(line.contains(", 160x120, "), "{line}");
        assert!(
            (number(line, " of the picture") - pixels / 19_200.0).abs() < 0.01,
            "{line}"
        );
        assert!((pixels - ball).abs() < 0.3 * ball, "{line}: the ball has {ball}");
        assert!(
            number(line, " inside") > 190.0 && number(line, " outside") < 90.0,
            "{line}"
        );
    }

    for mut command in [rust(), c(), python()] {
        let text = fail(command.arg(path.join("missing.mp4")));
        assert!(
            !text.contains("Traceback") && !text.contains("panicked") && !text.is_empty(),
            "{text}"
        );
    }
}

#[test]
fn each_is_short() {
    for name in ["objects.rs", "objects.py", "objects.c"] {
        let lines = std::fs::read_to_string(source(name)).unwrap().lines().count();
        assert!(lines < 150, "{name} has {lines} lines");
    }
}
