//! Resampling against Pillow: `trainer/tests/reference/resample.py` wrote the fixture.

use factorseg_data::decode::prepare;
use image::RgbImage;

#[test]
fn every_pixel_is_pillows() {
    let fixture = include_bytes!("fixtures/resample.bin");
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
