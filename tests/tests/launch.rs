//! The plugin as users meet it: `gst-inspect-1.0` and `gst-launch-1.0`.

use std::path::Path;
use std::process::Command;

use factorseg_tests::{fail, gstreamer_tool, shared_data, succeed};
use image::RgbImage;
use tempfile::TempDir;

fn launch(directory: &Path, pipeline: &str) -> Command {
    let mut command = gstreamer_tool("gst-launch-1.0", directory);
    command
        .current_dir(directory)
        .arg("-q")
        .args(pipeline.split_whitespace());
    command
}

/// Mean absolute difference of two pictures of one size, in 8-bit steps.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a
        .as_raw()
        .iter()
        .zip(b.as_raw())
        .map(|(&a, &b)| u64::from(a.abs_diff(b)))
        .sum();
    sum as f64 / a.as_raw().len() as f64
}

#[test]
fn inspect_describes_the_element() {
    let directory = TempDir::new().unwrap();
    let text = succeed(gstreamer_tool("gst-inspect-1.0", directory.path()).arg("factorseg"));
    for expected in [
        "Filter/Effect/Video",
        "model",
        "device",
        "class",
        "timestep",
        "seed",
        "mode",
        "alpha",
        "overlay",
        "I420",
        "NV12",
        "BGRA",
    ] {
        assert!(
            text.contains(expected),
            "gst-inspect-1.0 does not mention {expected}:\n{text}"
        );
    }
}

#[test]
fn the_embedded_checkpoint_draws_regions_and_overlay_none_draws_nothing() {
    let directory = TempDir::new().unwrap();
    for overlay in ["tint", "none"] {
        succeed(&mut launch(
            directory.path(),
            &format!(
                "videotestsrc num-buffers=1 pattern=ball ! video/x-raw,format=RGB,width=160,height=90 ! \
                 tee name=t ! queue ! pngenc ! filesink location=in.png \
                 t. ! queue ! factorseg device=cpu overlay={overlay} ! videoconvert ! pngenc ! \
                 filesink location={overlay}.png"
            ),
        ));
    }
    let open = |name: &str| image::open(directory.path().join(name)).unwrap().to_rgb8();
    let (input, tint, none) = (open("in.png"), open("tint.png"), open("none.png"));
    assert_eq!(input, none);
    assert!(difference(&input, &tint) > 2.0, "nothing was drawn");
}

#[test]
fn a_still_video_has_still_masks() {
    let directory = TempDir::new().unwrap();
    succeed(&mut launch(
        directory.path(),
        "videotestsrc num-buffers=4 pattern=circular ! video/x-raw,format=I420,width=128,height=96 ! \
         factorseg device=cpu mode=every-frame ! videoconvert ! pngenc ! multifilesink location=%d.png",
    ));
    let frames: Vec<_> = (0..4)
        .map(|i| {
            image::open(directory.path().join(format!("{i}.png")))
                .unwrap()
                .to_rgb8()
        })
        .collect();
    for frame in &frames[1..] {
        assert_eq!(*frame, frames[0]);
    }
}

#[test]
fn bad_models_classes_and_devices_are_clear_errors() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("text.safetensors"), "this is no checkpoint").unwrap();
    for (property, expected) in [
        ("model=missing.safetensors", "missing.safetensors"),
        ("model=text.safetensors", "not a safetensors file"),
        ("class=unicorn", "unicorn"),
        ("device=toaster", "toaster"),
        ("device=cuda:77", "cuda:77"),
        ("timestep=99999", "timestep"),
    ] {
        let text = fail(&mut launch(
            directory.path(),
            &format!("videotestsrc num-buffers=1 ! factorseg {property} ! fakesink"),
        ));
        assert!(text.contains(expected), "{property}: {text}");
        assert!(!text.contains("panicked"), "{property}: {text}");
    }
}

/// A real sequence to a real file, read back: every frame is there, and the regions follow what is in the picture.
#[test]
fn a_davis_sequence_becomes_an_overlay_video() {
    let Some(archive) = shared_data("davis2016-480p-dev.zip") else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let list = succeed(Command::new("unzip").arg("-Z1").arg(&archive));
    let sequence = list
        .lines()
        .filter_map(|line| line.split_once("JPEGImages/480p/")?.1.split_once('/'))
        .find(|(_, file)| *file == "00007.jpg")
        .map(|(sequence, _)| sequence.to_owned())
        .expect("the archive holds a sequence of eight frames or more");
    succeed(
        Command::new("unzip")
            .args(["-q", "-j"])
            .arg(&archive)
            .arg(format!("*JPEGImages/480p/{sequence}/0000[0-7].jpg"))
            .arg("-d")
            .arg(directory.path()),
    );
    succeed(&mut launch(
        directory.path(),
        "multifilesrc location=%05d.jpg index=0 stop-index=7 caps=image/jpeg,framerate=24/1 ! jpegdec ! \
         videoconvert ! factorseg device=cpu mode=every-frame alpha=0.6 ! videoconvert ! \
         x264enc pass=quant quantizer=15 ! mp4mux ! filesink location=out.mp4",
    ));
    succeed(&mut launch(
        directory.path(),
        "filesrc location=out.mp4 ! decodebin ! videoconvert ! pngenc ! multifilesink location=out-%d.png",
    ));
    let open = |name: String| image::open(directory.path().join(name)).unwrap().to_rgb8();
    for index in 0..8 {
        let (input, output) = (open(format!("{index:05}.jpg")), open(format!("out-{index}.png")));
        assert!(difference(&input, &output) > 3.0, "nothing was drawn on frame {index}");
    }
    assert!(!directory.path().join("out-8.png").exists());
}
