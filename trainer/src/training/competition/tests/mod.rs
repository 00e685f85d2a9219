use super::*;
use crate::data::order::{Stream, random};
use crate::recipe::{FrameEdges, Sight};
use crate::training::competition::sight::in_frame;
use crate::training::testing::noise;
use factorseg_model::ScheduleConfig;

#[test]
fn shares_add_up() {
    let competition = Competition {
        foreground: (0.3, 0.6),
        ..Competition::default()
    };
    let mut chance = random(1, Stream::Masks, 0);
    for regions in 2..5 {
        assert_eq!(exported_shares(&competition, regions).len(), regions);
        let all: Vec<Vec<f64>> = (0..50).map(|_| shares(&competition, regions, &mut chance)).collect();
        for shares in &all {
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9 && (0.4..=0.7).contains(&shares[0]));
            assert!(shares.iter().all(|share| *share > 0.0));
        }
        let equal = all.iter().all(|shares| (shares[1] - shares[regions - 1]).abs() < 1e-9);
        assert!(equal);
    }
    assert_eq!(competition.foreground_regions(3), 1..3);
}

#[test]
fn what_lies_below_has_its_own_share_and_is_not_foreground() {
    let competition = Competition {
        foreground: (0.6, 0.6),
        bottom: 0.1,
        ..Competition::default()
    };
    for (found, expected) in exported_shares(&competition, 4).iter().zip([0.3, 0.3, 0.3, 0.1]) {
        assert!((found - expected).abs() < 1e-9);
    }
    assert_eq!(competition.foreground_regions(4), 1..3);
}

fn part(images: usize, side: usize) -> MicroBatch {
    let schedule = NoiseSchedule::new(&ScheduleConfig::default());
    let (clean, noise) = (noise(6, images * 3 * side * side), noise(7, images * 3 * side * side));
    let (a, b) = schedule.mix(30);
    MicroBatch {
        size: images,
        noised: clean
            .iter()
            .zip(&noise)
            .map(|(x, e)| (a * f64::from(*x) + b * f64::from(*e)) as f32)
            .collect(),
        noise,
        timesteps: vec![30; images],
        classes: vec![4; images],
        targets: Vec::new(),
    }
}

/// The pixels of a picture 16 pixels wide that touch one, and itself.
fn neighbours(plain: usize) -> impl Iterator<Item = usize> {
    let (image, x, y) = (plain / 256, plain % 16, plain / 16 % 16);
    (y.saturating_sub(1)..(y + 2).min(16))
        .flat_map(move |y| (x.saturating_sub(1)..(x + 2).min(16)).map(move |x| image * 256 + y * 16 + x))
}

#[test]
fn branches_see_their_own_region_the_frame_and_hidden_blocks() {
    let schedule = NoiseSchedule::new(&ScheduleConfig::default());
    let part = part(2, 16);
    for (background, centre, surroundings, bottom, shares) in [
        (Sight::Frame, 0.0, (0.0, 0.0), 0.0, vec![0.7, 0.3]),
        (Sight::Frame, 0.0, (0.0, 0.0), 0.0, vec![0.4, 0.3, 0.3]),
        (Sight::Region, 0.0, (0.0, 0.0), 0.0, vec![0.4, 0.3, 0.3]),
        // Next to the region before: across an edge or a corner.
        (Sight::Frame, 0.2, (0.0, 1.5 / 16.0), 0.0, vec![0.4, 0.1, 0.2, 0.3]),
        (Sight::Frame, 0.2, (0.0, 1.5 / 16.0), 0.2, vec![0.4, 0.2, 0.2, 0.2]),
    ] {
        let competition = Competition {
            background,
            centre,
            surroundings,
            bottom,
            ..Competition::default()
        };
        let count = shares.len();
        let regions = Regions::new(&noise(8, 2 * count * 256), 256, &shares, 1.0);
        let chance = &mut random(1, Stream::Masks, 0);
        let branches = Branches::new(&part, &regions, &competition, &schedule, chance);
        let (values, frame) = (part.noised.len(), in_frame(16, competition.frame, FrameEdges::All));
        assert_eq!(
            (branches.noised.len(), &branches.classes),
            (count * values, &vec![4; 2 * count])
        );
        let clean = noise(6, values);
        let (a, b) = schedule.mix(30);
        let mut counts = vec![0; count + 1];
        for plain in 0..512 {
            let at = plain / 256 * 768 + plain % 256;
            let weak = |at: usize| (a * f64::from(clean[at]) + b * f64::from(branches.noise[at])) as f32;
            for region in 0..count {
                let found = branches.noised[region * values + at];
                if branches.hidden[plain] {
                    assert_eq!(found, branches.noised[at]);
                    counts[count] += 1;
                } else {
                    let seen = if region == 0 && background == Sight::Frame {
                        frame[plain % 256]
                    } else if region == 3 && bottom > 0.0 {
                        (2..14).contains(&(plain % 16)) && plain % 256 >= 14 * 16
                    } else if region == 1 && centre > 0.0 {
                        let from_middle = |at: usize| (at as f64 + 0.5) / 16.0 - 0.5;
                        from_middle(plain % 16).hypot(from_middle(plain / 16 % 16)) <= centre
                    } else if region > 1 && surroundings.1 > 0.0 {
                        let inner = |label: usize| (1..region).contains(&label);
                        !inner(regions.label(plain)) && neighbours(plain).any(|near| inner(regions.label(near)))
                    } else {
                        regions.label(plain) == region
                    };
                    // In all channels: pure noise may come near in one.
                    let near = |at: usize| (branches.noised[region * values + at] - weak(at)).abs() < 1e-3;
                    assert_eq!([at, at + 256, at + 512].into_iter().all(near), seen);
                    counts[region] += usize::from(seen);
                }
            }
        }
        assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    }
}

