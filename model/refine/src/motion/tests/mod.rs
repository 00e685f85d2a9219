use super::*;

/// Blobs of brightness of so many pixels each way, 0 to 1.
fn texture((x, y): (usize, usize), blob: usize) -> f32 {
    ((x / blob * 7919 + y / blob * 104_729) % 97) as f32 / 97.0
}

/// The regions of the last of some frames, of which the network says 0.4 everywhere.
fn followed(frames: impl Iterator<Item = InputImage>) -> RegionMap {
    let mut masks = MotionModel::default();
    frames.fold(unsure(), |_, frame| {
        masks.refine(&frame, &unsure(), &[false, true, true])
    })
}

/// Blobs of brightness on a frame with masks of 64x48, whose reddish square of 16 of their pixels has moved to the right
/// by `moved`.
fn frame(moved: usize) -> InputImage {
    torn(moved, moved, 1)
}

/// [`frame`] `larger` times as large, the upper three quarters of whose square have moved by `upper` and the lowest by `lower`.
fn torn(upper: usize, lower: usize, larger: usize) -> InputImage {
    let (width, height) = (128 * larger, 96 * larger);
    let plane = |red: f32| {
        (0..width * height).map(move |at| {
            let (x, y) = (at % width / 2, at / width / 2);
            let moved = if y < 28 * larger { upper } else { lower };
            let (first, last) = (12 * larger + moved, 28 * larger + moved);
            let square = (first..last).contains(&x) && (16 * larger..32 * larger).contains(&y);
            let place = if square { (x - moved + 1000, y) } else { (x, y) };
            texture(place, 3) - 0.5 + if square { red } else { 0.0 }
        })
    };
    InputImage {
        width,
        height,
        data: plane(0.4).chain(plane(-0.2)).chain(plane(-0.2)).collect(),
    }
}

/// Three regions: background, and two that share what is left as 3 to 1.
fn unsure() -> RegionMap {
    let cells = 32 * 24;
    let mut probabilities = vec![0.6; cells];
    probabilities.resize(2 * cells, 0.3);
    probabilities.resize(3 * cells, 0.1);
    RegionMap {
        regions: 3,
        width: 32,
        height: 24,
        probabilities,
    }
}

#[test]
fn what_moves_becomes_the_object_and_parts_keep_their_shares() {
    let (map, pixels) = (followed((0..4).map(|at| frame(2 * at))), 64 * 48);
    assert_eq!((map.regions, map.width, map.height), (3, 64, 48));
    let at = |region: usize, x: usize, y: usize| map.probabilities[region * pixels + y * 64 + x];
    let object = |x, y| at(1, x, y) + at(2, x, y);
    // The square is at 18..34 now.
    assert!(object(26, 24) > 0.8, "{}", object(26, 24));
    assert!(
        object(50, 10) < 0.2 && object(4, 44) < 0.2,
        "{} {}",
        object(50, 10),
        object(4, 44)
    );
    for (x, y) in [(26, 24), (50, 10), (0, 0)] {
        assert!((object(x, y) + at(0, x, y) - 1.0).abs() < 1e-5);
        assert!((at(1, x, y) / at(2, x, y) - 3.0).abs() < 1e-3);
    }
}

/// Intersection over union of what is not background and the square where it has stopped, at 26..42.
fn overlap_with_the_square(map: &RegionMap) -> f32 {
    let (mut both, mut either) = (0, 0);
    for (at, background) in map.probabilities[..64 * 48].iter().enumerate() {
        let truth = (26..42).contains(&(at % 64)) && (16..32).contains(&(at / 64));
        let found = *background < 0.5;
        both += usize::from(truth && found);
        either += usize::from(truth || found);
    }
    both as f32 / either as f32
}

/// Less bright and dark than the square is red, so that it stands apart from the border.
fn calm(mut frame: InputImage) -> InputImage {
    let pixels = frame.width * frame.height;
    for at in 0..pixels {
        let mean = (0..3).map(|channel| frame.data[channel * pixels + at]).sum::<f32>() / 3.0;
        (0..3).for_each(|channel| frame.data[channel * pixels + at] -= 0.7 * mean);
    }
    frame
}

