//! What comes out of every refinement is a mask, whatever the picture.

use factorseg_refine::temporal::smooth;
use factorseg_refine::{ColorModel, InputImage, MotionModel, RegionMap};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Flat, noisy, a shape on one colour, or far outside of the range.
fn picture(random: &mut Random, width: usize, height: usize) -> InputImage {
    let mut color = || [0; 3].map(|_| 2.0 * random.unit() - 1.0);
    let (ground, object) = (color(), color());
    let (kind, left, top) = (random.below(5), random.below(width), random.below(height));
    let mut data = vec![0.0; 3 * width * height];
    for (at, value) in data.iter_mut().enumerate() {
        let (channel, x, y) = (at / (width * height), at % width, at / width % height);
        let inside = (left..left + width / 3 + 1).contains(&x) && (top..top + height / 3 + 1).contains(&y);
        *value = match kind {
            0 => ground[channel],
            1 => 2.0 * random.unit() - 1.0,
            2 => [-1.0, 1.0][random.below(2)],
            3 => [-1e30, 1e30, 0.0, 1e-40][random.below(4)],
            _ if inside => object[channel],
            _ => ground[channel],
        };
    }
    InputImage { width, height, data }
}

/// Soft, sure, undecided, or sure to the last bit.
fn mask(random: &mut Random, regions: usize, width: usize, height: usize) -> RegionMap {
    let cells = width * height;
    let mut probabilities = vec![0.0; regions * cells];
    let kind = random.below(5);
    let (left, top) = (random.below(width), random.below(height));
    for cell in 0..cells {
        let inside = (left..left + width / 3 + 1).contains(&(cell % width))
            && (top..top + height / 3 + 1).contains(&(cell / width));
        let winner = if kind == 4 {
            usize::from(inside) % regions
        } else {
            random.below(regions)
        };
        let values: Vec<f32> = (0..regions)
            .map(|region| match kind {
                0 => 1.0,
                1 => random.unit() + 1e-6,
                2 | 4 if region == winner => 1.0,
                2 => 0.0,
                4 => 1e-7 * random.unit(),
                _ => (20.0 * random.unit() - 20.0).exp(),
            })
            .collect();
        let sum: f32 = values.iter().sum();
        for (region, value) in values.iter().enumerate() {
            probabilities[region * cells + cell] = value / sum;
        }
    }
    RegionMap {
        regions,
        width,
        height,
        probabilities,
    }
}

fn assert_is_mask(map: &RegionMap, what: &str, round: u64) {
    let cells = map.width * map.height;
    for (at, p) in map.probabilities.iter().enumerate() {
        assert!(p.is_finite() && (0.0..=1.0).contains(p), "{what} {round}: {p} at {at}");
    }
    for cell in 0..cells {
        let sum: f32 = (0..map.regions)
            .map(|region| map.probabilities[region * cells + cell])
            .sum();
        assert!((sum - 1.0).abs() < 1e-4, "{what} {round}: sum {sum}");
    }
}

#[test]
fn every_refinement_of_every_picture_is_a_mask() {
    let sizes = [(1, 1), (1, 7), (2, 1), (2, 2), (3, 5), (16, 8), (28, 16), (33, 9)];
    let mut judged = 0;
    for round in 0..1500 {
        let mut random = Random(round);
        let (width, height) = sizes[random.below(sizes.len())];
        let regions = 1 + random.below(5);
        let foreground: Vec<bool> = (0..regions).map(|_| random.below(2) == 1).collect();
        let (mut colors, mut motion) = (ColorModel::default(), MotionModel::default());
        let mut previous: Option<RegionMap> = None;
        for _ in 0..3 {
            let mut map = mask(&mut random, regions, width, height);
            assert_is_mask(&map, "the test's", round);
            colors.refine(&picture(&mut random, width, height), &mut map, &foreground);
            assert_is_mask(&map, "colours", round);
            let frame = MotionModel::frame_size((width, height));
            map = motion.refine(&picture(&mut random, frame.0, frame.1), &map, &foreground);
            assert_is_mask(&map, "motion", round);
            if let Some(previous) = &previous {
                smooth(&mut map, previous, random.unit());
                assert_is_mask(&map, "smoothing", round);
            }
            assert_is_mask(
                &map.resized(1 + random.below(40), 1 + random.below(40)),
                "resizing",
                round,
            );
            previous = Some(map);
        }
        judged += u64::from(colors.unjudged() + motion.unjudged() == 0);
    }
    // Only pictures whose values are far outside of the range cannot be judged.
    assert!(judged > 600, "{judged} of 1500");
}

#[test]
fn a_picture_that_cannot_be_judged_keeps_the_networks_mask_and_is_counted() {
    let mut random = Random(1);
    let map = mask(&mut random, 3, 16, 8);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let broken = |width: usize, height: usize| {
            let mut image = InputImage {
                width,
                height,
                data: vec![0.1; 3 * width * height],
            };
            image.data[width * height / 2] = value;
            image
        };
        let (mut colors, mut motion) = (ColorModel::default(), MotionModel::default());
        let mut by_colors = map.clone();
        colors.refine(&broken(16, 8), &mut by_colors, &[]);
        assert!(
            by_colors == map && colors.unjudged() == 1,
            "{value}: {}",
            colors.unjudged()
        );
        for count in 1..3 {
            let by_motion = motion.refine(&broken(64, 32), &map, &[false, true, true]);
            assert!(
                by_motion == map && motion.unjudged() == count,
                "{value}: {}",
                motion.unjudged()
            );
        }
        // The next frame is judged, by itself.
        let good = InputImage {
            width: 64,
            height: 32,
            data: vec![0.1; 3 * 64 * 32],
        };
        assert_eq!(motion.refine(&good, &map, &[false, true, true]).width, 32);
    }
}

/// A hole whose pixels are background to the last bit is filled without a division by what rounding left.
#[test]
fn a_hole_that_is_surely_background_is_filled_with_probabilities() {
    for round in 0..400 {
        let mut random = Random(round);
        let (side, regions) = (28, 2 + random.below(4));
        let (from, to) = (6 + random.below(4), 18 + random.below(4));
        let within = |at: usize, margin: usize| {
            let (x, y) = (at % side, at / side);
            (from + margin..to - margin).contains(&x) && (from + margin..to - margin).contains(&y)
        };
        // The background's colour fills the ring's hole.
        let is_object = |at: usize| within(at, 0) && !within(at, 3);
        let mut color = || [0; 3].map(|_| 2.0 * random.unit() - 1.0);
        let (ground, object) = (color(), color());
        let data = (0..3 * side * side)
            .map(|at| {
                if is_object(at % (side * side)) {
                    object[at / (side * side)]
                } else {
                    ground[at / (side * side)]
                }
            })
            .collect();
        let image = InputImage {
            width: side,
            height: side,
            data,
        };
        let sure = 1.0 - 1e-5 * random.unit();
        let cells = side * side;
        let mut map = RegionMap {
            regions,
            width: side,
            height: side,
            probabilities: vec![0.0; regions * cells],
        };
        for cell in 0..cells {
            let winner = usize::from(is_object(cell));
            for region in 0..regions {
                map.probabilities[region * cells + cell] = if region == winner {
                    sure
                } else {
                    (1.0 - sure) / (regions - 1) as f32
                };
            }
        }
        let mut colors = ColorModel::default();
        colors.refine(&image, &mut map, &[]);
        assert_is_mask(&map, "hole", round);
        assert_eq!(colors.unjudged(), 0, "{round}");
    }
}
