//! The segmenter: one noised pass, the same masks as the network makes, errors for what does not fit.

use factorseg_kernels::{Arithmetic, InstructionSet, Threads, TrainingNetwork, TrainingOptions};
use factorseg_model::checkpoint::Checkpoint;
use factorseg_model::noise::standard_normal;
use factorseg_model::softmax::softmax;
use factorseg_model::{
    CheckpointSource, DeviceSpec, Engine, InputImage, NoiseSchedule, SegmentError, Segmenter, SegmenterOptions,
};

fn fixture() -> CheckpointSource {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/fixtures/conditional_64.safetensors"
    );
    CheckpointSource::from_path(path)
}

fn segmenter(source: &CheckpointSource, options: &SegmenterOptions) -> Segmenter {
    Segmenter::load(source, DeviceSpec::Cpu, options).unwrap()
}

fn image(width: usize, height: usize, seed: usize) -> InputImage {
    let data = (0..3 * width * height)
        .map(|i| ((i * 7 + seed * 13) as f32 * 0.01).sin())
        .collect();
    InputImage { width, height, data }
}

/// What Section 3.4 says, spelled out with the network as it trains.
fn expected_masks(image: &InputImage, options: &SegmenterOptions) -> Vec<f32> {
    let mut checkpoint = Checkpoint::open(&fixture()).unwrap();
    let config = checkpoint.config().clone();
    let size = TrainingOptions {
        height: image.height,
        width: image.width,
        batch: 1,
        threads: Threads::Single,
        instructions: InstructionSet::detect(),
        arithmetic: Arithmetic::F32,
    };
    let mut network = TrainingNetwork::new(&config.architecture(), size).unwrap();
    network.parameters_mut().copy_from_slice(&checkpoint.load().unwrap());
    let (image_weight, noise_weight) = NoiseSchedule::new(&config.schedule).mix(options.timestep);
    let noise = standard_normal(options.seed, image.data.len() * options.samples);
    let mut mean = vec![0.0; config.regions * image.width * image.height];
    for noise in noise.chunks_exact(image.data.len()) {
        let both = image.data.iter().zip(noise);
        let x_t: Vec<f32> = both
            .map(|(x, e)| image_weight as f32 * x + noise_weight as f32 * e)
            .collect();
        let class = options.class.unwrap_or(config.no_class()) as i32;
        network
            .encode(&x_t, &[options.timestep as f32], Some(&[class]))
            .unwrap();
        let mut masks = network.mask_logits().to_vec();
        softmax(&mut masks, 1, config.regions);
        for (sum, mask) in mean.iter_mut().zip(masks) {
            *sum += mask / options.samples as f32;
        }
    }
    mean
}

#[test]
fn masks_are_those_of_one_noised_pass() {
    let mut segmenter = segmenter(&fixture(), &SegmenterOptions::default());
    let image = image(40, 32, 1);
    for options in [
        SegmenterOptions {
            color_model: false,
            ..SegmenterOptions::default()
        },
        SegmenterOptions {
            class: Some(3),
            timestep: 100,
            seed: 5,
            samples: 1,
            color_model: false,
            ..SegmenterOptions::default()
        },
        SegmenterOptions {
            samples: 3,
            color_model: false,
            ..SegmenterOptions::default()
        },
    ] {
        segmenter.set_options(&options).unwrap();
        let map = segmenter.segment(std::slice::from_ref(&image)).unwrap().remove(0);
        assert_eq!((map.regions, map.width, map.height), (3, 40, 32));
        for (actual, expected) in map.probabilities.iter().zip(expected_masks(&image, &options)) {
            assert!((actual - expected).abs() < 1e-4, "{options:?}: {actual} {expected}");
        }
    }
}

#[test]
fn a_batch_of_several_sizes_equals_its_images_one_by_one() {
    let mut segmenter = segmenter(&fixture(), &SegmenterOptions::default());
    let images = [image(32, 32, 1), image(32, 32, 2), image(64, 32, 3), image(32, 32, 4)];
    let together = segmenter.segment(&images).unwrap();
    for (image, map) in images.iter().zip(together) {
        let alone = segmenter.segment(std::slice::from_ref(image)).unwrap().remove(0);
        assert_eq!((map.width, map.height), (image.width, image.height));
        for (a, b) in map.probabilities.iter().zip(alone.probabilities) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}

#[test]
fn the_same_image_has_the_same_masks_bit_for_bit() {
    let image = image(32, 32, 1);
    let run = || {
        segmenter(&fixture(), &SegmenterOptions::default())
            .segment(std::slice::from_ref(&image))
            .unwrap()
    };
    assert_eq!(run(), run());
}

#[test]
fn the_embedded_checkpoint_segments() {
    let mut segmenter = segmenter(&CheckpointSource::Embedded, &SegmenterOptions::default());
    let (width, height) = segmenter.input_size(640, 360);
    let map = segmenter.segment(&[image(width, height, 1)]).unwrap().remove(0);
    for pixel in 0..width * height {
        let sum: f32 = (0..map.regions)
            .map(|k| map.probabilities[k * width * height + pixel])
            .sum();
        assert!((sum - 1.0).abs() < 1e-4);
    }
}

#[test]
fn the_faces_checkpoint_names_face_and_hair() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/checkpoints/faces.safetensors");
    let source = CheckpointSource::from_path(path);
    assert_eq!(Checkpoint::open(&source).unwrap().info().foreground_regions, [1, 2]);
    let mut segmenter = segmenter(&source, &SegmenterOptions::default());
    // A light disc, a dark ring around it, and grey at the sides.
    let side = 64;
    let distance = |pixel: usize| (pixel % side).abs_diff(32).pow(2) + (pixel / side).abs_diff(32).pow(2);
    let plane = |pixel: usize| match distance(pixel) {
        0..196 => 0.5,
        196..625 => -0.8,
        _ => 0.0,
    };
    let image = InputImage {
        width: side,
        height: side,
        data: (0..3 * side * side).map(|at| plane(at % (side * side))).collect(),
    };
    let map = segmenter.segment(&[image]).unwrap().remove(0);
    let region = |x: usize, y: usize| {
        let value = |k: usize| map.probabilities[k * side * side + y * side + x];
        (0..map.regions).max_by(|a, b| value(*a).total_cmp(&value(*b))).unwrap()
    };
    assert_eq!([region(2, 20), region(32, 34), region(32, 12)], [0, 1, 2]);
}

