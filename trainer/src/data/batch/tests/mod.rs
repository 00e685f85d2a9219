use super::*;
use crate::data::dataset::DataSet;
use factorseg_model::ScheduleConfig;
use image::{Rgb, RgbImage};

fn maker(recipe: Recipe, classes: usize) -> BatchMaker {
    BatchMaker {
        seed: 5,
        side: 8,
        classes,
        schedule: NoiseSchedule::new(&ScheduleConfig::default()),
        recipe,
        share: Share::WHOLE,
        teacher: None,
    }
}

fn recipe() -> Recipe {
    let mut recipe = Recipe::load("two-phase").unwrap();
    recipe.batch_size = 6;
    recipe.augmentation = Augmentation {
        flip: 0.0,
        crop: Crop::Centre,
        crop_scale: 1.0,
        zoom: false,
    };
    recipe.label_dropout = 0.0;
    recipe
}

fn images(count: usize) -> (tempfile::TempDir, ImageCache) {
    let data = tempfile::tempdir().unwrap();
    for i in 0..count {
        let folder = data.path().join(format!("class{}", i % 2));
        std::fs::create_dir_all(&folder).unwrap();
        RgbImage::from_fn(8, 8, |x, y| Rgb([(i * 20) as u8, (x * 30) as u8, (y * 30) as u8]))
            .save(folder.join(format!("{i}.png")))
            .unwrap();
    }
    let cache = ImageCache::new(DataSet::open(data.path()).unwrap(), 8, 1 << 20, 0);
    (data, cache)
}

#[test]
fn a_batch_depends_on_its_step_alone() {
    let (_data, images) = images(5);
    let maker = maker(
        Recipe {
            micro_batch: Some(4),
            ..recipe()
        },
        2,
    );
    let mut order = Order::new(5, images.len());
    let forwards: Vec<Batch> = (0..4).map(|s| maker.make(s, &mut order, &images).unwrap()).collect();
    let mut order = Order::new(5, images.len());
    for step in [3, 0, 2] {
        assert_eq!(maker.make(step, &mut order, &images).unwrap(), forwards[step as usize]);
    }
    assert_ne!(forwards[0].parts, forwards[1].parts);
    assert_eq!(forwards[0].parts.iter().map(|p| p.size).collect::<Vec<_>>(), [4, 2]);
}

#[test]
fn micro_batches_hold_the_same_images_as_the_batch() {
    let (_data, images) = images(5);
    let whole = maker(recipe(), 2).make(7, &mut Order::new(5, 5), &images).unwrap();
    let parts = maker(
        Recipe {
            micro_batch: Some(2),
            ..recipe()
        },
        2,
    )
    .make(7, &mut Order::new(5, 5), &images)
    .unwrap();
    let joined: Vec<f32> = parts.parts.iter().flat_map(|p| p.noised.clone()).collect();
    assert_eq!(whole.parts[0].noised, joined);
}

#[test]
fn shares_of_a_step_are_its_micro_batches() {
    let (_data, images) = images(5);
    let made = |index, count| {
        let recipe = Recipe {
            micro_batch: Some(4),
            batch_size: 11,
            ..recipe()
        };
        let maker = BatchMaker {
            share: Share { index, count },
            ..maker(recipe, 2)
        };
        maker.make(7, &mut Order::new(5, 5), &images).unwrap()
    };
    let (whole, shares) = (made(0, 1), [made(1, 2), made(0, 2)]);
    assert_eq!([&shares[0], &shares[1]].map(|share| share.first), [0, 1]);
    assert_eq!(whole.parts, shares.map(|share| share.parts).concat());
    assert!(made(4, 5).parts.is_empty(), "five processes for three micro-batches");
}

#[test]
fn noised_images_follow_equation_1() {
    let (_data, images) = images(5);
    let maker = maker(recipe(), 2);
    let mut order = Order::new(5, 5);
    let batch = maker.make(0, &mut order, &images).unwrap();
    let part = &batch.parts[0];
    for i in 0..part.size {
        let pixels = images.get(order.image(i as u64)).unwrap().unwrap();
        let alpha_bar = maker.schedule.alpha_bar(part.timesteps[i] as usize);
        let (clean, _) = centre_square(&pixels, 8);
        for j in 0..192 {
            let expected =
                alpha_bar.sqrt() * f64::from(clean[j]) + (1.0 - alpha_bar).sqrt() * f64::from(part.noise[i * 192 + j]);
            assert!((f64::from(part.noised[i * 192 + j]) - expected).abs() < 1e-5);
        }
        assert_eq!(part.classes[i], images.class(order.image(i as u64)).unwrap() as i32);
    }
}

#[test]
fn flip_dropout_and_timesteps_follow_the_recipe() {
    let (_data, images) = images(5);
    let mut recipe = recipe();
    recipe.label_dropout = 1.0;
    recipe.augmentation.flip = 1.0;
    recipe.phases[0].timesteps = (30, 30);
    let maker = maker(recipe, 2);
    let mut order = Order::new(5, 5);
    let batch = maker.make(0, &mut order, &images).unwrap();
    let part = &batch.parts[0];
    assert!(part.classes.iter().all(|c| *c == 2));
    assert!(part.timesteps.iter().all(|t| *t == 30));
    let (image_part, noise_part) = maker.schedule.mix(30);
    // Second channel, first row: its values fall from left to right once flipped.
    let value = |x: usize| (part.noised[64 + x] - noise_part as f32 * part.noise[64 + x]) / image_part as f32;
    assert!((value(0) - (210.0 / 127.5 - 1.0)).abs() < 1e-4);
    assert!((value(7) - (0.0 / 127.5 - 1.0)).abs() < 1e-4);
}

