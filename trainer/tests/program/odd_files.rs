//! Every command on a folder of odd files; what becomes of each is the table in `docs/data.md`.

use std::io::Cursor;
use std::path::Path;

use super::common::{Scratch, expect, program, state};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Read,
    Broken,
    LeftOut,
}
use Outcome::{Broken, LeftOut, Read};

fn picture(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 9) as u8, (x * y) as u8])).into()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A JPEG of 8 by 8 pixels with four inks, each the same everywhere: one Huffman code of one bit says it all.
fn cmyk() -> Vec<u8> {
    let mut bytes = b"\xff\xd8\xff\xdb\0\x43\0".to_vec();
    bytes.extend([1; 64]);
    bytes.extend(b"\xff\xc0\0\x14\x08\0\x08\0\x08\x04");
    (1..=4).for_each(|ink| bytes.extend([ink, 0x11, 0]));
    for table in [0x00, 0x10] {
        bytes.extend([0xff, 0xc4, 0, 20, table, 1]);
        bytes.extend([0; 16]);
    }
    bytes.extend(b"\xff\xda\0\x0e\x04");
    (1..=4).for_each(|ink| bytes.extend([ink, 0]));
    bytes.extend(b"\0\x3f\0\0\xff\xd9");
    bytes
}

fn turned() -> Vec<u8> {
    let (picture, mut bytes) = (picture(48, 32).into_rgb8(), Vec::new());
    let mut encoder = JpegEncoder::new(&mut bytes);
    let exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    encoder.write_image(&picture, 48, 32, ExtendedColorType::Rgb8).unwrap();
    bytes
}

/// A WebP of two frames.
fn animated() -> Vec<u8> {
    let chunk = |name: &[u8], content: Vec<u8>| [name, &(content.len() as u32).to_le_bytes(), &content].concat();
    let size = [39, 0, 0, 29, 0, 0];
    let frame = |turn: bool| {
        let picture = if turn {
            picture(40, 30).rotate180()
        } else {
            picture(40, 30)
        };
        // Behind the head of the file: its one chunk.
        let pixels = encoded(&picture, ImageFormat::WebP).split_off(12);
        chunk(b"ANMF", [&[0; 6][..], &size, &[100, 0, 0, 0], &pixels].concat())
    };
    let head = chunk(b"VP8X", [&[2, 0, 0, 0][..], &size].concat());
    let chunks = [head, chunk(b"ANIM", vec![0; 6]), frame(false), frame(true)].concat();
    chunk(b"RIFF", [b"WEBP", &chunks[..]].concat())
}