#[test]
fn a_part_of_the_object_that_rests_stays_the_object() {
    let together = (0..12).map(|at| torn(2 * at, 2 * at, 2));
    // The lowest quarter, at 46..78, stands still while the upper one goes on.
    let map = followed(together.chain((1..3).map(|at| torn(22 + at, 22, 2))).map(calm));
    let rests = (57..62).flat_map(|y| (56..76).map(move |x| y * 128 + x));
    let background = rests.map(|at| map.probabilities[at]).sum::<f32>() / 100.0;
    assert!(background < 0.5, "{background}");
}

/// [`frame`] with a second square of the same looks, below on the right, that goes up and down.
fn two(moved: usize, second: usize) -> InputImage {
    let mut picture = frame(moved);
    let below = torn(0, 0, 1);
    let pixels = picture.width * picture.height;
    // The square of `below`, from 24 to 56 across and 32 to 64 down.
    for channel in 0..3 {
        for (y, x) in (0..28).flat_map(|y| (0..24).map(move |x| (y, x))) {
            let there = channel * pixels + (66 - 2 * second + y) * picture.width + 100 + x;
            picture.data[there] = below.data[channel * pixels + (34 + y) * picture.width + 26 + x];
        }
    }
    picture
}

/// In front of a camera that stands one object stops for good while another goes on.
#[test]
fn an_object_that_stops_while_another_moves_stays_an_object() {
    let up_and_down = |at: usize| if at % 8 < 4 { at % 4 } else { 4 - at % 4 };
    let moves = (0..8).map(|at| two(2 * at, up_and_down(at)));
    let map = followed(moves.chain((8..60).map(|at| two(14, up_and_down(at)))).map(calm));
    // The first square stands at 26..42, 16..32.
    let stands = (18..30).flat_map(|y| (28..40).map(move |x| y * 64 + x));
    let background = stands.map(|at| map.probabilities[at]).sum::<f32>() / 144.0;
    assert!(background < 0.5, "{background}");
    let beside = (2..14).flat_map(|y| (2..20).map(move |x| y * 64 + x));
    let background = beside.map(|at| map.probabilities[at]).sum::<f32>() / 216.0;
    assert!(background > 0.8, "{background}");
}

/// The network says 0.4 everywhere: without memory the square is gone within a dozen frames.
#[test]
fn an_object_that_stops_stays_the_object() {
    let mut masks = MotionModel::default();
    // The square goes 14 pixels to the right, to 26..42, and stands still for two seconds.
    for moved in 0..8 {
        masks.refine(&frame(2 * moved), &unsure(), &[false, true, true]);
    }
    let mut map = unsure();
    for _ in 0..50 {
        map = masks.refine(&frame(14), &unsure(), &[false, true, true]);
    }
    let overlap = overlap_with_the_square(&map);
    assert!(overlap > 0.6, "{overlap}");
    // Another scene begins with nothing.
    masks.reset();
    let map = masks.refine(&frame(14), &unsure(), &[false, true, true]);
    assert!(map.probabilities[..64 * 48].iter().all(|p| (p - 0.6).abs() < 1e-3));
}

