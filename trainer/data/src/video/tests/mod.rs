use super::*;

/// A picture whose content depends on `scene`, shifted by `shift`.
fn scene(scene: usize, shift: usize) -> Pixels {
    let side = 32;
    let value = |x: usize, y: usize, channel: usize| {
        let (x, y) = ((x + shift) / 8, y / 8);
        ((((x * 7 + y * 13 + scene * 29 + channel * 3) * 2_654_435_761) >> 7) & 0xff) as u8
    };
    let data = (0..side * side * 3)
        .map(|i| value(i / 3 % side, i / 3 / side, i % 3))
        .collect();
    Pixels {
        width: side,
        height: side,
        data,
        object: None,
    }
}

fn choose(per_video: usize, pictures: &[(usize, usize)]) -> Frames {
    let mut chooser = Chooser::new(FrameOptions {
        per_video,
        ..FrameOptions::default()
    });
    for (index, (number, shift)) in pictures.iter().enumerate() {
        chooser.add(Duration::from_secs(index as u64), scene(*number, *shift));
    }
    chooser.finish(None)
}

#[test]
fn the_same_picture_is_taken_once() {
    let frames = choose(10, &[(0, 0), (0, 0), (1, 0), (0, 0), (1, 0)]);
    assert_eq!((frames.frames.len(), frames.seen), (2, 5));
}

#[test]
fn every_shot_keeps_a_frame_when_they_are_many() {
    let mut pictures = vec![(0, 0), (1, 0)];
    pictures.extend((0..20).map(|shift| (2, 2 * shift)));
    pictures.push((3, 0));
    let frames = choose(6, &pictures);
    assert_eq!(frames.frames.len(), 6);
    for number in [0, 1, 3] {
        let wanted = scene(number, 0);
        assert!(
            frames.frames.iter().any(|frame| frame.pixels == wanted),
            "scene {number}"
        );
    }
    assert!(frames.frames.windows(2).all(|pair| pair[0].time < pair[1].time));
}

#[test]
fn one_colour_is_no_picture() {
    let black = Pixels {
        width: 8,
        height: 8,
        data: vec![3; 192].into(),
        object: None,
    };
    let mut chooser = Chooser::new(FrameOptions::default());
    chooser.add(Duration::ZERO, black);
    assert!(chooser.finish(None).frames.is_empty());
}
