//! Tar shards: WebDataset's, and folders that were packed up.

mod common;

use common::{Scratch, options, pack_it, png};
use factorseg_data::dataset::DataSet;

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn shards_are_read_in_any_order_with_classes() {
    let scratch = Scratch::new();
    let pictures: Vec<Vec<u8>> = (0..4).map(png).collect();
    scratch.write(
        "s/s-0.tar",
        tar(&[
            ("000.png", &pictures[0]),
            ("000.cls", b"10\n"),
            ("001.seg.png", b"no picture, a mask"),
            ("001.png", &pictures[1]),
            ("001.json", br#"{"label": 9}"#),
            ("._002.png", b"junk"),
        ]),
    );
    scratch.write(
        "s/s-1.tar",
        tar(&[("100.txt", b"words"), ("100.png", &pictures[2]), ("100.cls", b"10")]),
    );
    let whole = DataSet::open(&scratch.path("s")).unwrap();
    // Numbers sort as numbers.
    assert_eq!(whole.classes(), ["9", "10"]);
    let found: Vec<_> = (0..whole.len()).map(|i| (whole.name(i), whole.class(i))).collect();
    let expected = [("s-0.tar/000.png", 1), ("s-0.tar/001.png", 0), ("s-1.tar/100.png", 1)];
    assert_eq!(found, expected.map(|(name, class)| (name.to_owned(), Some(class))));
    scratch.picture("one.png", 2);
    let alone = factorseg_data::decode::read_image(&scratch.path("one.png"), 16).unwrap();
    assert_eq!(whole.read(2, 16).unwrap(), alone);

    let range = scratch.path("s/s-{0..1}.tar");
    let out = scratch.path("s.pack");
    pack_it(range.to_str().unwrap(), &out, &options(16)).unwrap();
    let pack = DataSet::open(&out).unwrap();
    assert_eq!(
        (pack.classes(), pack.class(1), pack.read(2, 16).unwrap()),
        (whole.classes(), Some(0), alone)
    );
}

#[test]
fn folders_in_a_tar_are_classes_unless_there_is_only_one() {
    let scratch = Scratch::new();
    let picture = png(1);
    let two = scratch.write(
        "two.tar",
        tar(&[("./cats/a.png", &picture), ("dogs/deep/b.png", &picture)]),
    );
    let set = DataSet::open(&two).unwrap();
    assert_eq!(
        (set.classes(), set.class(1)),
        (&["cats".to_owned(), "dogs".to_owned()][..], Some(1))
    );
    let one = scratch.write("one.tar", tar(&[("all/a.png", &picture), ("all/b.png", &picture)]));
    let set = DataSet::open(&one).unwrap();
    assert_eq!((set.classes().len(), set.class(0)), (0, None));
}

#[test]
fn damaged_archives_are_named() {
    let scratch = Scratch::new();
    let whole = tar(&[("a.png", &png(1)), ("b.png", &png(2))]);
    for (name, bytes) in [
        ("cut.tar", &whole[..whole.len() / 2 - 200]),
        ("noise.tar", &[7u8; 2048][..]),
        ("empty.tar", &[0u8; 1024][..]),
    ] {
        let error = DataSet::open(&scratch.write(name, bytes)).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    // A member that says it is larger than the file.
    let mut lying = whole.clone();
    lying[124..136].copy_from_slice(b"00777777777\0");
    let sum: u32 = (0..512)
        .map(|i| {
            if (148..156).contains(&i) {
                32
            } else {
                u32::from(lying[i])
            }
        })
        .sum();
    lying[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let error = DataSet::open(&scratch.write("lying.tar", lying))
        .unwrap_err()
        .to_string();
    assert!(error.contains("lying.tar"), "{error}");

    // A broken picture in a good archive is one broken picture.
    let mixed = scratch.write("mixed.tar", tar(&[("a.png", &png(1)), ("b.png", b"no picture")]));
    let out = scratch.path("mixed.pack");
    let (packed, broken) = pack_it(mixed.to_str().unwrap(), &out, &options(8)).unwrap();
    assert_eq!((packed.images, broken.len()), (1, 1));
    assert!(broken[0].starts_with("mixed.tar/b.png"), "{broken:?}");
}