#[test]
fn frames_of_any_size_have_an_input_size_that_fits() {
    let segmenter = segmenter(&fixture(), &SegmenterOptions::default());
    let stride = segmenter.config().stride();
    for (width, height) in [
        (1, 1),
        (1, 4096),
        (4096, 1),
        (854, 480),
        (480, 854),
        (7680, 4320),
        (65, 63),
    ] {
        let (w, h) = segmenter.input_size(width, height);
        assert!(w % stride == 0 && h % stride == 0, "{width}x{height}: {w}x{h}");
        assert!(
            (64..=256).contains(&w) && (64..=256).contains(&h),
            "{width}x{height}: {w}x{h}"
        );
        assert_eq!(w.min(h), 64);
    }
    // 854 / 480 * 64 = 113.9, and the stride of this network is 2.
    assert_eq!(segmenter.input_size(854, 480), (114, 64));
}

#[test]
fn options_and_images_that_do_not_fit_are_errors_and_change_nothing() {
    let mut segmenter = segmenter(&fixture(), &SegmenterOptions::default());
    let valid = SegmenterOptions::default();
    for (options, name) in [
        (
            SegmenterOptions {
                timestep: 0,
                ..valid.clone()
            },
            "timestep",
        ),
        (
            SegmenterOptions {
                timestep: 1001,
                ..valid.clone()
            },
            "timestep",
        ),
        (
            SegmenterOptions {
                class: Some(5),
                ..valid.clone()
            },
            "class",
        ),
        (
            SegmenterOptions {
                samples: 0,
                ..valid.clone()
            },
            "samples",
        ),
    ] {
        let error = segmenter.set_options(&options).unwrap_err();
        assert!(
            matches!(error, SegmentError::Option { option, .. } if option == name),
            "{error}"
        );
        assert_eq!(*segmenter.options(), valid);
    }
    for image in [
        image(31, 32, 0),
        image(0, 0, 0),
        InputImage {
            data: vec![0.0; 5],
            ..image(32, 32, 0)
        },
    ] {
        assert!(matches!(segmenter.segment(&[image]), Err(SegmentError::Image { .. })));
    }
    let mut image = image(32, 32, 0);
    image.data[5] = f32::NAN;
    assert!(matches!(
        segmenter.segment(&[image]),
        Err(SegmentError::NotFinite { .. })
    ));
    assert_eq!(segmenter.segment(&[]).unwrap(), vec![]);
}

/// Logos and slides: one shape on one colour, often with a hole.
#[test]
fn flat_pictures_have_masks_and_all_of_them_are_judged() {
    let mut segmenter = Segmenter::load(
        &CheckpointSource::Embedded,
        DeviceSpec::Cpu,
        &SegmenterOptions::default(),
    )
    .unwrap();
    let (width, height) = segmenter.input_size(640, 360);
    let mut state = 7u64;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % end
    };
    for round in 0..150 {
        let mut color = || [0; 3].map(|_| below(256) as f32 / 127.5 - 1.0);
        let (ground, shape) = (color(), color());
        let (left, top) = (below(width), below(height));
        let (right, bottom, round_shape) = (left + 1 + below(width / 2), top + 1 + below(height / 2), below(2) == 1);
        let hole = below(10) as f32 / 10.0;
        let inside = |x: usize, y: usize| {
            let along = |at: usize, from: usize, to: usize| 2.0 * (at as f32 - from as f32) / (to - from) as f32 - 1.0;
            let (u, v) = (along(x, left, right), along(y, top, bottom));
            let far = if round_shape {
                (u * u + v * v).sqrt()
            } else {
                u.abs().max(v.abs())
            };
            (hole..1.0).contains(&far)
        };
        let data = (0..3 * width * height)
            .map(|at| {
                let (channel, pixel) = (at / (width * height), at % (width * height));
                if inside(pixel % width, pixel / width) {
                    shape[channel]
                } else {
                    ground[channel]
                }
            })
            .collect();
        let maps = segmenter.segment(&[InputImage { width, height, data }]).unwrap();
        assert!(maps[0].sums_to_one(), "picture {round}");
    }
    assert_eq!(segmenter.unjudged(), 0);
}
