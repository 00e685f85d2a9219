//! Maps of labels: as they are stored, and what masks are taken for.

use factorseg_data::labels::{LabelMap, Stored};
use factorseg_data::masks::{Mark, Survey};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use png::{BitDepth, ColorType};

/// A map of one row.
fn png(colour: ColorType, depth: BitDepth, width: usize, palette: &[u8], row: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, 1);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette.to_vec());
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(row).unwrap();
    writer.finish().unwrap();
    bytes
}

fn grey(values: &[u8]) -> Vec<u8> {
    png(ColorType::Grayscale, BitDepth::Eight, values.len(), &[], values)
}

fn indexed(palette: &[[u8; 3]], indices: &[u8]) -> Vec<u8> {
    png(
        ColorType::Indexed,
        BitDepth::Eight,
        indices.len(),
        &palette.concat(),
        indices,
    )
}

fn picture(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

const RED: [u8; 3] = [128, 0, 0];
const GREEN: [u8; 3] = [0, 128, 0];
const BLACK: [u8; 3] = [0, 0, 0];

#[test]
fn values_are_read_as_they_are_stored() {
    let grey_of = |bits| Stored::Grey { bits };
    for (bytes, values, stored) in [
        (grey(&[0, 1, 19, 255]), &[0u16, 1, 19, 255][..], grey_of(8)),
        (
            png(ColorType::Grayscale, BitDepth::One, 9, &[], &[0b1010_0000, 0x80]),
            &[1, 0, 1, 0, 0, 0, 0, 0, 1],
            grey_of(1),
        ),
        (
            png(ColorType::Grayscale, BitDepth::Two, 5, &[], &[0b0001_1011, 0x40]),
            &[0, 1, 2, 3, 1],
            grey_of(2),
        ),
        (
            png(ColorType::Grayscale, BitDepth::Four, 3, &[], &[0x0f, 0x30]),
            &[0, 15, 3],
            grey_of(4),
        ),
        // A class of 16 bits is no high byte.
        (
            png(
                ColorType::Grayscale,
                BitDepth::Sixteen,
                3,
                &[],
                &[0, 1, 1, 0, 0x27, 0x10],
            ),
            &[1, 256, 10_000],
            grey_of(16),
        ),
        (
            indexed(&[BLACK, RED, GREEN], &[0, 2, 1]),
            &[0, 2, 1],
            Stored::Palette(vec![BLACK, RED, GREEN]),
        ),
        // What a program that makes files smaller makes of a grey one, and a palette that is one.
        (indexed(&[[255; 3], BLACK], &[0, 1]), &[255, 0], Stored::GreyPalette),
        (indexed(&[BLACK, [1; 3], [2; 3]], &[2, 1]), &[2, 1], grey_of(8)),
        (
            picture(
                RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8 * 255; 3])),
                ImageFormat::Bmp,
            ),
            &[0, 255],
            grey_of(8),
        ),
        (
            picture(
                RgbImage::from_fn(3, 1, |x, _| Rgb(if x == 1 { RED } else { BLACK })),
                ImageFormat::Png,
            ),
            &[0, 1, 0],
            Stored::Colours(vec![BLACK, RED]),
        ),
    ] {
        let map = LabelMap::decode(&bytes).unwrap();
        assert_eq!((&map.values[..], &map.stored), (values, &stored));
        assert_eq!((map.width, map.height), (values.len(), 1));
    }
    let through = RgbaImage::from_fn(2, 1, |x, _| Rgba([255, 255, 255, x as u8 * 255]));
    let photograph = RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8 * 4, y as u8 * 4, 0]));
    for (bytes, words) in [
        (picture(through, ImageFormat::Png), "transparent"),
        (picture(photograph, ImageFormat::Png), "256 colours"),
        (indexed(&[BLACK], &[3]), "palette"),
        (b"\x89PNG\r\n\x1a\n".to_vec(), "breaks off"),
    ] {
        let error = LabelMap::decode(&bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// The marks of all masks of a set, one letter a pixel, and what they were taken for; or why not.
fn taken_for(masks: &[Vec<u8>]) -> Result<(String, String), String> {
    let maps: Vec<LabelMap> = masks.iter().map(|bytes| LabelMap::decode(bytes).unwrap()).collect();
    let mut survey = Survey::default();
    maps.iter().try_for_each(|map| survey.add(map))?;
    let masks = survey.masks()?;
    let letter = |mark| match mark {
        Mark::Background => '.',
        Mark::Object => 'o',
        Mark::Void => '?',
    };
    let marks = maps.iter().flat_map(|map| masks.marks(map)).map(letter).collect();
    Ok((marks, masks.to_string()))
}

#[test]
fn masks_are_taken_for_what_they_are() {
    let one_bit = png(ColorType::Grayscale, BitDepth::One, 4, &[], &[0b0110_0000]);
    let deep = |values: &[u16]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
        png(ColorType::Grayscale, BitDepth::Sixteen, values.len(), &[], &bytes)
    };
    let voc = || {
        let mut palette = vec![[9, 9, 200]; 256];
        palette[..3].copy_from_slice(&[BLACK, RED, GREEN]);
        palette
    };
    let blank = || grey(&[0, 0]);
    for (masks, marks, words) in [
        (vec![grey(&[0, 255, 255, 0])], ".oo.", "white (255)"),
        (vec![grey(&[0, 1, 1, 0]), blank()], ".oo...", "1 to 1"),
        (vec![grey(&[0, 1, 7, 0])], ".oo.", "1 to 7"),
        (vec![grey(&[0, 1, 1, 2, 255])], ".ooo?", "255 void"),
        // Drawn borders and soft edges lie between.
        (
            vec![grey(&[0, 0, 0, 0, 128, 255, 255, 250, 3])],
            "....?ooo.",
            "white (255)",
        ),
        (vec![grey(&[0, 38, 38, 0])], ".oo.", "1 to 38"),
        (vec![grey(&[0, 128, 0])], ".o.", "1 to 128"),
        (vec![blank(), grey(&[0, 255])], "...o", "white (255)"),
        (vec![one_bit], ".oo.", "1 bits, white (1)"),
        (vec![deep(&[0, 65_535, 0])], ".o.", "white (65535)"),
        (vec![deep(&[0, 1, 300])], ".oo", "16 bits, 1 to 300"),
        (vec![indexed(&voc(), &[0, 1, 2, 255])], ".oo?", "255 void"),
        (vec![indexed(&[BLACK, RED], &[0, 1])], ".o", "palette"),
        // The same white on black, stored smaller, in any order.
        (
            vec![indexed(&[[255; 3], BLACK], &[0, 1]), grey(&[0, 255])],
            "o..o",
            "white (255)",
        ),
        (
            vec![picture(
                RgbImage::from_fn(3, 1, |x, _| Rgb(if x == 1 { RED } else { BLACK })),
                ImageFormat::Bmp,
            )],
            ".o.",
            "black is the background",
        ),
    ] {
        let (found, what) = taken_for(&masks).unwrap();
        assert_eq!(found, marks, "{what}");
        assert!(what.contains(words), "{what}");
    }
    for (masks, words) in [
        // A trimap: 1 is the animal, 2 the ground, 3 the border, or anything else.
        (vec![grey(&[1, 2, 3])], "no 0"),
        (vec![grey(&[0, 1, 255, 255])], "may be the object or void"),
        (vec![grey(&[0, 64, 128])], "neither white on black nor labels"),
        (vec![grey(&[0, 90, 120, 150, 250])], "between black and white"),
        (vec![indexed(&[RED, BLACK], &[0, 1])], "index 0"),
        (vec![indexed(&[BLACK, RED], &[1, 1])], "no background"),
        (
            vec![indexed(&[BLACK, RED], &[0, 1]), indexed(&[BLACK, GREEN], &[0, 1])],
            "another mask",
        ),
        (
            vec![picture(RgbImage::from_pixel(2, 1, Rgb(RED)), ImageFormat::Png)],
            "no black",
        ),
    ] {
        let error = taken_for(&masks).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

/// JPEG blurs what is written: white on black stays that.
#[test]
fn masks_in_jpeg_are_white_on_black() {
    let mask = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([if x + y / 3 > 40 { 255 } else { 0 }]));
    let (marks, what) = taken_for(&[picture(mask.clone(), ImageFormat::Jpeg)]).unwrap();
    assert!(what.contains("white"), "{what}");
    let wrong = marks
        .chars()
        .zip(mask.pixels())
        .filter(|(mark, pixel)| (*mark == 'o') != (pixel.0[0] == 255));
    assert!(wrong.count() < 64);
}
