//! GStreamer's leaks tracer finds no object that outlives its pipeline.

use factorseg_tests::{fail, gstreamer_tool, succeed};
use tempfile::TempDir;

const PIPELINES: [&str; 6] = [
    "videotestsrc num-buffers=10 ! factorseg device=cpu ! fakesink",
    "videotestsrc num-buffers=10 ! factorseg device=cpu mode=latest overlay=contour smoothing=0.5 ! fakesink",
    "videotestsrc num-buffers=20 is-live=true ! factorseg device=cpu refine=guided ! fakesink sync=true",
    "videotestsrc num-buffers=10 ! factorseg device=cpu name=s mask_0::format=regions mask_1::format=foreground \
     s.src ! queue ! fakesink s.mask_0 ! queue ! videoconvert ! fakesink s.mask_1 ! queue ! fakesink",
    "videotestsrc num-buffers=10 ! tee name=t t. ! queue ! factorseg device=cpu ! fakesink \
     t. ! queue ! factorseg device=cpu overlay=foreground ! fakesink",
    "videotestsrc num-buffers=10 ! identity eos-after=5 ! factorseg device=cpu interval=3 ! fakesink",
];

/// Pipelines that end with an error.
const BROKEN: [&str; 3] = [
    "videotestsrc num-buffers=10 ! factorseg device=cpu model=missing.safetensors ! fakesink",
    "videotestsrc ! identity error-after=5 ! factorseg device=cpu ! fakesink",
    "videotestsrc ! factorseg device=cpu ! identity error-after=5 ! fakesink",
];

#[test]
fn nothing_outlives_its_pipeline() {
    let directory = TempDir::new().unwrap();
    let launch = |pipeline: &str| {
        let mut command = gstreamer_tool("gst-launch-1.0", directory.path());
        command
            .current_dir(directory.path())
            .env("GST_TRACERS", "leaks")
            .env("GST_DEBUG", "GST_TRACER:7")
            .env("GST_DEBUG_NO_COLOR", "1")
            .args(pipeline.split_whitespace());
        command
    };
    for (pipeline, works) in PIPELINES
        .iter()
        .map(|pipeline| (pipeline, true))
        .chain(BROKEN.iter().map(|pipeline| (pipeline, false)))
    {
        let text = match works {
            true => succeed(&mut launch(pipeline)),
            false => fail(&mut launch(pipeline)),
        };
        assert!(text.contains("object-alive.class"), "the tracer is not at work: {text}");
        let alive: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("object-alive, type-name=(string)") && !line.contains("new format string"))
            .collect();
        assert!(alive.is_empty(), "{pipeline}:\n{}", alive.join("\n"));
        assert!(!text.contains("GStreamer-CRITICAL"), "{pipeline}:\n{text}");
    }
}
