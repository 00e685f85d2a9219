//! Decoded pictures in memory.

use super::common::Scratch;
use factorseg_data::cache::ImageCache;
use factorseg_data::dataset::DataSet;
use image::RgbImage;

fn folder(good: usize, broken: usize) -> (Scratch, DataSet) {
    let data = Scratch::new();
    for i in 0..good {
        RgbImage::from_pixel(8, 8, image::Rgb([i as u8; 3]))
            .save(data.path(&format!("a{i}.png")))
            .unwrap();
    }
    for i in 0..broken {
        data.write(&format!("b{i}.png"), b"not an image");
    }
    let scanned = DataSet::open(&data.path("")).unwrap();
    (data, scanned)
}

#[test]
fn stays_within_the_budget_and_still_answers() {
    let (_data, folder) = folder(5, 0);
    let cache = ImageCache::new(folder, 8, 2 * 8 * 8 * 3, 0);
    for round in 0..2 {
        for i in 0..5 {
            assert_eq!(cache.get(i).unwrap().unwrap().data[0], i as u8, "round {round}");
        }
        assert_eq!(cache.bytes(), 2 * 8 * 8 * 3);
    }
}

#[test]
fn broken_images_are_counted_once_named_and_limited() {
    let (_data, folder) = folder(1, 2);
    let cache = ImageCache::new(folder, 8, 1 << 20, 1);
    assert!(cache.get(1).unwrap().is_none());
    assert!(cache.get(1).unwrap().is_none());
    assert_eq!(cache.broken().len(), 1);
    let error = cache.get(2).unwrap_err();
    assert_eq!((error.count, error.limit, error.path.as_str()), (2, 1, "b1.png"));
}
