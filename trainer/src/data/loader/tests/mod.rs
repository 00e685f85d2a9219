use super::*;
use crate::data::dataset::DataSet;
use crate::data::share::Share;
use crate::recipe::Recipe;
use factorseg_model::{NoiseSchedule, ScheduleConfig};
use image::{Rgb, RgbImage};

fn parts(good: usize, broken: usize, limit: usize) -> (tempfile::TempDir, Arc<BatchMaker>, Arc<ImageCache>) {
    let data = tempfile::tempdir().unwrap();
    for i in 0..good {
        RgbImage::from_pixel(8, 8, Rgb([i as u8 * 10, 0, 0]))
            .save(data.path().join(format!("{i}.png")))
            .unwrap();
    }
    for i in 0..broken {
        std::fs::write(data.path().join(format!("x{i}.jpg")), b"\xff\xd8 broken").unwrap();
    }
    let mut recipe = Recipe::load("two-phase").unwrap();
    recipe.batch_size = 3;
    recipe.augmentation.crop_scale = 1.0;
    let maker = BatchMaker {
        seed: 1,
        side: 8,
        classes: 0,
        schedule: NoiseSchedule::new(&ScheduleConfig::default()),
        recipe,
        share: Share::WHOLE,
        teacher: None,
    };
    let cache = ImageCache::new(DataSet::open(data.path()).unwrap(), 8, 1 << 20, limit);
    (data, Arc::new(maker), Arc::new(cache))
}

#[test]
fn batches_arrive_in_order_whatever_the_threads() {
    let (_data, maker, images) = parts(7, 1, 5);
    let run = |threads, first| {
        let options = LoaderOptions { threads, prefetch: 2 };
        let mut loader = Loader::start(maker.clone(), images.clone(), first, 20, options).unwrap();
        let mut batches = Vec::new();
        while let Some(batch) = loader.next_batch().unwrap() {
            batches.push(batch);
        }
        batches
    };
    let single = run(1, 0);
    assert_eq!(
        single.iter().map(|b| b.step).collect::<Vec<_>>(),
        (0..20).collect::<Vec<_>>()
    );
    assert_eq!(run(4, 0), single);
    assert_eq!(run(3, 11), single[11..]);
}

#[test]
fn too_many_broken_images_stop_the_input() {
    let (_data, maker, images) = parts(4, 3, 2);
    let mut loader = Loader::start(
        maker,
        images,
        0,
        20,
        LoaderOptions {
            threads: 2,
            prefetch: 1,
        },
    )
    .unwrap();
    let error = loop {
        match loader.next_batch() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the input ended without an error"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, BatchError::Broken(broken) if (broken.count, broken.limit) == (3, 2)));
    assert!(error.to_string().contains("--max-broken"), "{error}");
}
