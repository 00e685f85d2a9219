//! Packing, reading packs back, and refusing what is no pack. A program of its own: it measures its memory.

#[path = "data/common/mod.rs"]
mod common;

use common::{Scratch, options, pack_it};
use factorseg_data::dataset::DataSet;
use factorseg_data::pack::Pack;

fn folder() -> Scratch {
    let scratch = Scratch::new();
    for number in 0..12 {
        scratch.picture(&format!("data/n0{}/{number:02}.png", number % 3), number);
    }
    scratch
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_pack_holds_what_the_folder_holds() {
    let scratch = folder();
    scratch.write("data/n01/broken.jpg", b"\xff\xd8 no");
    let (data, out) = (scratch.path("data"), scratch.path("deep/data.pack"));
    let (packed, broken) = pack_it(text(&data), &out, &options(16)).unwrap();
    assert_eq!((packed.images, packed.broken), (12, 1));
    assert!(broken[0].starts_with("n01/broken.jpg: cannot decode"), "{broken:?}");

    let (folder, pack) = (DataSet::open(&data).unwrap(), DataSet::open(&out).unwrap());
    assert_eq!(pack.classes(), ["n00", "n01", "n02"]);
    assert_eq!((pack.len(), pack.side()), (12, Some(16)));
    let mut packed = 0;
    for index in 0..folder.len() {
        let Ok(pixels) = folder.read(index, 16) else { continue };
        assert_eq!(pack.read(packed, 16).unwrap(), pixels);
        assert_eq!(
            (pack.name(packed), pack.class(packed)),
            (folder.name(index), folder.class(index))
        );
        packed += 1;
    }
    let halved = pack.read(0, 8).unwrap();
    assert_eq!((halved.width, halved.height), (10, 8));
    let leftovers: Vec<_> = std::fs::read_dir(scratch.path("deep")).unwrap().collect();
    assert_eq!(leftovers.len(), 1, "no temporary file stays");

    // Packing a pack, and only its middle squares.
    let smaller = scratch.path("smaller.pack");
    let squares = factorseg_data::packing::PackOptions {
        square: true,
        unconditional: true,
        ..options(8)
    };
    pack_it(text(&out), &smaller, &squares).unwrap();
    let smaller = DataSet::open(&smaller).unwrap();
    assert_eq!(
        (
            smaller.read(3, 8).unwrap().width,
            smaller.class(3),
            smaller.classes().len()
        ),
        (8, None, 0)
    );
    let error = pack_it(text(&out), &scratch.path("larger.pack"), &options(99))
        .unwrap_err()
        .to_string();
    assert!(error.contains("packed at 16 pixels"), "{error}");
}

#[test]
fn too_many_broken_pictures_leave_no_file_and_the_old_one() {
    let scratch = folder();
    let out = scratch.path("data.pack");
    pack_it(text(&scratch.path("data")), &out, &options(8)).unwrap();
    let before = std::fs::read(&out).unwrap();
    for number in 0..3 {
        scratch.write(&format!("data/n00/x{number}.png"), b"no picture");
    }
    let strict = factorseg_data::packing::PackOptions {
        max_broken: 2,
        ..options(8)
    };
    let error = pack_it(text(&scratch.path("data")), &out, &strict)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("3 images cannot be decoded") && error.contains("--max-broken"),
        "{error}"
    );
    assert_eq!(std::fs::read(&out).unwrap(), before);
    assert_eq!(std::fs::read_dir(scratch.path("")).unwrap().count(), 2);
    scratch.write("only/x.png", b"no picture");
    let error = pack_it(text(&scratch.path("only")), &out, &options(8))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no usable picture"), "{error}");
}