/// Before it stands still an object slows down, and its motion tells less and less against what has the same colours elsewhere.
#[test]
fn an_object_that_slows_down_does_not_spread() {
    // Smooth and still, in pixels of masks of 128x96. The square comes from the left to 52..84, 32..64.
    let stone = |x: usize, y: usize| (84..108).contains(&x) && (32..64).contains(&y);
    let mut network = unsure();
    for at in (0..32 * 24).filter(|at| stone(at % 32 * 4, at / 32 * 4)) {
        network.probabilities[at] = 0.1;
        network.probabilities[32 * 24 + at] = 0.8;
    }
    let scene = |moved: f32| {
        let [before, mut scene] = [0, 1].map(|more| torn(moved as usize + more, moved as usize + more, 2));
        for (value, before) in scene.data.iter_mut().zip(&before.data) {
            *value = before + moved.fract() * (*value - before);
        }
        for at in (0..256 * 192).filter(|at| stone(at % 256 / 2, at / 256 / 2)) {
            for (channel, tint) in [0.4, -0.2, -0.2].into_iter().enumerate() {
                let value = &mut scene.data[256 * 192 * channel + at];
                *value = 0.2 * *value + tint;
            }
        }
        calm(scene)
    };
    let mut masks = MotionModel::default();
    let (fast, slow) = ((0..24).map(|at| at as f32), (1..16).map(|at| 23.0 + 0.35 * at as f32));
    let map = fast.chain(slow).fold(unsure(), |_, moved| {
        masks.refine(&scene(moved), &network, &[false, true, true])
    });
    let object = |wanted: &dyn Fn(usize, usize) -> bool| {
        let places = (0..128 * 96).filter(|at| wanted(at % 128, at / 128));
        let background: Vec<f32> = places.map(|at| map.probabilities[at]).collect();
        1.0 - background.iter().sum::<f32>() / background.len() as f32
    };
    assert!(object(&stone) < 0.5, "{}", object(&stone));
    let inside = |x, y| (56..80).contains(&x) && (36..60).contains(&y);
    assert!(object(&inside) > 0.7, "{}", object(&inside));
}

#[test]
fn a_still_video_is_the_networks() {
    let map = followed((0..3).map(|_| frame(0)));
    let worst = map.probabilities[..64 * 48]
        .iter()
        .map(|p| (p - 0.6).abs())
        .fold(0.0, f32::max);
    assert!(worst < 1e-3, "{worst}");
}

/// The camera pans, and the network has seen the first frame alone.
#[test]
fn what_the_network_said_comes_along_with_the_picture() {
    let scene = |moved: usize| {
        let values = (0..3 * 128 * 96).map(|at| {
            let (x, y) = ((at % 128) as f32 / 2.0 - moved as f32, (at / 128 % 96) as f32 / 2.0);
            0.3 * (0.5 * x + 0.3 * y).sin() + 0.3 * (0.4 * y - 0.3 * x).sin() + 0.2 * (0.13 * x + 0.7 * y).sin()
        });
        InputImage {
            width: 128,
            height: 96,
            data: values.collect(),
        }
    };
    let said = |moved: usize| {
        let object = (0..64 * 48).map(|at| {
            if (16..32).contains(&((at + 64 - moved) % 64)) {
                0.9
            } else {
                0.1
            }
        });
        RegionMap {
            regions: 2,
            width: 64,
            height: 48,
            probabilities: object.clone().map(|p| 1.0 - p).chain(object).collect(),
        }
    };
    let (mut told, mut followed) = (MotionModel::default(), MotionModel::default());
    assert_eq!(followed.follow(&scene(0), &[false, true]), None, "it has seen nothing");
    followed.refine(&scene(0), &said(0), &[false, true]);
    told.refine(&scene(0), &said(0), &[false, true]);
    for moved in 1..9 {
        let followed = followed.follow(&scene(moved), &[false, true]).unwrap();
        let told = told.refine(&scene(moved), &said(moved), &[false, true]);
        assert_eq!((followed.width, followed.height), (64, 48));
        let pairs = followed.probabilities.iter().zip(&told.probabilities);
        let difference = pairs.map(|(a, b)| (a - b).abs()).sum::<f32>() / told.probabilities.len() as f32;
        // 0.02 after eight frames where it stays in its place.
        assert!(difference < 0.005, "{moved}: {difference}");
    }
}

#[test]
fn a_scene_begins_with_a_frame_that_the_network_sees() {
    let parts = [false, true, true];
    let begun = || {
        let mut masks = MotionModel::default();
        masks.refine(&frame(0), &unsure(), &parts);
        masks
    };
    assert!(begun().follow(&frame(1), &parts).is_some());
    let white = InputImage {
        data: vec![1.0; 3 * 128 * 96],
        ..frame(0)
    };
    let torn = InputImage {
        data: vec![0.0; 5],
        ..frame(0)
    };
    for (frame, foreground) in [
        (white, &parts[..]),
        (torn, &parts[..]),
        (self::torn(0, 0, 2), &parts[..]),
        (frame(1), &[false, true]),
        (frame(1), &[true; 3]),
    ] {
        let mut masks = begun();
        assert_eq!(masks.follow(&frame, foreground), None);
        assert_eq!(
            masks.follow(&self::frame(1), &parts),
            None,
            "nothing is left of the scene before"
        );
    }
}

