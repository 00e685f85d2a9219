use factorseg_refine::MotionModel;
use gstreamer_video::VideoFormat;

use super::*;
use crate::pixels::layout::tests::{layout, noise};
use crate::pixels::layout::{FORMATS, OwnedFrame};

/// Overlap of the source sample `i` with the target's box, or the weight of linear interpolation.
fn weight(length: usize, extent: f64, target: usize, index: usize, i: usize) -> f64 {
    let scale = extent / target as f64;
    if scale >= 1.0 {
        let (begin, end) = (index as f64 * scale, (index + 1) as f64 * scale);
        let overlap = (end.min((i + 1) as f64) - begin.max(i as f64)).max(0.0);
        overlap / scale
    } else {
        let center = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, (length - 1) as f64);
        (1.0 - (center - i as f64).abs()).max(0.0)
    }
}

/// The definition, one sample at a time in f64.
fn naive(layout: &Layout, frame: &[Plane<'_>], width: usize, height: usize) -> Vec<f32> {
    let mut planes = vec![vec![0.0; width * height]; 3];
    for y in 0..height {
        for x in 0..width {
            for component in &layout.components {
                let Channel::Color(channel) = component.channel else {
                    continue;
                };
                let plane = &frame[component.plane];
                let mut sum = 0.0;
                for j in 0..component.height {
                    let v = weight(component.height, component.extent_height, height, y, j);
                    for i in 0..component.width {
                        let w = v * weight(component.width, component.extent_width, width, x, i);
                        if w > 0.0 {
                            let sample = component.get(&plane.data[j * plane.stride..], i);
                            sum += w * f64::from(sample) * 255.0 / f64::from(component.max);
                        }
                    }
                }
                planes[channel][y * width + x] = sum as f32;
            }
        }
    }
    let mut data = vec![0.0; 3 * width * height];
    let planes: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
    for (color, out) in data.chunks_exact_mut(width * height).enumerate() {
        layout.colorimetry.to_rgb(color, &planes, out);
    }
    data
}

#[test]
fn what_the_network_sees_of_the_motion_models_frame_is_what_it_would_see() {
    let layout = layout(VideoFormat::Rgb, 97, 61);
    let frame = OwnedFrame::new(&layout, 3, noise(12345));
    let sample = |(width, height)| Sampler::new(&layout, width, height).sample(&layout, &frame.read());
    let seen = MotionModel::network_input(&sample(MotionModel::frame_size((12, 8))));
    let direct = sample((12, 8));
    assert_eq!((seen.width, seen.height), (direct.width, direct.height));
    for (a, b) in seen.data.iter().zip(&direct.data) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn agrees_with_the_definition_in_every_format() {
    for format in FORMATS {
        for (width, height, padding) in [(1, 1, 0), (7, 5, 3), (33, 18, 0), (64, 40, 13), (2, 300, 1)] {
            let layout = layout(format, width, height);
            let frame = OwnedFrame::new(&layout, padding, noise(12345));
            let frame = frame.read();
            for (w, h) in [(8, 8), (16, 4), (5, 3), (1, 1)] {
                let got = Sampler::new(&layout, w, h).sample(&layout, &frame);
                let expected = naive(&layout, &frame, w, h);
                assert_eq!((got.width, got.height), (w, h));
                assert_eq!(got.data.len(), expected.len());
                for (i, (a, b)) in got.data.iter().zip(&expected).enumerate() {
                    assert!(
                        (a - b).abs() < 2e-5,
                        "{format:?} {width}x{height} -> {w}x{h}, value {i}: {a} is not {b}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_white_column_longer_than_16_bits_stays_white() {
    let layout = layout(gstreamer_video::VideoFormat::Gray8, 1, 4096);
    let data = vec![255; 4096];
    let plane = Plane { data: &data, stride: 1 };
    let image = Sampler::new(&layout, 8, 8).sample(&layout, &[plane]);
    for value in image.data {
        assert!((value - 1.0).abs() < 1e-5, "{value}");
    }
}

#[test]
fn a_sampler_serves_many_frames() {
    let layout = layout(gstreamer_video::VideoFormat::I420, 31, 17);
    let mut sampler = Sampler::new(&layout, 8, 8);
    let noisy = OwnedFrame::new(&layout, 0, noise(12345));
    let first = sampler.sample(&layout, &noisy.read());
    let black = OwnedFrame::new(&layout, 0, || 16);
    sampler.sample(&layout, &black.read());
    assert_eq!(sampler.sample(&layout, &noisy.read()).data, first.data);
}
