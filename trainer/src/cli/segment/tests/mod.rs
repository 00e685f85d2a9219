use super::*;

#[test]
fn results_are_named_after_their_images() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("cats")).unwrap();
    std::fs::write(data.path().join("cats/tom.jpeg"), b"x").unwrap();
    let (found, _) = files(&[data.path().to_owned(), PathBuf::from("some/where/dog.png")]).unwrap();
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["cats-tom", "dog"]);
}

#[test]
fn results_have_names_of_their_own() {
    for (paths, expected) in [
        (&["a.jpg", "a.png", "b.png"][..], &["a.jpg", "a.png", "b"][..]),
        (&["a.png", "a.png", "a.png"], &["a.png", "a.png-2", "a.png-3"]),
        (&["a/b.png", "a-b.png", "A-B.jpg"], &["a-b.png", "a-b.png-2", "A-B.jpg"]),
        // A name that another needs.
        (&["x.jpg", "x.png", "x.jpg.bmp"], &["x.jpg-2", "x.png", "x.jpg"]),
        (&["IMG.jpg", "img.png"], &["IMG.jpg", "img.png"]),
    ] {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        assert_eq!(distinct(&paths), expected);
    }
}

#[test]
fn images_are_taken_once_and_results_not_at_all() {
    let data = tempfile::tempdir().unwrap();
    let path = |name: &str| data.path().join(name);
    std::fs::create_dir(path("out")).unwrap();
    for name in [
        "a.png",
        "a.regions.png",
        "a.overlay.png",
        "a.region-1.png",
        "out/b.v2.regions.png",
        "out/b.v2.overlay.png",
        // Somebody's own.
        "nice.overlay.png",
        "my.region-x.png",
    ] {
        std::fs::write(path(name), b"x").unwrap();
    }
    let (found, skipped) = files(&[data.path().to_owned(), path("a.png"), path("out/../a.png")]).unwrap();
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "my.region-x", "nice.overlay"]);
    let count = |reason| skipped.count(reason);
    assert_eq!(
        (count("a result of `segment`"), count("an image that is given twice")),
        (5, 2)
    );
    // What is asked for by its name is done.
    assert_eq!(files(&[path("a.overlay.png")]).unwrap().0.len(), 1);
}
