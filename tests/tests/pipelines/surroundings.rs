//! What of the user's surroundings must not get in the way.

use std::fs;
use std::process::Command;

use factorseg_tests::{built, fail, succeed};
use tempfile::TempDir;

use crate::support::{folder, pipeline};

/// A plugin of the same name with an element of the same name, as an older build would be.
const OTHER: &str = r#"
#include <gst/gst.h>
#include <gst/base/gstbasetransform.h>
#define PACKAGE "factorseg"
typedef GstBaseTransform Other;
typedef GstBaseTransformClass OtherClass;
G_DEFINE_TYPE (Other, other, GST_TYPE_BASE_TRANSFORM)
static GstStaticPadTemplate sink = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
static GstStaticPadTemplate src = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
static void other_init (Other * other) {}
static void other_class_init (OtherClass * class) {
  gst_element_class_add_static_pad_template (GST_ELEMENT_CLASS (class), &sink);
  gst_element_class_add_static_pad_template (GST_ELEMENT_CLASS (class), &src);
  gst_element_class_set_static_metadata (GST_ELEMENT_CLASS (class), "Other", "Filter", "Other", "Other");
}
static gboolean init (GstPlugin * plugin) {
  return gst_element_register (plugin, "factorseg", GST_RANK_PRIMARY, other_get_type ());
}
GST_PLUGIN_DEFINE (1, 22, factorseg, "Other", init, "9.9", "LGPL", "other", "https://example.org")
"#;

#[test]
fn another_plugin_on_the_path_does_not_hide_the_one_inside() {
    let folder = folder();
    fs::write(folder.path().join("other.c"), OTHER).unwrap();
    let flags = succeed(Command::new("pkg-config").args(["--cflags", "--libs", "gstreamer-base-1.0"]));
    let compile = ["-shared", "-fPIC", "-o", "libgstfactorseg.so", "other.c"];
    succeed(
        Command::new("cc")
            .current_dir(folder.path())
            .args(compile)
            .args(flags.split_whitespace()),
    );
    let found = succeed(
        Command::new("gst-inspect-1.0")
            .env("GST_PLUGIN_PATH", folder.path())
            .env("GST_REGISTRY", folder.path().join("registry.bin"))
            .arg("factorseg"),
    );
    assert!(found.contains("9.9"), "{found}");
    for path in [
        folder.path().to_owned(),
        built("libgstfactorseg.so").parent().unwrap().to_owned(),
    ] {
        let text = succeed(
            pipeline(folder.path(), "overlay --in in.mp4 --out out.mp4 overlay=contour")
                .env("GST_PLUGIN_PATH", path)
                .env("GST_REGISTRY", folder.path().join("another.bin")),
        );
        assert!(text.contains("12 frames in") && text.contains("12 segmented"), "{text}");
    }
}

#[test]
fn an_element_that_is_missing_is_named_with_its_package() {
    let folder = folder();
    let plugins = TempDir::new().unwrap();
    let place = succeed(Command::new("pkg-config").args(["--variable=pluginsdir", "gstreamer-1.0"]));
    for name in [
        "coreelements",
        "videoconvertscale",
        "videofilter",
        "videocrop",
        "playback",
    ] {
        let file = format!("libgst{name}.so");
        std::os::unix::fs::symlink(
            std::path::Path::new(place.trim()).join(&file),
            plugins.path().join(&file),
        )
        .unwrap();
    }
    let text = fail(
        pipeline(folder.path(), "overlay --in in.mp4 --out out.mp4")
            .env("GST_PLUGIN_SYSTEM_PATH", plugins.path())
            .env("GST_REGISTRY", plugins.path().join("registry.bin")),
    );
    assert!(
        text.contains("the GStreamer element `x264enc` is missing; install the package gstreamer1.0-plugins-ugly"),
        "{text}"
    );
}

#[test]
fn the_device_is_the_element_s_and_the_camera_is_the_input() {
    let folder = folder();
    let text = fail(&mut pipeline(
        folder.path(),
        "overlay --in in.mp4 --out out.mp4 device=/dev/video2",
    ));
    assert!(text.contains("/dev/video2") && text.contains("cuda"), "{text}");
}