/// Name, content, what it is, and what becomes of it.
fn odd_files() -> Vec<(&'static str, Vec<u8>, &'static str, Outcome)> {
    use ImageFormat::{Bmp, Jpeg, Png, WebP};
    let usual = picture(40, 30);
    let of = |format| encoded(&usual, format);
    let cut = |format| {
        let whole = of(format);
        whole[..whole.len() / 2].to_vec()
    };
    let claims = |bytes: &mut Vec<u8>| {
        bytes[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
        bytes.clone()
    };
    vec![
        ("gray.jpg", encoded(&usual.to_luma8().into(), Jpeg), "grey JPEG", Read),
        ("cmyk.jpg", cmyk(), "JPEG with four inks", Read),
        ("turned.jpg", turned(), "JPEG that its EXIF data turns", Read),
        (
            "trailing.jpg",
            [of(Jpeg), b"and more".to_vec()].concat(),
            "JPEG with bytes behind its end",
            Read,
        ),
        (
            "deep.png",
            encoded(&usual.to_rgb16().into(), Png),
            "PNG of 16 bits",
            Read,
        ),
        (
            "deep gray.png",
            encoded(&usual.to_luma16().into(), Png),
            "grey PNG of 16 bits",
            Read,
        ),
        (
            "alpha.png",
            encoded(&usual.to_rgba8().into(), Png),
            "PNG with transparency",
            Read,
        ),
        (
            "gray alpha.png",
            encoded(&usual.to_luma_alpha8().into(), Png),
            "grey PNG with transparency",
            Read,
        ),
        ("plain.bmp", of(Bmp), "BMP", Read),
        ("plain.webp", of(WebP), "WebP", Read),
        ("animated.webp", animated(), "animated WebP", Read),
        ("jpeg.png", of(Jpeg), "JPEG called `.png`", Read),
        ("png.jpg", of(Png), "PNG called `.jpg`", Read),
        ("webp.bmp", of(WebP), "WebP called `.bmp`", Read),
        ("bmp.JPEG", of(Bmp), "BMP called `.JPEG`", Read),
        ("one.png", encoded(&picture(1, 1), Png), "1 x 1 pixel", Read),
        ("wide.png", encoded(&picture(3000, 2), Png), "3000 x 2 pixels", Read),
        ("tall.png", encoded(&picture(2, 3000), Png), "2 x 3000 pixels", Read),
        (
            "large.png",
            encoded(&picture(3000, 2000), Png),
            "6 million pixels",
            Read,
        ),
        ("with space.png", of(Png), "a name with a space", Read),
        ("ünïcødé 漢字.png", of(Png), "a name beyond ASCII", Read),
        ("-dash.png", of(Png), "a name that begins with a dash", Read),
        ("dots.in.name.png", of(Png), "a name with dots", Read),
        ("UPPER.PNG", of(Png), "an ending in capitals", Read),
        ("new\nline.png", of(Png), "a name of two lines", Read),
        ("{0..9}.png", of(Png), "a name with braces", Read),
        ("cut.jpg", cut(Jpeg), "JPEG that breaks off", Broken),
        ("cut.png", cut(Png), "PNG that breaks off", Broken),
        ("cut.bmp", cut(Bmp), "BMP that breaks off", Broken),
        ("cut.webp", cut(WebP), "WebP that breaks off", Broken),
        ("empty.jpg", Vec::new(), "empty file", Broken),
        ("words.jpg", b"words".to_vec(), "words called `.jpg`", Broken),
        (
            "page.jpg",
            b"<!DOCTYPE html>".to_vec(),
            "web page called `.jpg`",
            Broken,
        ),
        (
            "gif.jpg",
            b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(),
            "GIF called `.jpg`",
            Broken,
        ),
        (
            "heic.jpg",
            b"\0\0\0\x18ftypheic\0\0\0\0".to_vec(),
            "HEIC called `.jpg`",
            Broken,
        ),
        (
            "huge.bmp",
            claims(&mut of(Bmp)),
            "BMP that says it has 60000 x 60000 pixels",
            Broken,
        ),
        ("still.gif", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), "GIF", LeftOut),
        ("scan.tiff", b"II*\0".to_vec(), "TIFF", LeftOut),
        ("no ending", of(Png), "picture without an ending", LeftOut),
        (".hidden.png", of(Png), "hidden file", LeftOut),
        ("Thumbs.db", b"x".to_vec(), "`Thumbs.db`", LeftOut),
        ("desktop.ini", b"x".to_vec(), "`desktop.ini`", LeftOut),
    ]
}

