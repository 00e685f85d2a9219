//! What the help of `factorseg-pipeline` shows. The documents' own commands are run by the test `book`.

use std::fs;
use std::path::Path;

use factorseg_tests::succeed;

use crate::support::{folder, pipeline};

/// Command lines in the help, without the program's name.
fn commands() -> Vec<String> {
    let names = ["overlay", "background", "masks", "davis", "mosaic"];
    let help = names.map(|name| succeed(&mut pipeline(Path::new("."), &format!("{name} --help"))));
    let lines = help.iter().flat_map(|text| text.lines());
    lines
        .filter_map(|line| line.trim().strip_prefix("factorseg-pipeline "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_examples_of_the_help_run() {
    let folder = folder();
    let path = folder.path();
    for video in ["holiday.mp4", "waves.mp4", "a.mp4", "b.mkv"] {
        fs::copy(path.join("in.mp4"), path.join(video)).unwrap();
    }
    fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/media/cat.jpg"),
        path.join("beach.jpg"),
    )
    .unwrap();
    for sequence in ["dog", "cows", "blackswan"] {
        let pictures = path.join("DAVIS/JPEGImages/480p").join(sequence);
        fs::create_dir_all(&pictures).unwrap();
        image::RgbImage::new(64, 48).save(pictures.join("00000.jpg")).unwrap();
    }
    fs::create_dir(path.join("www")).unwrap();
    let commands = commands();
    assert!(commands.len() >= 16, "{commands:?}");
    for command in commands {
        // A file stands in for what has no end, or is not there; `streams.rs` has those.
        let runnable: Vec<String> = command
            .split_whitespace()
            .map(|word| match word {
                "/dev/video9" => "camera.mkv".to_owned(),
                word if word.starts_with("/dev/") || word.starts_with("rtsp://") => "in.mp4".to_owned(),
                word => word.to_owned(),
            })
            .collect();
        let mut runnable = runnable.join(" ");
        if !runnable.contains("--out") {
            runnable = runnable.replacen(" --in", " --out screen.mkv --in", 1);
        }
        println!("{command}");
        succeed(&mut pipeline(path, &runnable));
    }
}
