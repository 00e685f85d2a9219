//! Every pipeline that the documentation shows runs to its end with the built plugin.
//! Cameras and screens are replaced by a live test picture and a sink that shows nothing; files are short ones.

use std::fs;
use std::path::{Path, PathBuf};

use factorseg_tests::{gstreamer_tool, succeed};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `gst-launch-1.0` lines of a file, continued lines joined.
fn pipelines(file: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let joined = text.replace("\\\n", " ");
    joined
        .lines()
        .map(|line| line.trim_start_matches("//!").trim())
        .filter_map(|line| line.strip_prefix("gst-launch-1.0 "))
        // A pattern, not a pipeline.
        .filter(|line| !line.contains("..."))
        .map(str::to_owned)
        .collect()
}

/// With what every machine has.
fn runnable(pipeline: &str) -> String {
    pipeline
        .replace("v4l2src", "videotestsrc is-live=true num-buffers=30")
        .replace("autovideosink", "fakesink sync=true")
        .replace("holiday.mp4", "in.mp4")
}

fn short_file(directory: &Path) {
    succeed(
        gstreamer_tool("gst-launch-1.0", directory)
            .current_dir(directory)
            .args("-q videotestsrc num-buffers=12 pattern=ball ! video/x-raw,width=160,height=120".split(' '))
            .args("! x264enc ! mp4mux ! filesink location=in.mp4".split(' ')),
    );
}

#[test]
fn documented_pipelines_run() {
    let directory = TempDir::new().unwrap();
    short_file(directory.path());
    let mut count = 0;
    for file in ["plugin/src/factorseg/mod.rs", "docs/element.md", "README.md"] {
        let found = pipelines(file);
        assert!(!found.is_empty(), "{file} shows no pipeline");
        for pipeline in found {
            println!("{file}: {pipeline}");
            let text = succeed(
                gstreamer_tool("gst-launch-1.0", directory.path())
                    .current_dir(directory.path())
                    .arg("-e")
                    .args(shell_words(&runnable(&pipeline))),
            );
            assert!(!text.contains("WARN"), "{pipeline}: {text}");
            count += 1;
        }
    }
    println!("{count} pipelines ran");
    for output in ["overlay.mp4", "mask.mp4"] {
        let length = fs::metadata(directory.path().join(output)).unwrap().len();
        assert!(length > 1000, "{output} has {length} bytes");
    }
}

/// Words as a shell would split them; the pipelines quote nothing but whole words.
fn shell_words(line: &str) -> Vec<String> {
    line.split_whitespace()
        .map(|word| word.trim_matches(['\'', '"']).to_owned())
        .collect()
}

/// All Rust files below a folder of the checkout, one after the other.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.map(|path| match path.is_dir() {
        true => sources(&path),
        false if path.extension().is_some_and(|extension| extension == "rs") => fs::read_to_string(path).unwrap(),
        false => String::new(),
    });
    texts.collect()
}

#[test]
fn the_tests_that_the_table_of_pipelines_names_are_there() {
    let document = fs::read_to_string(root().join("docs/element.md")).unwrap();
    let (_, section) = document.split_once("## Pipelines that are tested").unwrap();
    let rows = section.lines().take_while(|line| !line.starts_with("## "));
    let names: Vec<&str> = rows
        .filter_map(|row| row.strip_suffix("` |")?.rsplit_once("| `"))
        .map(|(_, name)| name)
        .collect();
    assert!(names.len() >= 30, "{} pipelines", names.len());
    let tests: String = ["plugin/src", "plugin/tests", "tests/tests"]
        .map(|folder| sources(&root().join(folder)))
        .concat();
    for name in names {
        assert!(
            tests.contains(&format!("#[test]\nfn {name}()")) || tests.contains(&format!("#[test]\n    fn {name}()")),
            "no test {name}"
        );
    }
}
