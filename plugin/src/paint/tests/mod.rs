use factorseg_refine::simd::use_portable;
use gstreamer_video::VideoFormat;

use super::blend::Blender;
use super::guided::{self, Refiner};
use super::layers::Painter;
use super::overlay;
use crate::engine::mask;
use crate::pixels::layout::OwnedFrame;
use crate::pixels::layout::tests::{layout, noise};
use crate::pixels::sampling::Sampler;

/// Samples, tints and refines one frame of noise; returns it, its foreground and the network's input.
fn everything(format: VideoFormat) -> (OwnedFrame, Vec<u8>, Vec<f32>) {
    let layout = layout(format, 101, 67);
    let mut noise = noise(1);
    let mut frame = OwnedFrame::new(&layout, 3, &mut noise);
    let (width, height) = (13, 9);
    let first: Vec<f32> = (0..width * height).map(|_| f32::from(noise()) / 255.0).collect();
    let both: Vec<f32> = first.iter().copied().chain(first.iter().map(|p| 1.0 - p)).collect();
    let map = mask::tests::map(2, width, height, &both);
    let chosen = [true, false];
    let colors = [[0.9, 0.6, 0.0], [0.3, 0.7, 0.9]];
    let mut sampler = Sampler::new(&layout, width, height);
    let mut foreground = Vec::new();
    let input = sampler.sample(&layout, &frame.read()).data;
    let coarse = mask::foreground(&map, &chosen);
    let fit = guided::fit(&coarse, sampler.average(&frame.read()), width, height);
    Refiner::default().refine(&layout, &frame.read(), &fit, &mut foreground);
    let layer = overlay::tint(&map, &chosen, &colors, 0.5, &layout);
    Painter::default().paint(&layout, &layer, &mut frame.write());
    let blend = overlay::tint_blend(&map, &chosen, &colors, 0.5, &layout);
    Blender::default().paint(&layout, &foreground, &blend, &mut frame.write());
    (frame, foreground, input)
}

#[test]
fn wide_vectors_change_no_bit() {
    for format in [
        VideoFormat::I420,
        VideoFormat::Nv12,
        VideoFormat::Rgb,
        VideoFormat::Bgrx,
        VideoFormat::Yuy2,
        VideoFormat::P01010le,
        VideoFormat::Rgb10a2Le,
    ] {
        let wide = everything(format);
        use_portable(true);
        let portable = everything(format);
        use_portable(false);
        assert!(wide == portable, "{format:?}");
    }
}
