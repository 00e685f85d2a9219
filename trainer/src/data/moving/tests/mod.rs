use super::*;
use factorseg_model::CheckpointSource;
use image::Rgb;

/// A textured square before a textured ground, with their motion in pixels a frame.
fn clip(own: i32, ground: i32) -> Vec<RgbImage> {
    let texture = |x: i32, y: i32, seed: i32| {
        let (x, y) = (x.div_euclid(5), y.div_euclid(5));
        ((x.wrapping_mul(7919) ^ y.wrapping_mul(104_729) ^ seed).wrapping_mul(2_654_435) >> 9 & 0x7f) as u8 + 40
    };
    let frame = |t: i32| {
        RgbImage::from_fn(224, 128, |x, y| {
            let (x, y, left) = (x as i32, y as i32, 60 + own * t);
            let is_object = (left..left + 50).contains(&x) && (40..90).contains(&y);
            let value = if is_object {
                texture(x - left, y, 5)
            } else {
                texture(x - ground * t, y, 0)
            };
            Rgb([value, if is_object { value / 2 } else { value }, value])
        })
    };
    (0..10).map(frame).collect()
}

#[test]
fn what_moves_on_its_own_is_found_and_a_still_scene_says_nothing() {
    let teacher = Teacher::load(CheckpointSource::Embedded).unwrap();
    let found = teacher.objects(&clip(3, 1)).unwrap();
    let sure: Vec<_> = found
        .iter()
        .enumerate()
        .filter_map(|(t, object)| Some((t, object.as_ref()?)))
        .collect();
    assert!(sure.len() >= 5, "{} of 10", sure.len());
    for (t, object) in sure {
        // In the grid of the motion model, which is finer than the frames by half.
        assert_eq!(object.dimensions(), (336, 192));
        let left = 60 + 3 * t as u32;
        let inside = |x: u32, y: u32| (left..left + 50).contains(&x) && (40..90).contains(&y);
        let (mut both, mut any) = (0, 0);
        for (x, y, value) in object.enumerate_pixels() {
            let (a, b) = (value.0[0] > 127, inside(x * 2 / 3, y * 2 / 3));
            both += usize::from(a && b);
            any += usize::from(a || b);
        }
        assert!(2 * both > any, "frame {t}: {both} of {any}");
    }
    assert!(teacher.objects(&clip(0, 0)).unwrap().iter().all(Option::is_none));
    assert!(teacher.objects(&[]).unwrap().is_empty());
}