#[test]
fn every_command_does_with_odd_files_what_the_manual_says() {
    let (scratch, odd) = (Scratch::new(), odd_files());
    let folder = scratch.path("odd");
    for (name, bytes, ..) in &odd {
        scratch.write(&format!("odd/{name}"), bytes);
    }
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
    link(&folder, "loop");
    link(Path::new("plain.bmp"), "again.bmp");
    link(Path::new("nowhere"), "lost.png");
    scratch.write("elsewhere.png", encoded(&picture(9, 9), ImageFormat::Png));
    link(&scratch.path("elsewhere.png"), "link.png");
    let links = [
        ("link to a file elsewhere", Read),
        ("link to its own folder", LeftOut),
        ("link to a file beside it", LeftOut),
        ("link that leads nowhere", LeftOut),
    ];
    let outcomes = odd.iter().map(|(.., what, outcome)| (*what, *outcome)).chain(links);
    let count = |wanted| outcomes.clone().filter(|(_, outcome)| *outcome == wanted).count();

    let manual = include_str!("../../../docs/data.md");
    for wanted in [Read, Broken, LeftOut] {
        let name = match wanted {
            Read => "read",
            Broken => "broken",
            LeftOut => "left out",
        };
        let all: Vec<&str> = outcomes
            .clone()
            .filter(|(_, outcome)| *outcome == wanted)
            .map(|(what, _)| what)
            .collect();
        let row = format!("| {name} | {} |", all.join("; "));
        assert!(manual.contains(&row), "docs/data.md lacks this row:\n{row}");
    }

    let mut pack = program();
    pack.args(["pack", "--json", "--size", "20", "--out"])
        .arg(scratch.path("odd.pack"))
        .arg(&folder);
    let output = pack.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let packed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(
        (&packed["images"], &packed["broken"], &packed["skipped"]),
        (&count(Read).into(), &count(Broken).into(), &count(LeftOut).into()),
        "{said}"
    );
    let broken = || {
        odd.iter()
            .filter(|(.., outcome)| *outcome == Broken)
            .map(|(name, ..)| *name)
    };
    assert!(broken().all(|name| said.contains(name)), "{said}");

    let mut train = scratch.train_on(&folder, "run", &["--save-every", "5"]);
    let said = expect(&mut train, 0);
    assert!(said.contains("left out"), "{said}");
    let trained = state(&scratch.path("run"), 10);
    std::fs::remove_dir_all(scratch.path("run/checkpoints/step-000000010")).unwrap();
    expect(&mut scratch.resume("run"), 0);
    assert!(
        state(&scratch.path("run"), 10) == trained,
        "a resumed run reads the same"
    );
    expect(&mut scratch.train_on(&scratch.path("odd.pack"), "packed", &[]), 0);
    let mut strict = scratch.train_on(&folder, "strict", &["--max-broken", "0"]);
    assert!(expect(&mut strict, 1).contains("--max-broken"));
    expect(
        program()
            .arg("export")
            .arg(scratch.path("run"))
            .arg("--out")
            .arg(scratch.path("odd.safetensors")),
        0,
    );

    let out = scratch.path("out");
    let mut segment = program();
    segment
        .arg("segment")
        .arg(&folder)
        .arg("--out")
        .arg(&out)
        .args(["--threads", "1", "--device", "cpu"]);
    segment.arg("--model").arg(scratch.path("odd.safetensors"));
    // What is broken is named, and the rest is done.
    let said = expect(&mut segment, 1);
    assert!(
        broken().all(|name| said.contains(&format!("{name}: cannot decode"))),
        "{said}"
    );
    let results = std::fs::read_dir(&out).unwrap().count();
    // The overlay, the regions in colours and their numbers.
    assert_eq!(results, 3 * count(Read), "{said}");

    // A set with a broken picture is not scored, and the picture is named.
    for name in ["plain.bmp", "cut.jpg"] {
        for part in ["images", "masks"] {
            let bytes = std::fs::read(folder.join(name)).unwrap();
            let mask = encoded(
                &RgbImage::from_fn(40, 30, |x, _| Rgb([x as u8 / 20 * 255; 3])).into(),
                ImageFormat::Png,
            );
            scratch.write(
                &format!("set/{part}/{name}"),
                if part == "masks" { mask } else { bytes },
            );
        }
    }
    let mut evaluate = program();
    evaluate.args(["evaluate", "still"]).arg(scratch.path("set")).args([
        "--device",
        "cpu",
        "--threads",
        "1",
        "--model",
    ]);
    evaluate.arg(scratch.path("odd.safetensors"));
    assert!(expect(&mut evaluate, 1).contains("cut.jpg: cannot decode"));
}
