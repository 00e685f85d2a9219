use super::*;
use crate::pixels::layout::{OwnedFrame, tests::layout};
use crate::pixels::sampling::Sampler;
use gstreamer_video::VideoFormat;

/// A bright disc on a dark ground, in grey or in colour.
fn disc(size: usize, channels: usize) -> Vec<u8> {
    let mut data = Vec::new();
    for y in 0..size {
        for x in 0..size {
            let inside = inside(size, x, y);
            for channel in 0..channels {
                data.push(match (inside, channel) {
                    (true, 0) => 200,
                    (true, _) => 60,
                    (false, 0) => 60,
                    (false, _) => 90,
                });
            }
        }
    }
    data
}

fn inside(size: usize, x: usize, y: usize) -> bool {
    let center = size as f64 / 2.0;
    (x as f64 + 0.5 - center).hypot(y as f64 + 0.5 - center) < size as f64 * 0.3
}

#[test]
fn the_refined_edge_lies_on_the_picture_s_edge() {
    for (format, channels) in [(VideoFormat::Gray8, 1), (VideoFormat::Rgb, 3), (VideoFormat::Y444, 1)] {
        let size = 160;
        let layout = layout(format, size as u32, size as u32);
        let mut frame = OwnedFrame::new(&layout, 0, || 128);
        frame.planes[0].0 = disc(size, channels);
        let planes = frame.read();
        let grid = 16;
        let averages = Sampler::new(&layout, grid, grid).average(&planes).to_vec();
        // The coarse mask: the share of each cell that is inside.
        let cell = size / grid;
        let coarse: Vec<f32> = (0..grid * grid)
            .map(|index| {
                let (left, top) = (index % grid * cell, index / grid * cell);
                let count = (0..cell * cell)
                    .filter(|i| inside(size, left + i % cell, top + i / cell))
                    .count();
                count as f32 / (cell * cell) as f32
            })
            .collect();
        let fit = fit(&coarse, &averages, grid, grid);
        let mut foreground = Vec::new();
        Refiner::default().refine(&layout, &planes, &fit, &mut foreground);
        let wrong = (0..size * size)
            .filter(|i| (foreground[*i] > 127) != inside(size, i % size, i / size))
            .count();
        // Bilinear interpolation is wrong at hundreds of pixels, and soft over a cell's width.
        assert_eq!(wrong, 0, "{format:?}");
        let soft = foreground.iter().filter(|p| (26..230).contains(*p)).count();
        assert!(soft < size * size / 100, "{format:?}: {soft} soft pixels");
    }
}

#[test]
fn where_the_picture_is_flat_the_mask_stays_as_it_is() {
    let layout = layout(VideoFormat::I420, 33, 17);
    let mut frame = OwnedFrame::new(&layout, 0, || 128);
    frame.planes[0].0.fill(80);
    let planes = frame.read();
    let averages = Sampler::new(&layout, 4, 4).average(&planes).to_vec();
    let fit = fit(&[0.25; 16], &averages, 4, 4);
    let mut foreground = Vec::new();
    Refiner::default().refine(&layout, &planes, &fit, &mut foreground);
    assert_eq!(foreground.len(), 33 * 17);
    assert!(foreground.iter().all(|p| *p == 64), "{foreground:?}");
}
