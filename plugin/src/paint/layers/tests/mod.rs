use super::*;
use crate::pixels::layout::tests::{layout, noise};
use crate::pixels::layout::{Channel, FORMATS, OwnedFrame};

fn random_layer(width: usize, height: usize) -> Layer {
    let mut byte = noise(7);
    let mut random = || f32::from(byte()) / 256.0;
    let mut channel = || {
        let keep: Vec<f32> = (0..width * height).map(|_| random()).collect();
        let add = keep.iter().map(|keep| 255.0 * (1.0 - keep) * random()).collect();
        Some(ChannelLayer { keep, add })
    };
    Layer {
        width,
        height,
        colors: [channel(), channel(), channel()],
        alpha: channel(),
    }
}

fn paint(layout: &Layout, layer: &Layer, before: &OwnedFrame) -> OwnedFrame {
    let mut frame = before.clone();
    Painter::default().paint(layout, layer, &mut frame.write());
    frame
}

/// The definition in f64: bilinear, both grids centred on their areas.
fn naive(layer: &Layer, channel: &ChannelLayer, x: f64, y: f64, sample: f64) -> f64 {
    let column = (x * layer.width as f64 - 0.5).clamp(0.0, (layer.width - 1) as f64);
    let row = (y * layer.height as f64 - 0.5).clamp(0.0, (layer.height - 1) as f64);
    let mut keep = 0.0;
    let mut add = 0.0;
    for j in 0..layer.height {
        for i in 0..layer.width {
            let weight = (1.0 - (column - i as f64).abs()).max(0.0) * (1.0 - (row - j as f64).abs()).max(0.0);
            keep += weight * f64::from(channel.keep[j * layer.width + i]);
            add += weight * f64::from(channel.add[j * layer.width + i]);
        }
    }
    sample * keep + add
}

#[test]
fn agrees_with_the_definition_in_every_format() {
    for format in FORMATS {
        for (width, height, padding) in [(1, 1, 0), (7, 5, 3), (33, 18, 2), (64, 40, 0)] {
            let layout = layout(format, width, height);
            for (grid_width, grid_height) in [(1, 1), (4, 3), (8, 8)] {
                let layer = random_layer(grid_width, grid_height);
                let before = OwnedFrame::new(&layout, padding, noise(99));
                let after = paint(&layout, &layer, &before);
                // What is drawn on no component stays: put there what was before, and nothing differs.
                let mut rest = after.clone();
                for component in &layout.components {
                    let channel = match component.channel {
                        Channel::Color(index) => &layer.colors[index],
                        Channel::Alpha => &layer.alpha,
                    };
                    let (data, stride) = &before.planes[component.plane];
                    for j in 0..component.height {
                        let (old, new) = (&data[j * stride..], &after.planes[component.plane].0[j * stride..]);
                        for i in 0..component.width {
                            let sample = component.get(old, i);
                            let expected = naive(
                                &layer,
                                channel.as_ref().unwrap(),
                                (i as f64 + 0.5) / component.extent_width,
                                (j as f64 + 0.5) / component.extent_height,
                                f64::from(sample) * f64::from(component.unit()),
                            ) / f64::from(component.unit());
                            let got = f64::from(component.get(new, i));
                            // Half a step of rounding and the arithmetic, in the frame's own depth.
                            assert!(
                                (got - expected).abs() < 0.65,
                                "{format:?} {width}x{height}, {component:?} {i} {j}: {got}, not {expected}"
                            );
                            component.set(&mut rest.planes[component.plane].0[j * stride..], i, sample);
                        }
                    }
                }
                assert_eq!(rest, before, "{format:?}");
            }
        }
    }
}

#[test]
fn a_layer_that_keeps_everything_changes_no_byte() {
    let layout = layout(gstreamer_video::VideoFormat::Rgb, 37, 11);
    let keep_all = Some(ChannelLayer {
        keep: vec![1.0; 12],
        add: vec![0.0; 12],
    });
    let layer = Layer {
        width: 4,
        height: 3,
        colors: [keep_all.clone(), keep_all.clone(), keep_all],
        alpha: None,
    };
    let before = OwnedFrame::new(&layout, 5, noise(99));
    assert_eq!(paint(&layout, &layer, &before), before);
}

#[test]
fn kept_bytes_beside_drawn_ones_stay_exact() {
    let layout = layout(gstreamer_video::VideoFormat::Gray8, 64, 64);
    let mut keep = vec![1.0; 64];
    let mut add = vec![0.0; 64];
    keep[3 * 8 + 3] = 0.0;
    add[3 * 8 + 3] = 200.0;
    let layer = Layer {
        width: 8,
        height: 8,
        colors: [Some(ChannelLayer { keep, add }), None, None],
        alpha: None,
    };
    let mut index = 0u8;
    let before = OwnedFrame::new(&layout, 0, || {
        index = index.wrapping_add(1);
        index
    });
    let after = paint(&layout, &layer, &before);
    let (before, after) = (&before.planes[0].0, &after.planes[0].0);
    for y in 0..64usize {
        for x in 0..64usize {
            let inside = (20..36).contains(&x) && (20..36).contains(&y);
            let (a, b) = (before[y * 64 + x], after[y * 64 + x]);
            if !inside {
                assert_eq!(a, b, "at {x},{y}");
            }
        }
    }
    let center = f32::from(after[27 * 64 + 27]);
    assert!((center - 0.879 * 200.0).abs() < 32.0, "{center}");
}
