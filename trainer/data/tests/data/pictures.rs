//! The decoder of pictures: what is read, which way up, and what is broken.

use super::common::{Scratch, options, pack_it};
use factorseg_data::dataset::DataSet;
use factorseg_data::decode::read_image;
use factorseg_data::picture::{DecodeError, decode_picture, open_picture};
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};

const FORMATS: [ImageFormat; 4] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP];

/// Noise, so that every part of a file matters to its pixels.
fn noise(width: u32, height: u32) -> RgbImage {
    let value = |x: u32, y: u32, c: u32| (((x * 7 + y * 131 + c * 17) * 2_654_435_761u64 as u32) >> 13) as u8;
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([value(x, y, 0), value(x, y, 1), value(x, y, 2)])
    })
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn the_content_says_the_format_whatever_the_name() {
    let scratch = Scratch::new();
    let picture = noise(40, 24);
    for format in FORMATS {
        let bytes = encoded(&picture, format);
        let expected = decode_picture(&bytes).unwrap();
        for name in ["a.jpg", "a.png", "a.bmp", "a.webp", "a.mp4", "a"] {
            let path = scratch.write(name, &bytes);
            assert_eq!(open_picture(&path).unwrap(), expected, "{format:?} as {name}");
        }
    }
    for (bytes, what) in [
        (&b"GIF89a\x01\x00\x01\x00"[..], "GIF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "HEIC"),
        (b"<!DOCTYPE html><p>Not found</p>", "web page"),
        (b"", "empty"),
        (b"words", "no JPEG"),
    ] {
        let message = open_picture(&scratch.write("x.jpg", bytes)).unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    }
    assert!(matches!(open_picture(&scratch.path("")), Err(DecodeError::Read(_))));
}

/// A file that is cut short is broken, or the cut took nothing of the picture.
#[test]
fn a_file_that_breaks_off_is_broken() {
    for (width, height) in [(32, 16), (57, 43)] {
        let picture = noise(width, height);
        for format in FORMATS {
            let whole = encoded(&picture, format);
            let expected = decode_picture(&whole).unwrap();
            let mut taken = 0;
            for length in 0..whole.len() {
                if let Ok(found) = decode_picture(&whole[..length]) {
                    assert_eq!(found, expected, "{format:?} cut to {length} of {}", whole.len());
                    taken += 1;
                }
            }
            // What may be missing is a trailer.
            assert!(taken <= 12, "{format:?}: {taken} of {} cuts are taken", whole.len());
            // Room that a download set aside and did not fill. The other two formats have nothing to tell it by.
            let mut hollow = whole.clone();
            let half = hollow.len() / 2;
            hollow[half..].fill(0);
            if matches!(format, ImageFormat::Jpeg | ImageFormat::Png) {
                assert!(decode_picture(&hollow).is_err(), "{format:?}");
            }
            // What comes behind a picture is nobody's business.
            let longer = [&whole[..], b"\xff\xd8 trailing words"].concat();
            assert_eq!(decode_picture(&longer).unwrap(), expected, "{format:?}");
        }
    }
}

#[test]
fn broken_pictures_are_counted_by_pack() {
    let scratch = Scratch::new();
    for i in 0..6 {
        let whole = encoded(&noise(64, 64), ImageFormat::Jpeg);
        let length = if i % 2 == 0 { whole.len() } else { whole.len() * 2 / 3 };
        scratch.write(&format!("data/{i}.jpg"), &whole[..length]);
    }
    let data = scratch.path("data");
    let (packed, broken) = pack_it(data.to_str().unwrap(), &scratch.path("out.pack"), &options(16)).unwrap();
    assert_eq!((packed.images, packed.broken), (3, 3));
    assert!(broken.iter().all(|line| line.contains("breaks off")), "{broken:?}");
}

/// EXIF data that says nothing but an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut data = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    data.extend([orientation, 0, 0, 0, 0, 0, 0]);
    data
}

fn with_orientation(picture: &RgbImage, format: ImageFormat, orientation: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (pixels, (width, height)) = (picture.as_raw(), picture.dimensions());
    macro_rules! write {
        ($encoder:expr) => {{
            let mut encoder = $encoder;
            encoder.set_exif_metadata(exif(orientation)).unwrap();
            encoder
                .write_image(pixels, width, height, ExtendedColorType::Rgb8)
                .unwrap();
        }};
    }
    match format {
        ImageFormat::Jpeg => write!(JpegEncoder::new_with_quality(&mut bytes, 100)),
        ImageFormat::Png => write!(PngEncoder::new(&mut bytes)),
        _ => write!(WebPEncoder::new_lossless(&mut bytes)),
    }
    bytes
}

/// What the eight orientations mean, by the corner where the first pixel belongs.
#[test]
fn pictures_are_turned_as_their_exif_data_says() {
    let scratch = Scratch::new();
    let picture = RgbImage::from_fn(48, 32, |x, y| {
        Rgb([if x < 24 { 0 } else { 250 }, if y < 16 { 0 } else { 250 }, 0])
    });
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        for orientation in 0..=9u8 {
            let path = scratch.write("a.jpg", with_orientation(&picture, format, orientation));
            let upright = DynamicImage::from(picture.clone());
            let expected = match orientation {
                2 => upright.fliph(),
                3 => upright.rotate180(),
                4 => upright.flipv(),
                5 => upright.rotate90().fliph(),
                6 => upright.rotate90(),
                7 => upright.rotate270().fliph(),
                8 => upright.rotate270(),
                // No orientation at all, or one that means nothing.
                _ => upright,
            };
            let found = open_picture(&path).unwrap().into_rgb8();
            let what = format!("{format:?} {orientation}");
            assert_eq!(found.dimensions(), (expected.width(), expected.height()), "{what}");
            let far = |(a, b): (&u8, &u8)| a.abs_diff(*b) > 40;
            assert!(!found.iter().zip(expected.as_bytes()).any(far), "{what}");
            let small = read_image(&path, 16).unwrap();
            assert_eq!(small.width > small.height, !(5..=8).contains(&orientation), "{what}");
            assert_eq!(DataSet::open(&scratch.path("")).unwrap().read(0, 16).unwrap(), small);
        }
    }
}

#[test]
fn a_small_file_that_claims_to_be_enormous_is_named_as_such() {
    // A header for 60000 x 60000 pixels; the rest does not matter.
    let mut bytes = encoded(&RgbImage::new(1, 1), ImageFormat::Bmp);
    bytes[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bytes[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    let error = decode_picture(&bytes).unwrap_err();
    assert!(matches!(&error, DecodeError::TooLarge(_)), "{error}");
    assert!(error.to_string().contains("60000 x 60000"), "{error}");
}
