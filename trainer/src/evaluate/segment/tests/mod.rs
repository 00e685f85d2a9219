use super::*;
use crate::evaluate::testing::ByColour;
use image::Rgb;

/// Left half red, right half green, on 24 by 12.
fn halves() -> RgbImage {
    RgbImage::from_fn(24, 12, |x, _| Rgb(if x < 12 { [255, 0, 0] } else { [0, 255, 0] }))
}

#[test]
fn passes_run_at_multiples_of_the_stride_and_are_averaged() {
    let mut engine = ByColour::new();
    let passes = Passes::new(vec![1.0, 1.6], false, 4).unwrap();
    let map = segment(&mut engine, &[halves()], &passes).unwrap().remove(0);
    assert_eq!(engine.sizes, [(24, 12), (40, 20)]);
    assert_eq!((map.regions, map.width, map.height), (3, 24, 12));
    for pixel in 0..24 * 12 {
        let sum: f32 = (0..3).map(|region| map.probabilities[region * 24 * 12 + pixel]).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
    assert_eq!(map.probabilities[0], 1.0);
    assert!(Passes::new(vec![], true, 4).is_err() && Passes::new(vec![0.0], true, 4).is_err());
}

/// Training and segmentation give the network the same pixels of a picture.
#[test]
fn the_network_sees_a_picture_as_in_training() {
    for (width, height) in [(480, 270), (131, 97), (64, 64), (40, 50)] {
        let picture = RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 31 + y * 17) as u8, (x * y % 251) as u8, 9])
        });
        let trained = crate::data::decode::prepare(picture.clone().into(), 32);
        let seen = network_input(&picture, (trained.width, trained.height));
        for (at, value) in trained.data.iter().enumerate() {
            let seen = seen.data[at % 3 * trained.width * trained.height + at / 3];
            assert_eq!(seen, f32::from(*value) / 127.5 - 1.0, "{width}x{height}");
        }
    }
}

#[test]
fn the_mirrored_pass_is_turned_back() {
    let (mut once, mut twice) = (ByColour::new(), ByColour::new());
    let plain = segment(&mut once, &[halves()], &Passes::single()).unwrap();
    let flipped = segment(&mut twice, &[halves()], &Passes::new(vec![1.0], true, 1).unwrap()).unwrap();
    assert_eq!(twice.sizes.len(), 2);
    assert_eq!(plain, flipped);
}

/// Eight pictures of 48 megapixels are never in memory at once.
#[test]
fn large_pictures_come_alone_and_a_broken_one_ends_no_batch_before_it() {
    let sizes = [(2500, 2000), (2500, 2000), (8, 8), (8, 8), (8, 8)];
    let read = sizes
        .iter()
        .map(|(width, height)| Ok((RgbImage::new(*width, *height), ())));
    let found: Vec<usize> = batches(read, 2).map(|batch| batch.unwrap().len()).collect();
    assert_eq!(found, [1, 1, 2, 1]);
    let broken = || -> Result<(RgbImage, ())> { bail!("broken") };
    let found: Vec<bool> = batches([broken()].into_iter(), 2).map(|batch| batch.is_ok()).collect();
    assert_eq!(found, [false]);
}
