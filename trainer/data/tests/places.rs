//! What is found on a disk, and what it is taken for.

mod common;

use std::path::PathBuf;

use common::Scratch;
use factorseg_data::DataError;
use factorseg_data::folder::{FolderError, ImageFolder, Kind, Listing, Sample};
use factorseg_data::source::Source;

fn tree(files: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    for file in files {
        scratch.write(file, b"x");
    }
    scratch
}

fn listed(samples: &[Sample]) -> Vec<(&str, Option<usize>)> {
    samples.iter().map(|s| (s.path.to_str().unwrap(), s.class)).collect()
}

#[test]
fn folders_become_sorted_classes() {
    let data = tree(&[
        "n02/b.JPEG",
        "n02/deep/a.png",
        "n01/z.webp",
        "empty/readme.txt",
        ".cache/x.png",
    ]);
    let found = ImageFolder::scan(&data.path("")).unwrap();
    assert_eq!(found.classes, ["n01", "n02"]);
    assert_eq!(
        listed(&found.samples),
        [
            ("n01/z.webp", Some(0)),
            ("n02/b.JPEG", Some(1)),
            ("n02/deep/a.png", Some(1))
        ]
    );
}

#[test]
fn a_folder_of_images_is_flat() {
    let data = tree(&["b.png", "a.jpg", "more/c.bmp", "notes.txt"]);
    let found = ImageFolder::scan(&data.path("")).unwrap();
    assert!(found.classes.is_empty());
    assert_eq!(
        listed(&found.samples),
        [("a.jpg", None), ("b.png", None), ("more/c.bmp", None)]
    );
}

#[test]
fn errors_name_the_folder() {
    let data = tree(&["class/notes.txt"]);
    let root = data.path("");
    let empty = ImageFolder::scan(&root).unwrap_err().to_string();
    assert!(
        empty.contains(root.to_str().unwrap()) && empty.contains("*.jpeg"),
        "{empty}"
    );
    let missing = ImageFolder::scan(&data.path("nowhere")).unwrap_err();
    assert!(matches!(missing, FolderError::Missing(_)));
    let file = ImageFolder::scan(&data.path("class/notes.txt")).unwrap_err();
    assert!(matches!(file, FolderError::NotAFolder(_)));
}

#[test]
fn videos_and_shards_are_listed_beside_pictures() {
    let data = tree(&["walks/a.MP4", "walks/b.png", "rides/c.mkv", "d.tar", "rides/notes.txt"]);
    let listing = Listing::of(&data.path("")).unwrap();
    assert_eq!(listing.classes, ["rides", "walks"]);
    let kinds: Vec<_> = listing.samples.iter().map(Sample::kind).collect();
    assert_eq!(kinds, [Some(Kind::Video), Some(Kind::Video), Some(Kind::Image)]);
    assert_eq!(listing.shards, [PathBuf::from("d.tar")]);
}

#[test]
fn places_are_told_by_what_they_hold() {
    let data = tree(&[
        "pictures/a.png",
        "mixed/a.png",
        "mixed/b.mp4",
        "shards/1.tar",
        "shards/0.tar",
        "notes.txt",
    ]);
    let of = |name: &str| Source::parse(data.path(name).to_str().unwrap());
    assert!(matches!(of("pictures").unwrap(), Source::Folder(_)));
    assert!(matches!(of("mixed").unwrap(), Source::Videos(_)));
    assert!(matches!(of("mixed/b.mp4").unwrap(), Source::Videos(_)));
    assert!(matches!(of("shards").unwrap(), Source::Shards(_, paths) if paths[0].ends_with("0.tar")));
    data.write("shards/a.png", b"x");
    let refused = |found: Result<Source, DataError>, words: &str| found.unwrap_err().to_string().contains(words);
    assert!(refused(of("shards"), "folders of their own"));
    assert!(refused(of("notes.txt"), "is a file"));
    assert!(refused(of("nowhere"), "does not exist"));
}
