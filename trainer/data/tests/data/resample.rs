//! Resampling against Pillow: `trainer/tests/reference/resample.py` wrote the fixture.

use factorseg_data::decode::prepare;
use factorseg_data::resample::{Filter, halve, resize};
use image::{Rgb, RgbImage};

#[test]
fn every_pixel_is_pillows() {
    let fixture = include_bytes!("../fixtures/resample.bin");
    let mut rest = fixture.as_slice();
    let mut records = 0;
    while !rest.is_empty() {
        let mut numbers = [0u32; 5];
        for (number, bytes) in numbers.iter_mut().zip(rest.chunks_exact(4)) {
            *number = u32::from_le_bytes(bytes.try_into().unwrap());
        }
        let [width, height, to_width, to_height, side] = numbers;
        let (input, output) = ((width * height * 3) as usize, (to_width * to_height * 3) as usize);
        let image = RgbImage::from_raw(width, height, rest[20..20 + input].to_vec()).unwrap();
        let pixels = prepare(image.into(), side as usize);
        assert_eq!((pixels.width, pixels.height), (to_width as usize, to_height as usize));
        assert!(
            pixels.data[..] == rest[20 + input..20 + input + output],
            "{width}x{height} to {to_width}x{to_height}"
        );
        rest = &rest[20 + input + output..];
        records += 1;
    }
    assert_eq!(records, 7);
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|channel| (x * 31 + y * 17 + channel * 71 + (x * y) % 13 * 19) as u8))
    })
}

#[test]
fn the_fast_halving_is_the_box_filter() {
    let image = picture(34, 20);
    assert_eq!(halve(&image), resize(&image, 17, 10, Filter::Box));
    assert_eq!(halve(&picture(5, 7)).dimensions(), (2, 3));
}

#[test]
fn the_same_size_is_the_same_picture() {
    let image = picture(9, 5);
    assert_eq!(resize(&image, 9, 5, Filter::Bicubic), image);
}
