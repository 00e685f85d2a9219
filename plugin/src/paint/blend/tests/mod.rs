use super::*;
use crate::pixels::layout::{FORMATS, OwnedFrame, tests::layout};

#[test]
fn bytes_move_by_their_pixel_s_weight_in_every_format() {
    for format in FORMATS {
        for (width, height) in [(1, 1), (9, 7), (16, 4)] {
            let layout = layout(format, width, height);
            // The right half is foreground.
            let foreground: Vec<u8> = (0..width * height)
                .map(|i| if 2 * (i % width) >= width { 255 } else { 0 })
                .collect();
            let blend = |weight| Blend {
                weight,
                targets: Grids {
                    width: 1,
                    height: 1,
                    colors: [200.0, 20.0, 128.0].map(|value| Some(vec![value])),
                    alpha: Some(vec![0.0]),
                },
            };
            for (weight, left, right) in [
                (Weight::Foreground(1.0), 0.0, 1.0),
                (Weight::Foreground(0.25), 0.0, 0.25),
                (Weight::Background, 1.0, 0.0),
                (Weight::Seen(1.0), 1.0, 0.0),
            ] {
                let mut frame = OwnedFrame::new(&layout, 0, || 100);
                Blender::default().paint(&layout, &foreground, &blend(weight), &mut frame.write());
                for component in &layout.components {
                    let target = match component.channel {
                        Channel::Color(index) => [200.0, 20.0, 128.0][index],
                        Channel::Alpha => 0.0,
                    };
                    let (data, stride) = &frame.planes[component.plane];
                    let before = vec![100; data.len()];
                    for y in 0..component.height {
                        for (x, weight) in [(0, left), (component.width - 1, right)] {
                            // A single column is on the left.
                            let weight = if component.width == 1 { left } else { weight };
                            let value = |data: &[u8]| f64::from(component.get(&data[y * stride..], x));
                            let (got, old) = (value(data), value(&before));
                            let target = target / f64::from(component.unit());
                            let expected = old + (target - old) * weight;
                            assert!(
                                (got - expected).abs() < 1.1,
                                "{format:?} {component:?}: {got}, not {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_weight_of_zero_keeps_every_byte() {
    let layout = layout(gstreamer_video::VideoFormat::Gray8, 16, 16);
    let mut frame = OwnedFrame::new(&layout, 0, || 0);
    frame.planes[0].0 = (0..=255).collect();
    // One pixel of each row moves, the others are in between.
    let foreground: Vec<u8> = (0..256)
        .map(|i| if i % 16 == 0 || i % 16 == 15 { 255 } else { 0 })
        .collect();
    let blend = Blend {
        weight: Weight::Foreground(1.0),
        targets: Grids::of_colors(1, 1, &layout, |_| vec![7.0]),
    };
    Blender::default().paint(&layout, &foreground, &blend, &mut frame.write());
    for (i, byte) in frame.planes[0].0.iter().enumerate() {
        assert_eq!(usize::from(*byte), if foreground[i] == 255 { 7 } else { i });
    }
}

#[test]
fn every_foreground_weighs_what_its_definition_says() {
    let opacity = 0.3;
    let every: Vec<u8> = (0..=255).collect();
    for (weight, channel, expected) in [
        (
            Weight::Foreground(0.7),
            Channel::Color(1),
            (|p| 0.7 * p) as fn(f64) -> f64,
        ),
        (Weight::Background, Channel::Color(0), |p| 1.0 - p),
        (Weight::Seen(opacity), Channel::Alpha, |p| 1.0 - p),
        // What is seen of two colours over each other, by their opacities.
        (Weight::Seen(opacity), Channel::Color(0), |p| {
            0.3 * (1.0 - p) / (p + 0.3 * (1.0 - p))
        }),
    ] {
        let mut found = [0; 256];
        weights(Curve::new(weight, channel), &every, &mut found);
        for (p, found) in found.into_iter().enumerate() {
            let off = f64::from(found) - 16383.0 * expected(p as f64 / 255.0);
            assert!(off.abs() < 0.51, "{weight:?} {channel:?} {p}: {found}, off by {off}");
        }
    }
}

#[test]
fn a_sample_weighs_as_the_mean_of_its_pixels() {
    for (width, across) in [(7, 2), (8, 2), (9, 4), (1, 2), (130, 2)] {
        let row: Vec<u8> = (0..width).map(|x| (x * 37 % 256) as u8).collect();
        let mut found = vec![0; row.len().div_ceil(across)];
        means(&row, across, &mut found);
        for (found, pixels) in found.into_iter().zip(row.chunks(across)) {
            let mean = pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / pixels.len() as f64;
            assert_eq!(found, mean as u8, "{pixels:?}");
        }
    }
}

#[test]
fn what_is_drawn_reaches_from_the_first_to_the_last_pixel_that_moves() {
    for length in [1, 5, 63, 64, 65, 128, 200] {
        assert_eq!(drawn(&vec![3; length], [4, 255]), None);
        for first in (0..length).step_by(13) {
            for last in (first..length).step_by(17) {
                let mut row = vec![3; length];
                row[first] = 4;
                row[last] = 255;
                assert_eq!(drawn(&row, [4, 255]), Some(first..last + 1), "of {length}");
            }
        }
    }
}