#[test]
fn a_pixel_goes_to_the_branch_that_errs_less() {
    let schedule = NoiseSchedule::new(&ScheduleConfig::default());
    let part = part(2, 16);
    let competition = Competition {
        smoothing: 0.0,
        ..Competition::default()
    };
    for shares in [vec![0.7, 0.3], vec![0.4, 0.3, 0.3]] {
        let count = shares.len();
        let regions = Regions::new(&noise(8, 2 * count * 256), 256, &shares, 1.0);
        let chance = &mut random(1, Stream::Masks, 0);
        let branches = Branches::new(&part, &regions, &competition, &schedule, chance);
        let values = part.noised.len();
        // Every branch errs by 1, but for one: the last on the left half of each picture, the first on the right.
        let good = |at: usize| if at % 16 < 8 { count - 1 } else { 0 };
        let mut predicted = branches.noise.repeat(count);
        for (place, value) in predicted.iter_mut().enumerate() {
            let (region, at) = (place / values, place % values);
            *value += f32::from(u8::from(region != good(at)));
        }
        let found = branches.compare(&predicted, &regions, &competition);
        let (mut expected, mut hidden) = (0.0, 0.0);
        for plain in 0..512 {
            let slope = |region: usize| found.mask_slopes[(plain / 256 * count + region) * 256 + plain % 256];
            if branches.hidden[plain] {
                let best = (0..count).min_by(|a, b| slope(*a).total_cmp(&slope(*b)));
                assert_eq!(best, Some(good(plain)));
                let mask = regions.masks()[(plain / 256 * count + good(plain)) * 256 + plain % 256];
                expected += 1.0 - f64::from(mask);
                hidden += 1.0;
            } else {
                assert!((0..count).all(|region| slope(region) == 0.0));
            }
        }
        assert!((found.loss - expected / hidden).abs() < 1e-6);
        let size: f64 = found.mask_slopes.iter().map(|slope| f64::from(slope.abs())).sum();
        assert!((size - 1.0).abs() < 1e-3);
        // The gradient by the predictions is that of the loss.
        let at = (0..256).find(|at| branches.hidden[*at] && at % 16 >= 8).unwrap();
        let step = 1e-2;
        let mut moved = predicted.clone();
        moved[values + at] += step;
        let change = branches.compare(&moved, &regions, &competition).loss - found.loss;
        let expected = f64::from(found.slopes[values + at]) * f64::from(step);
        assert!((change - expected).abs() < 0.02 * expected.abs(), "{change} {expected}");
    }
}

#[test]
fn smoothing_keeps_a_constant_and_spreads_a_point() {
    let mut constant = vec![2.0; 64];
    smooth(&mut constant, 8, 1.0);
    assert!(constant.iter().all(|value| (value - 2.0).abs() < 1e-6));
    let mut point = vec![0.0; 81];
    point[40] = 1.0;
    smooth(&mut point, 9, 1.0);
    assert!(point[40] > point[41] && (point[41] - point[31]).abs() < 1e-7 && point[41] > point[42]);
}
