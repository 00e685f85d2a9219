//! Links, anchors, pictures, and the files that the text names.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::markdown::{Page, pages, root};

/// Bytes that a picture may have.
const PICTURE: u64 = 150_000;

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
        path
    })
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    for page in pages() {
        let folder = Path::new(&page.name).parent().unwrap();
        for link in page.links().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.name.clone(),
                file => plain(&folder.join(file)).to_str().unwrap().to_owned(),
            };
            let is_there = root().join(&target).exists();
            if !is_there || !anchor.is_empty() && !Page::read(&target).anchors().contains(&anchor.to_owned()) {
                dead.push(format!("{}: {link}", page.name));
            } else if page.name.starts_with("docs/") && !target.starts_with("docs/") {
                dead.push(format!(
                    "{}: {link} leads out of the book: name the file as `{target}`",
                    page.name
                ));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let summary = Page::read("docs/SUMMARY.md");
    let listed: Vec<&str> = summary.links().collect();
    for page in pages() {
        if let Some(name) = page.name.strip_prefix("docs/").filter(|name| *name != "SUMMARY.md") {
            let times = listed.iter().filter(|link| **link == name).count();
            assert_eq!(times, 1, "{name} is {times} times in docs/SUMMARY.md");
        }
    }
}

#[test]
fn pictures_are_small_and_shown() {
    let shown: String = pages().iter().map(|page| page.prose.clone()).collect();
    for entry in fs::read_dir(root().join("docs/images")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let bytes = entry.metadata().unwrap().len();
        assert!(bytes <= PICTURE, "{name} has {bytes} bytes");
        assert!(shown.contains(&format!("images/{name}")), "no page shows {name}");
    }
}

/// `a/{b,c}.rs` is two paths.
fn alternatives(path: &str) -> Vec<String> {
    let Some((before, (inside, behind))) = path
        .split_once('{')
        .and_then(|(b, rest)| Some((b, rest.split_once('}')?)))
    else {
        return vec![path.to_owned()];
    };
    inside
        .split(',')
        .map(|part| format!("{before}{part}{behind}"))
        .collect()
}

#[test]
fn every_file_that_the_text_names_is_there() {
    let mut missing = Vec::new();
    for page in pages() {
        for code in page.inline_code().filter(|code| !code.contains([' ', '*', '<', ':'])) {
            let Some((folder, _)) = code.split_once('/') else {
                continue;
            };
            if ["docs", "model", "pipelines", "plugin", "scripts", "tests", "trainer"].contains(&folder) {
                let gone = alternatives(&code)
                    .into_iter()
                    .filter(|path| !root().join(path).exists());
                missing.extend(gone.map(|path| format!("{}: {path}", page.name)));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
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
    let document = fs::read_to_string(root().join("docs/tested.md")).unwrap();
    let names: Vec<&str> = document
        .lines()
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