/// A stone: red, so that it stands apart, and even, so that motion would not be seen on it. What is around it stands still.
#[test]
fn what_is_smooth_and_surrounded_by_what_stands_still_is_no_object() {
    let scene = |moved: usize| {
        let plane = |stone: f32| {
            (0..128 * 96).map(move |at| {
                let (x, y) = (at % 128, at / 128);
                let square = (10 + moved..42 + moved).contains(&x) && (32..64).contains(&y);
                match ((80..120).contains(&x) && (28..68).contains(&y), square) {
                    (true, _) => stone,
                    (_, true) => 0.3 * (texture((x - moved + 1000, y), 3) - 0.5),
                    _ => 0.3 * (texture((x, y), 3) - 0.5),
                }
            })
        };
        InputImage {
            data: plane(0.9).chain(plane(-0.8)).chain(plane(-0.8)).collect(),
            ..frame(0)
        }
    };
    let map = followed((0..8).map(scene));
    // The stone is at 40..60 and 14..34 of the masks.
    let background = map.probabilities[24 * 64 + 50];
    assert!(background > 0.8, "{background}");
}

#[test]
fn colours_judge_until_motion_has_shown_the_object() {
    let foreground = [false, true, true];
    let still = calm(frame(0));
    let mut by_colors = unsure();
    ColorModel::default().refine(&MotionModel::network_input(&still), &mut by_colors, &foreground);
    let alone = MotionModel::default().refine(&still, &by_colors, &foreground);
    let mut colored = MotionModel {
        colors: Some(ColorModel::default()),
        ..MotionModel::default()
    };
    for _ in 0..3 {
        assert_eq!(colored.refine(&still, &unsure(), &foreground), alone);
    }
    // Of two regions nothing is left to tell once motion has shown which is the object.
    let map = RegionMap {
        regions: 2,
        probabilities: [vec![0.6; 32 * 24], vec![0.4; 32 * 24]].concat(),
        ..unsure()
    };
    let mut plain = MotionModel::default();
    colored.reset();
    let judged: Vec<(RegionMap, RegionMap)> = (0..4)
        .map(|at| calm(frame(2 * at)))
        .map(|frame| [&mut colored, &mut plain].map(|model| model.refine(&frame, &map, &[false, true])))
        .map(|[colored, plain]| (colored, plain))
        .collect();
    assert_eq!(plain.evidence(), 1.0);
    assert_ne!(judged[0].0, judged[0].1);
    assert_eq!(judged[3].0, judged[3].1);
}

/// The network says 0.4 everywhere, and the inside of an even object shows no motion.
#[test]
fn what_stands_apart_belongs_to_what_moves() {
    let scene = |moved: usize| {
        let inside = move |at: usize| (20 + moved..60 + moved).contains(&(at % 128)) && (24..72).contains(&(at / 128));
        let ground = |at: usize| texture((at % 128, at / 128), 6) / 10.0;
        let plane = move |value: f32| (0..128 * 96).map(move |at| if inside(at) { value } else { ground(at) });
        InputImage {
            data: plane(0.9).chain(plane(-0.8)).chain(plane(-0.8)).collect(),
            ..frame(0)
        }
    };
    let map = followed((0..4).map(|at| scene(4 * at)));
    let background = |x: usize, y: usize| map.probabilities[y * 64 + x];
    // The object is at 16..36 and 12..36 of the masks now.
    assert!(background(26, 24) < 0.2, "{}", background(26, 24));
    assert!(background(50, 24) > 0.8 && background(26, 5) > 0.8);
}

