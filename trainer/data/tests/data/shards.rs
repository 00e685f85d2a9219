//! Tar shards: WebDataset's, and folders that were packed up.

use super::common::{Scratch, options, pack_it, png};
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

/// An archive of members of any kind.
fn odd_tar(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if matches!(kind, tar::EntryType::Link | tar::EntryType::Symlink) {
            builder.append_link(&mut header, name, "a.png").unwrap();
        } else {
            builder.append_data(&mut header, name, *content).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

#[test]
fn every_member_is_a_picture_or_is_counted() {
    use tar::EntryType::{Continuous, Directory, Fifo, Link, Regular, Symlink};
    let picture = png(1);
    let p = &picture[..];
    let many: Vec<String> = (0..40).map(|i| format!("holiday.{i:03}.png")).collect();
    for (members, pictures, skipped) in [
        // Names with dots: pictures of their own.
        (
            vec![
                ("a.b.png", Regular, p),
                ("a.c.png", Regular, p),
                ("a.d.PNG", Regular, p),
            ],
            3,
            0,
        ),
        (many.iter().map(|name| (name.as_str(), Regular, p)).collect(), 40, 0),
        (
            vec![
                ("2021.05.01/a.b.c.png", Regular, p),
                ("2021.05.01/a.b.d.png", Regular, p),
            ],
            2,
            0,
        ),
        // A sample has one picture.
        (
            vec![("1.png", Regular, p), ("1.seg.png", Regular, p), ("1.jpg", Regular, p)],
            1,
            2,
        ),
        (
            vec![
                ("1.image.png", Regular, p),
                ("1.seg.png", Regular, p),
                ("1.cls", Regular, b"3"),
            ],
            1,
            2,
        ),
        (vec![("1.json", Regular, b"{}"), ("1.png", Regular, p)], 1, 1),
        // What else is there.
        (
            vec![
                ("d/", Directory, b""),
                ("d/a.png", Continuous, p),
                ("d/._a.png", Regular, b"junk"),
                ("d/.DS_Store", Regular, b"junk"),
                ("d/README", Regular, b"words"),
                ("d/a.txt", Regular, b"words"),
                ("d/clip.mp4", Regular, b"video"),
                ("d/more.tar", Regular, b"archive"),
                ("d/hard.png", Link, b""),
                ("d/soft.png", Symlink, b""),
                ("d/pipe.png", Fifo, b""),
            ],
            1,
            9,
        ),
    ] {
        let scratch = Scratch::new();
        let archive = scratch.write("x.tar", odd_tar(&members));
        let set = DataSet::open(&archive).unwrap();
        let names: Vec<_> = members.iter().map(|(name, ..)| name).collect();
        assert_eq!((set.len(), set.skipped().total()), (pictures, skipped), "{names:?}");
        assert_eq!(set.skipped().lines().count() > 0, skipped > 0);
        let out = scratch.path("x.pack");
        let (packed, _) = pack_it(archive.to_str().unwrap(), &out, &options(8)).unwrap();
        let all = packed.images as usize + packed.broken + packed.skipped.total();
        assert_eq!(all, members.iter().filter(|(_, kind, _)| *kind != Directory).count());
    }
}

#[test]
fn archives_one_behind_the_other_are_read_whole() {
    let scratch = Scratch::new();
    let bytes = [tar(&[("a.png", &png(1))]), tar(&[("b.png", &png(2))])].concat();
    assert_eq!(DataSet::open(&scratch.write("two.tar", bytes)).unwrap().len(), 2);
}

/// What GNU tar writes: long names in its own headers or in PAX's, and the oldest format.
/// GNU tar, Python's `tarfile` and libarchive's bsdtar, in each of their formats; what is not installed is named.
#[test]
fn what_other_programs_write_is_read() {
    let scratch = Scratch::new();
    let long = format!("deep.{}/{}.photo.png", "d".repeat(80), "n".repeat(60));
    scratch.picture(&format!("in/{long}"), 1);
    scratch.picture("in/b.c.png", 2);
    scratch.picture("in/ü.png", 3);
    let folder = scratch.path("in");
    let tar = |program: &'static str, format: &&str| {
        let format = format!("--format={format}");
        (
            program,
            [&format, "-C", "FOLDER", "-cf", "OUT", "."].map(str::to_owned).to_vec(),
        )
    };
    let python = |format: &&str| {
        let script = format!(
            "import sys, tarfile; out = tarfile.open(sys.argv[1], 'w', format=tarfile.{format}); out.add(sys.argv[2], '.'); out.close()"
        );
        ("python3", ["-c", &script, "OUT", "FOLDER"].map(str::to_owned).to_vec())
    };
    let gnu = ["gnu", "pax", "oldgnu", "ustar"]
        .iter()
        .map(|format| tar("tar", format));
    let bsd = ["gnutar", "pax", "ustar"].iter().map(|format| tar("bsdtar", format));
    let writers = gnu
        .chain(bsd)
        .chain(["GNU_FORMAT", "PAX_FORMAT", "USTAR_FORMAT"].iter().map(python));
    let mut read = 0;
    for (index, (program, arguments)) in writers.enumerate() {
        let out = scratch.path(&format!("{index}.tar"));
        let mut command = std::process::Command::new(program);
        command.args(arguments.iter().map(|argument| match argument.as_str() {
            "OUT" => out.as_os_str(),
            "FOLDER" => folder.as_os_str(),
            other => other.as_ref(),
        }));
        match command.env("LC_ALL", "C.UTF-8").status() {
            Ok(status) => assert!(status.success(), "{command:?}"),
            Err(error) => {
                eprintln!("not run: {program}: {error}");
                continue;
            }
        }
        let set = DataSet::open(&out).unwrap();
        let mut names: Vec<String> = (0..set.len()).map(|index| set.name(index)).collect();
        names.sort();
        let mut expected = ["b.c.png", &long, "ü.png"].map(|name| format!("{index}.tar/{name}"));
        expected.sort();
        assert_eq!(names, expected, "{command:?}");
        assert!((0..3).all(|index| set.read(index, 8).is_ok()), "{command:?}");
        read += 1;
    }
    assert!(read > 0, "no program that writes archives");
}