#[test]
fn damage_is_named_by_field() {
    let scratch = folder();
    let out = scratch.path("data.pack");
    pack_it(text(&scratch.path("data")), &out, &options(8)).unwrap();
    let whole = std::fs::read(&out).unwrap();
    let number = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().unwrap()) as usize;
    let (index, names, description) = (number(40), number(56), number(72));
    let refused = |bytes: &[u8]| {
        std::fs::write(&out, bytes).unwrap();
        let error = Pack::open(&out).unwrap_err().to_string();
        assert!(
            error.contains("data.pack") && error.contains("factorseg pack"),
            "{error}"
        );
        error
    };
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    assert!(refused(&flipped(0)).contains("header"));
    assert!(refused(&flipped(20)).contains("header has another checksum"));
    assert!(refused(&flipped(index + 3)).contains("index has another checksum"));
    assert!(refused(&flipped(names)).contains("names has another checksum"));
    assert!(refused(&flipped(description)).contains("description has another checksum"));
    assert!(refused(&whole[..100]).contains("cut short"));
    assert!(refused(&whole[..whole.len() - 5]).contains("cut short"));
    assert!(refused(&[&whole[..], b"more"].concat()).contains("expected"));

    // Numbers that are wrong although every checksum is right.
    let forged = |at: usize, value: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        let crc = crc32fast::hash(&bytes[index..names]);
        bytes[88..92].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..100]);
        bytes[100..104].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    assert!(refused(&forged(8, &2u64.to_le_bytes())).contains("version is 2"));
    assert!(refused(&forged(16, &u64::MAX.to_le_bytes())).contains("images is"));
    assert!(refused(&forged(16, &13u64.to_le_bytes())).contains("bytes for 13 images"));
    assert!(refused(&forged(32, &u64::MAX.to_le_bytes())).contains("pixels is"));
    assert!(refused(&forged(index, &u64::MAX.to_le_bytes())).contains("entry 0 has pixels outside"));
    assert!(refused(&forged(index + 32 + 16, &u32::MAX.to_le_bytes())).contains("entry 1 has a name outside"));
    assert!(refused(&forged(index + 24, &9u32.to_le_bytes())).contains("entry 0 has a class"));
    assert!(refused(&forged(index + 20, &3u16.to_le_bytes())).contains("entry 0 is not as large"));

    // A damaged picture is one broken picture, not a broken pack.
    std::fs::write(&out, flipped(4096 + 5)).unwrap();
    let pack = Pack::open(&out).unwrap();
    assert!(pack.read(0).unwrap_err().to_string().contains("checksum"));
    assert!(pack.read(1).is_ok());
}

#[test]
fn held_out_pictures_are_spread_and_not_trained_on() {
    let scratch = Scratch::new();
    for number in 0..100 {
        scratch.write(&format!("data/{number:03}.png"), b"x");
    }
    let (training, held_out) = DataSet::open(&scratch.path("data")).unwrap().hold_out(4);
    let names = |set: &DataSet| (0..set.len()).map(|index| set.name(index)).collect::<Vec<_>>();
    assert_eq!(names(&held_out), ["012.png", "037.png", "062.png", "087.png"]);
    let rest = names(&training);
    assert_eq!(rest.len(), 96);
    assert!(rest.windows(2).all(|pair| pair[0] < pair[1]) && !rest.contains(&"037.png".to_owned()));
    // Runs of before are told by it: the 64-bit FNV-1a of all names, each with a zero byte.
    assert_eq!(training.fingerprint(), "692cb55489826d71");
}

/// 1.28 million pictures of 64x64, all black: a file of 15.7 GB that takes some 100 MB of disk.
#[test]
fn fifteen_gigabytes_stream_in_and_out_of_little_memory() {
    use factorseg_data::testing::{SparsePack, anonymous_memory};
    let scratch = Scratch::new();
    let out = scratch.path("large.pack");
    let before = anonymous_memory();
    let images = 1_281_167;
    SparsePack::write(&out, images, 64).unwrap();
    let written = anonymous_memory();
    assert!(std::fs::metadata(&out).unwrap().len() > 15_700_000_000);
    let pack = DataSet::open(&out).unwrap();
    let mut order = factorseg_data::order::Order::new(1, pack.len());
    for position in 0..20_000 {
        let pixels = pack.read(order.image(position), 64).unwrap();
        assert_eq!(pixels.data.len(), 64 * 64 * 3);
    }
    let read = anonymous_memory();
    let growth = [written, read].map(|now| now.saturating_sub(before) >> 20);
    assert!(growth.iter().all(|mib| *mib < 64), "memory grew by {growth:?} MiB");
}
