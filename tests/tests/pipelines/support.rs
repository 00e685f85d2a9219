//! Small inputs, and what is in outputs.

use std::path::Path;
use std::process::Command;

use factorseg_tests::{built, succeed};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// A ball that moves on grey, 12 frames of 160x120 at 10 per second, as a source of GStreamer.
pub const BALL: &str = "videotestsrc pattern=ball background-color=0xff404040 num-buffers=12 \
    ! video/x-raw,width=160,height=120,framerate=10/1";

/// `factorseg-pipeline` with arguments, in a folder; one that hangs is ended, and fails. It has longer after an interruption than it
/// gives itself.
pub fn pipeline(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--foreground", "--kill-after=20", "120"])
        .arg(built("factorseg-pipeline"));
    command.current_dir(folder).args(arguments.split_whitespace());
    command
}

/// Plays a pipeline of GStreamer's own elements in a folder; `factorseg-pipeline` has the plugin inside.
pub fn launch(folder: &Path, pipeline: &str) -> String {
    let mut command = Command::new("gst-launch-1.0");
    succeed(command.current_dir(folder).arg("-v").args(pipeline.split_whitespace()))
}

/// A folder with the [`BALL`] in `in.mp4`.
pub fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    launch(
        folder.path(),
        &format!("{BALL} ! x264enc pass=quant quantizer=10 ! mp4mux ! filesink location=in.mp4"),
    );
    folder
}

/// All frames of a video in a folder.
pub fn frames(folder: &Path, file: &str) -> Vec<RgbImage> {
    let decoded = TempDir::new().unwrap();
    launch(
        folder,
        &format!(
            "filesrc location={file} ! decodebin ! videoconvert ! video/x-raw,format=RGB ! pngenc compression-level=1 \
             ! multifilesink location={}/%05d.png",
            decoded.path().display()
        ),
    );
    let opened = (0..).map_while(|index| image::open(decoded.path().join(format!("{index:05}.png"))).ok());
    opened.map(|picture| picture.to_rgb8()).collect()
}

/// Whether two colours are the same but for what encoding costs.
pub fn alike(a: &Rgb<u8>, b: &Rgb<u8>) -> bool {
    a.0.iter().zip(b.0).all(|(a, b)| a.abs_diff(b) < 24)
}

/// Share of the pixels of two pictures of one size that are [`alike`].
pub fn agreement(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let same = a.pixels().zip(b.pixels()).filter(|(a, b)| alike(a, b)).count();
    same as f64 / a.pixels().len() as f64
}

/// A part of a picture.
pub fn part(picture: &RgbImage, (x, y): (u32, u32), (width, height): (u32, u32)) -> RgbImage {
    image::imageops::crop_imm(picture, x, y, width, height).to_image()
}

/// Where the picture is white, as the ball is.
pub fn white(picture: &RgbImage) -> Vec<(u32, u32)> {
    let bright = picture
        .enumerate_pixels()
        .filter(|(_, _, pixel)| pixel.0.iter().all(|value| *value > 215));
    bright.map(|(x, y, _)| (x, y)).collect()
}
