//! The element averages what the program resamples as for training: the masks must hardly differ.

use std::path::Path;
use std::process::Command;

use factorseg_tests::{built, gstreamer_tool, succeed};
use image::GrayImage;
use tempfile::TempDir;

/// Share of the pixels that have the same region in both.
fn agreement(picture: &Path) -> f64 {
    let directory = TempDir::new().unwrap();
    let labels = |name: &str| -> GrayImage { image::open(directory.path().join(name)).unwrap().into_luma8() };
    image::open(picture)
        .unwrap()
        .save(directory.path().join("in.png"))
        .unwrap();
    succeed(
        Command::new(built("factorseg"))
            .current_dir(directory.path())
            .args("segment in.png --out . --format ids --device cpu --threads 1".split(' ')),
    );
    let pipeline = "filesrc location=in.png ! pngdec ! factorseg name=s device=cpu threads=1 mode=every-frame \
                    mask_0::format=labels s.src ! fakesink s.mask_0 ! queue ! pngenc ! filesink location=element.png";
    let mut launch = gstreamer_tool("gst-launch-1.0", directory.path());
    succeed(
        launch
            .current_dir(directory.path())
            .arg("-q")
            .args(pipeline.split_whitespace()),
    );
    let (program, element) = (labels("in.ids.png"), labels("element.png"));
    assert_eq!(program.dimensions(), element.dimensions());
    let same = program.iter().zip(element.iter()).filter(|(a, b)| a == b).count();
    same as f64 / program.len() as f64
}

#[test]
fn element_and_program_see_the_same_picture() {
    let found = agreement(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/media/cat.jpg"));
    println!("{:.2} % of the pixels have the same region", 100.0 * found);
    assert!(found > 0.97, "{found}");
}
