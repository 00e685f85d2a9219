use super::*;
use image::Rgb;

#[test]
fn shorter_side_and_aspect_are_kept() {
    for (width, height, expected) in [
        (640, 480, (85, 64)),
        (100, 300, (64, 128)),
        (10, 10, (64, 64)),
        (64, 64, (64, 64)),
    ] {
        let pixels = prepare(DynamicImage::new_rgb8(width, height), 64);
        assert_eq!((pixels.width, pixels.height), expected, "{width}x{height}");
        assert_eq!(pixels.data.len(), pixels.width * pixels.height * 3);
    }
}

#[test]
fn halving_averages_and_stays_in_place() {
    let image = RgbImage::from_fn(128, 128, |x, _| {
        Rgb([if x % 2 == 0 { 0 } else { 200 }, if x < 64 { 0 } else { 255 }, 7])
    });
    let pixels = prepare(DynamicImage::ImageRgb8(image), 32);
    assert_eq!(&pixels.data[..3], [100, 0, 7]);
    assert_eq!(&pixels.data[(15 * 3)..(15 * 3 + 3)], [100, 0, 7]);
    assert_eq!(&pixels.data[(16 * 3)..(16 * 3 + 3)], [100, 255, 7]);
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.png");
    std::fs::write(&path, b"\x89PNG\r\n\x1a\nnothing more").unwrap();
    assert!(matches!(read_image(&path, 16), Err(DecodeError::Decode(_))));
    assert!(matches!(
        read_image(&folder.path().join("none.png"), 16),
        Err(DecodeError::Read(_))
    ));
}
