use super::*;
use crate::pixels::layout::OwnedFrame;
use crate::pixels::layout::tests::{layout, noise};
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

#[test]
fn every_pixel_is_its_cells_function_of_its_colours() {
    // Wider than a strip, and no multiple of anything.
    let (width, height) = (1101, 9);
    let grid = |scale: f32, phase: f32| Plane {
        width: 7,
        height: 3,
        values: (0..21).map(|at| scale * (at as f32 + phase).sin()).collect(),
    };
    let at = |plane: &Plane, x: usize, y: usize| {
        let place = |at: usize, length: usize, cells: usize| (at as f32 + 0.5) * cells as f32 / length as f32 - 0.5;
        plane.at(place(x, width, plane.width), place(y, height, plane.height))
    };
    for format in [
        VideoFormat::I420,
        VideoFormat::Nv12,
        VideoFormat::Nv24,
        VideoFormat::Y41b,
        VideoFormat::Yuy2,
        VideoFormat::Rgb,
        VideoFormat::Xbgr,
        VideoFormat::P01010le,
        VideoFormat::Y410,
        VideoFormat::Gray8,
    ] {
        let layout = layout(format, width as u32, height as u32);
        let frame = OwnedFrame::new(&layout, 5, noise(7));
        let planes = frame.read();
        let fit = Fit {
            slopes: (0..layout.components.len()).map(|c| grid(0.4, c as f32)).collect(),
            offset: grid(200.0, 0.3),
        };
        let mut foreground = Vec::new();
        Refiner::default().refine(&layout, &planes, &fit, &mut foreground);
        for (pixel, found) in foreground.iter().enumerate() {
            let (x, y) = (pixel % width, pixel / width);
            let mut expected = at(&fit.offset, x, y);
            for (component, slope) in layout.components.iter().zip(&fit.slopes) {
                let row = (y / component.down).min(component.height - 1);
                let column = (x / component.across).min(component.width - 1);
                let plane = &planes[component.plane];
                let sample = component.get(&plane.data[row * plane.stride..], column) as f32 * component.unit();
                expected += at(slope, x, y) * sample;
            }
            let off = (f32::from(*found) - expected.clamp(0.0, 255.0)).abs();
            assert!(off < 0.51, "{format:?} ({x}, {y}): {found} is not {expected}");
        }
    }
}