/// A textured frame around an inside without any moves to the right. Flow finds nothing to follow inside and says that it stands still.
#[test]
fn what_is_smooth_does_not_tell_that_it_stood_still() {
    let scene = |moved: usize| {
        let plane = (0..128 * 96).map(move |at| {
            let (x, y) = (at % 128, at / 128);
            let inside = |margin: usize| {
                (24 + margin + moved..88 - margin + moved).contains(&x) && (16 + margin..80 - margin).contains(&y)
            };
            match (inside(0), inside(6)) {
                (_, true) => 0.0,
                (true, _) => texture((x - moved + 1000, y), 3) - 0.5,
                _ => texture((x, y), 3) - 0.5,
            }
        });
        InputImage {
            data: [plane.clone(), plane.clone(), plane].into_iter().flatten().collect(),
            ..frame(0)
        }
    };
    let map = followed((0..4).map(|at| scene(4 * at)));
    // The object is at 18..50 and 8..40 of the masks now.
    let background = |x: usize, y: usize| map.probabilities[y * 64 + x];
    assert!(background(34, 24) < 0.5, "{}", background(34, 24));
    assert!(
        background(4, 24) > 0.8 && background(60, 24) > 0.8,
        "{} {}",
        background(4, 24),
        background(60, 24)
    );
}

/// A reddish square of a hundredth of the picture moves. The network says 0.4 everywhere.
#[test]
fn what_is_very_small_and_moves_is_the_object() {
    let scene = |moved: usize| {
        let plane = |red: f32| {
            (0..320 * 192).map(move |at| {
                let (x, y) = (at % 320, at / 320);
                let square = (100 + moved..124 + moved).contains(&x) && (80..104).contains(&y);
                let x = if square { x - moved + 1000 } else { x };
                texture((x, y), 6) - 0.5 + if square { red } else { 0.0 }
            })
        };
        InputImage {
            width: 320,
            height: 192,
            data: plane(0.4).chain(plane(-0.2)).chain(plane(-0.2)).collect(),
        }
    };
    let map = followed((0..5).map(|at| scene(4 * at)));
    // The square is at 58..70 and 40..52 of the masks now.
    let background = |x: usize, y: usize| map.probabilities[y * 160 + x];
    assert!(background(64, 46) < 0.3, "{}", background(64, 46));
    let elsewhere = [background(20, 20), background(64, 70), background(120, 46)];
    assert!(elsewhere.iter().all(|p| *p > 0.7), "{elsewhere:?}");
}

/// Patches of water each go their own way; the square is held by the camera, and moves less than they do.
#[test]
fn what_moves_with_order_in_water_is_the_object() {
    let square = |x: usize, y: usize| (20..36).contains(&x) && (16..32).contains(&y);
    let water = |x: usize, y: usize| (((x / 2 + 99 * (y / 2)) as u32).wrapping_mul(2_654_435_761) >> 24) as f32 / 32.0;
    let flow = Flow {
        x: Plane::from_fn(64, 48, |x, y| if square(x, y) { 4.5 } else { water(x, y) }),
        y: Plane::from_fn(64, 48, |x, y| if square(x, y) { 3.5 } else { water(y + 100, x) }),
    };
    let brightness = Plane::from_fn(64, 48, |x, y| 200.0 * texture((x, y), 3));
    let nothing = Plane::filled(64, 48, 0.0);
    let judged =
        Evidence::of(&flow, &nothing, &brightness, false).weigh(&nothing, &nothing, &Plane::filled(64, 48, 1.0), 0.0);
    let at = |x: usize, y: usize| judged.row(y)[x];
    for (x, y) in [(25, 21), (28, 24), (31, 27)] {
        assert!(at(x, y) > 1.0, "{}", at(x, y));
    }
    for (x, y) in [(5, 5), (50, 24), (28, 42), (60, 44)] {
        assert!(at(x, y) < -1.0, "{}", at(x, y));
    }
}