/// The teacher sees the crop as it is, the student with other colours and noise.
#[test]
fn a_teachers_masks_are_those_of_the_clean_crop() {
    let data = tempfile::tempdir().unwrap();
    RgbImage::from_fn(70, 64, |x, y| {
        Rgb([(x * 3) as u8, (y * 4) as u8, if x > 30 { 200 } else { 20 }])
    })
    .save(data.path().join("0.png"))
    .unwrap();
    let images = ImageCache::new(DataSet::open(data.path()).unwrap(), 64, 1 << 20, 0);
    let teacher = Arc::new(Teacher::load(factorseg_model::CheckpointSource::Embedded).unwrap());
    let made = |teacher: Option<Arc<Teacher>>, jitter: f64| {
        let mut recipe = recipe();
        (recipe.batch_size, recipe.augmentation.flip) = (1, 1.0);
        recipe.self_training = Some(crate::recipe::SelfTraining {
            jitter,
            ..Default::default()
        });
        let maker = BatchMaker {
            side: 64,
            teacher,
            ..maker(recipe, 0)
        };
        maker.make(3, &mut Order::new(5, 1), &images).unwrap().parts.remove(0)
    };
    let plain = made(None, 0.0);
    assert!(plain.targets.is_empty());
    let taught = made(Some(teacher.clone()), 0.6);
    assert!(plain.noise == taught.noise && plain.timesteps == taught.timesteps && plain.noised != taught.noised);
    let schedule = NoiseSchedule::new(&ScheduleConfig::default());
    let (image_part, noise_part) = schedule.mix(plain.timesteps[0] as usize);
    let pixels = images.get(0).unwrap().unwrap();
    let shown = teacher.shown(None, &pixels).unwrap();
    let mut clean = Vec::new();
    square(&pixels, 3, 0, 64, true, |value| clean.push(value));
    for ((noised, noise), clean) in plain.noised.iter().zip(&plain.noise).zip(&clean) {
        assert!((noised - image_part as f32 * clean - noise_part as f32 * noise).abs() < 1e-5);
    }
    let object = object_square(&shown, 3, 0, 64, true);
    assert_eq!(taught.targets, teacher.targets(&clean, object.as_deref(), 64).unwrap());
    assert!(taught.targets != teacher.masks(&clean, 64).unwrap());
}

/// A known object is what is learned, cut, mirrored and zoomed as the picture is: here it is where the picture is bright.
#[test]
fn a_known_object_stays_on_its_picture() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("data.pack");
    let bright = |x: usize, y: usize| (10..60).contains(&x) && (20..90).contains(&y);
    let places = || (0..96).flat_map(|y| (0..120).map(move |x| (x, y)));
    let grey = |(x, y)| if bright(x, y) { 220 } else { 30 };
    let pixels = Pixels {
        width: 120,
        height: 96,
        data: places().flat_map(|place| [grey(place); 3]).collect(),
        object: Some(places().map(|(x, y)| if bright(x, y) { 255 } else { 0 }).collect()),
    };
    crate::data::packing::write_pack(&path, 96, &[pixels]).unwrap();
    let images = ImageCache::new(DataSet::open(&path).unwrap(), 96, 0, 0);
    let mut recipe = recipe();
    recipe.augmentation = Augmentation {
        flip: 0.5,
        crop: Crop::Random,
        crop_scale: 1.5,
        zoom: true,
    };
    recipe.self_training = Some(crate::recipe::SelfTraining {
        jitter: 0.0,
        motion: 1.0,
        labels: None,
    });
    recipe.phases[0].timesteps = (1, 1);
    let teacher = Arc::new(Teacher::load(factorseg_model::CheckpointSource::Embedded).unwrap());
    let object = teacher.foreground_regions()[0];
    let maker = BatchMaker {
        side: 64,
        teacher: Some(teacher),
        ..maker(recipe, 0)
    };
    let (image_part, noise_part) = maker.schedule.mix(1);
    let mut shares = Vec::new();
    for part in (0..4).flat_map(|step| maker.make(step, &mut Order::new(5, 1), &images).unwrap().parts) {
        for image in 0..part.size {
            let at = |k: usize, pixel: usize| part.targets[(2 * image + k) * 64 * 64 + pixel];
            let mut wrong = 0;
            for pixel in 0..64 * 64 {
                let place = 3 * image * 64 * 64 + pixel;
                let value = (part.noised[place] - noise_part as f32 * part.noise[place]) / image_part as f32;
                wrong += usize::from((value > 0.0) != (at(object, pixel) > 0.5));
                assert!((at(0, pixel) + at(1, pixel) - 1.0).abs() < 1e-6);
            }
            assert!(wrong < 20, "{wrong} pixels");
            shares.push((0..64 * 64).map(|pixel| at(object, pixel)).sum::<f32>() / 4096.0);
        }
    }
    let least = shares.iter().copied().fold(1.0, f32::min);
    let most = shares.iter().copied().fold(0.0, f32::max);
    assert!(most > 1.4 * least, "nothing zoomed: {shares:?}");
}

#[test]
fn normal_numbers_are_normal() {
    let mut values = Vec::new();
    normal(&mut random(1, Stream::Sample, 0), 100_001, &mut values);
    assert_eq!(values.len(), 100_001);
    let count = values.len() as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    let beyond_two = values.iter().filter(|v| v.abs() > 2.0).count() as f64 / count;
    assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.015 && (beyond_two - 0.0455).abs() < 0.003);
}
