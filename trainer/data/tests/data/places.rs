//! What is found on a disk, and what it is taken for.

use std::path::PathBuf;

use super::common::Scratch;
use factorseg_data::DataError;
use factorseg_data::dataset::DataSet;
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

fn link(data: &Scratch, to: &str, name: &str) {
    let target = if to.starts_with('/') || to.starts_with('.') || to == "nowhere" {
        PathBuf::from(to)
    } else {
        data.path(to)
    };
    std::os::unix::fs::symlink(target, data.path(name)).unwrap();
}

#[test]
fn everything_is_read_once_whatever_links_to_it() {
    let data = tree(&[
        "in/cats/1.png",
        "in/cats/2.png",
        "in/dogs/deep/3.png",
        "out/4.png",
        "out/below/5.png",
        "one/6.png",
    ]);
    // To the parent twice, in circles, to what is there already, and to nothing.
    link(&data, "..", "in/cats/up");
    link(&data, "../..", "in/dogs/deep/higher");
    link(&data, ".", "in/dogs/here");
    link(&data, "in/dogs", "in/cats/dogs");
    link(&data, "in/cats/1.png", "in/dogs/1.png");
    link(&data, "nowhere", "in/dogs/lost.png");
    link(&data, "in/dogs/lost.png", "in/dogs/lost too.png");
    link(&data, "in/dogs/loop.png", "in/dogs/loop.png");
    // What lies elsewhere is followed, once.
    link(&data, "out/below", "in/a");
    link(&data, "out", "in/b");
    link(&data, "out", "in/c");
    link(&data, "one/6.png", "in/cats/6.png");
    link(&data, "one/6.png", "in/cats/7.png");
    data.write("in/cats/.hidden.png", b"x");
    data.write("in/cats/notes.txt", b"x");
    let found = ImageFolder::scan(&data.path("in")).unwrap();
    assert_eq!(found.classes, ["a", "b", "cats", "dogs"]);
    assert_eq!(
        listed(&found.samples),
        [
            ("a/5.png", Some(0)),
            ("b/4.png", Some(1)),
            ("cats/1.png", Some(2)),
            ("cats/2.png", Some(2)),
            ("cats/6.png", Some(2)),
            ("dogs/deep/3.png", Some(3)),
        ]
    );
    let count = |reason| found.skipped.count(reason);
    // up, higher, here, cats/dogs, dogs/1.png, out/below, c, 7.png
    assert_eq!(count("a link to what is read already"), 8, "{:?}", found.skipped);
    assert_eq!(count("a link that leads nowhere"), 3, "{:?}", found.skipped);
    assert_eq!((count("hidden"), found.skipped.total()), (1, 13), "{:?}", found.skipped);
}

/// Data that lies hidden and is shown by links, as tools that keep versions of data do.
#[test]
fn links_to_hidden_data_are_followed() {
    let data = tree(&["in/.store/x1/a.png", "in/.store/x2.png"]);
    link(&data, "in/.store/x1", "in/cats");
    std::fs::create_dir(data.path("in/dogs")).unwrap();
    link(&data, "in/.store/x2.png", "in/dogs/b.png");
    let found = ImageFolder::scan(&data.path("in")).unwrap();
    assert_eq!(
        listed(&found.samples),
        [("cats/a.png", Some(0)), ("dogs/b.png", Some(1))]
    );
}

#[test]
fn what_is_no_file_is_skipped() {
    let data = tree(&["in/1.png"]);
    let _socket = std::os::unix::net::UnixListener::bind(data.path("in/2.png")).unwrap();
    let found = ImageFolder::scan(&data.path("in")).unwrap();
    assert_eq!(
        (found.samples.len(), found.skipped.count("neither a file nor a folder")),
        (1, 1)
    );
}

/// Folder and pack number classes alike, whether they are names or numbers.
#[test]
fn classes_have_one_order() {
    for (folders, expected) in [
        (&["10", "1", "2"][..], &["1", "2", "10"][..]),
        (&["10", "1", "b"], &["1", "10", "b"]),
        (&["010", "9", "11"], &["9", "010", "11"]),
    ] {
        let data = Scratch::new();
        for (number, folder) in folders.iter().enumerate() {
            data.picture(&format!("in/{folder}/a.png"), number as u32);
        }
        // A folder without a picture is no class, and changes no order.
        data.write("in/words/a.txt", b"x");
        let path = data.path("in");
        let folder = DataSet::open(&path).unwrap();
        assert_eq!(folder.classes(), expected);
        let out = data.path("in.pack");
        super::common::pack_it(path.to_str().unwrap(), &out, &super::common::options(8)).unwrap();
        let pack = DataSet::open(&out).unwrap();
        assert_eq!(pack.classes(), expected);
        for index in 0..folder.len() {
            assert_eq!(
                (folder.name(index), folder.class(index)),
                (pack.name(index), pack.class(index))
            );
            assert_eq!(folder.read(index, 8).unwrap(), pack.read(index, 8).unwrap());
        }
    }
}