/// The camera follows an aircraft. Flow of a plain sky is noise, which moves as little as nothing.
#[test]
fn a_plain_sky_moves_nothing() {
    let evidence = |sky: f32| {
        let aircraft = |x: usize, y: usize| (24..40).contains(&x) && (20..28).contains(&y);
        let noise = |x: usize, y: usize| {
            if texture((x, y), 6) > 0.9 {
                4.0
            } else {
                texture((x, y), 1) / 5.0
            }
        };
        let flow = Flow {
            x: Plane::from_fn(64, 48, |x, y| if aircraft(x, y) { 0.0 } else { noise(x, y) }),
            y: Plane::filled(64, 48, 0.0),
        };
        let brightness = Plane::from_fn(64, 48, |x, y| {
            100.0 + texture((x, y), 3) * if aircraft(x, y) { 100.0 } else { sky }
        });
        Evidence::of(&flow, &Plane::filled(64, 48, 1.0), &brightness, false).weight
    };
    // Aircraft and what is around it are a fifth of this picture.
    assert!(evidence(2.0) < 0.75, "{}", evidence(2.0));
    // With something to follow all over the picture the same flow tells all.
    assert!(evidence(100.0) == 1.0, "{}", evidence(100.0));
}

/// A scene that stands still, seen by a sensor whose noise is as large as a fifth of its contrast.
#[test]
fn noise_is_no_motion() {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 2.0f32.powi(24) - 0.5
    };
    let mut masks = MotionModel::default();
    for _ in 0..6 {
        let still = frame(0);
        let noisy = InputImage {
            data: still.data.iter().map(|value| value + 0.4 * noise()).collect(),
            ..still
        };
        masks.refine(&noisy, &unsure(), &[false, true, true]);
        assert!(masks.evidence() < 0.2, "{}", masks.evidence());
    }
}

/// A helicopter flies in a plain sky over a landscape that stands still. The noise in the flow of the sky is as large as its motion.
#[test]
fn what_flies_in_a_plain_sky_is_seen_moving() {
    let helicopter = |x: usize, y: usize| (28..36).contains(&x) && (8..14).contains(&y);
    let sky = |y: usize| y < 28;
    let flow = Flow {
        x: Plane::from_fn(64, 48, |x, y| match (helicopter(x, y), sky(y)) {
            (true, _) => 2.0,
            (_, true) => 2.5 * texture((x, y), 6),
            _ => 0.0,
        }),
        y: Plane::filled(64, 48, 0.0),
    };
    let contrast = |x: usize, y: usize| if sky(y) && !helicopter(x, y) { 2.0 } else { 100.0 };
    let brightness = Plane::from_fn(64, 48, |x, y| 100.0 + texture((x, y), 3) * contrast(x, y));
    let nothing = Plane::filled(64, 48, 0.0);
    let evidence = Evidence::of(&flow, &nothing, &brightness, false);
    assert!(
        evidence.weight > 0.8 && evidence.level < 2.2,
        "{} {}",
        evidence.weight,
        evidence.level
    );
    let judged = evidence.weigh(&nothing, &nothing, &Plane::filled(64, 48, 1.0), 0.0);
    assert!(judged.row(11)[32] > 0.5, "{}", judged.row(11)[32]);
    assert!(judged.row(40).iter().all(|log_odds| *log_odds < -1.0));
}

#[test]
fn without_an_object_nothing_is_judged() {
    let mut masks = MotionModel::default();
    for foreground in [&[true; 3][..], &[false; 3], &[true, false]] {
        assert_eq!(masks.refine(&frame(0), &unsure(), foreground), unsure());
    }
    let torn = InputImage {
        data: vec![0.0; 5],
        ..frame(0)
    };
    assert_eq!(masks.refine(&torn, &unsure(), &[false, true, true]), unsure());
    let torn = RegionMap {
        probabilities: vec![0.5; 7],
        ..unsure()
    };
    assert_eq!(masks.refine(&frame(0), &torn, &[false, true, true]), torn);
}

/// The network takes everything for the object: what the object looked like holds it while it stands still.
#[test]
fn an_object_that_stops_is_known_by_its_looks() {
    let everything = RegionMap {
        probabilities: [0.1, 0.9].into_iter().flat_map(|p| [p; 32 * 24]).collect(),
        regions: 2,
        ..unsure()
    };
    let mut masks = MotionModel::default();
    for moved in 0..8 {
        masks.refine(&frame(2 * moved), &everything, &[false, true]);
    }
    let mut map = everything.clone();
    for _ in 0..100 {
        map = masks.refine(&frame(14), &everything, &[false, true]);
    }
    let overlap = overlap_with_the_square(&map);
    assert!(overlap > 0.6, "{overlap}");
}
