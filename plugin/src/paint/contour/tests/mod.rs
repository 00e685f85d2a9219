use super::*;
use crate::engine::mask::tests::map;
use crate::pixels::layout::OwnedFrame;
use crate::pixels::layout::tests::layout;
use gstreamer_video::VideoFormat;

/// The left half belongs to region 0.
fn halves() -> RegionMap {
    let left: Vec<f32> = (0..64).map(|cell| if cell % 8 < 4 { 0.9 } else { 0.1 }).collect();
    let mut probabilities = left.clone();
    probabilities.extend(left.iter().map(|p| 1.0 - p));
    map(2, 8, 8, &probabilities)
}

#[test]
fn the_line_lies_on_the_border_and_is_as_wide_as_told() {
    let layout = layout(VideoFormat::Gray8, 400, 400);
    let mut frame = OwnedFrame::new(&layout, 0, || 0);
    paint(&layout, &halves(), &[true, false], &[[1.0; 3]], 1.0, &mut frame.write());
    let data = &frame.planes[0].0;
    for y in [0, 17, 399] {
        let row = &data[y * 400..(y + 1) * 400];
        let covered: f32 = row.iter().map(|&byte| f32::from(byte) / 255.0).sum();
        let center: f32 = row
            .iter()
            .enumerate()
            .map(|(x, &byte)| (x as f32 + 0.5) * f32::from(byte) / 255.0)
            .sum::<f32>()
            / covered;
        assert!((covered - line_width(400, 400)).abs() < 0.1, "{covered} px wide");
        assert!((center - 200.0).abs() < 0.1, "at {center}");
    }
}

#[test]
fn the_line_is_as_wide_one_way_as_the_other_where_pixels_are_wide() {
    gstreamer::init().unwrap();
    let info = gstreamer_video::VideoInfo::builder(VideoFormat::Gray8, 200, 400);
    let layout = Layout::new(&info.par(gstreamer::Fraction::new(2, 1)).build().unwrap());
    let across = halves();
    let mut down = halves();
    for cell in 0..128 {
        let (region, y, x) = (cell / 64, cell / 8 % 8, cell % 8);
        down.probabilities[cell] = across.probabilities[region * 64 + x * 8 + y];
    }
    for (map, pixel) in [(across, 2.0), (down, 1.0)] {
        let mut frame = OwnedFrame::new(&layout, 0, || 0);
        paint(&layout, &map, &[true, false], &[[1.0; 3]], 1.0, &mut frame.write());
        let data = &frame.planes[0].0;
        let line: Vec<u8> = match pixel > 1.0 {
            true => data[..200].to_vec(),
            false => data.iter().step_by(200).copied().collect(),
        };
        let covered: f32 = line.iter().map(|&byte| pixel * f32::from(byte) / 255.0).sum();
        // To half of a wide pixel.
        assert!((covered - line_width(400, 400)).abs() < 1.0, "{covered} wide");
    }
}

#[test]
fn opacity_and_far_pixels_are_left_alone() {
    let layout = layout(VideoFormat::Argb, 64, 64);
    let mut frame = OwnedFrame::new(&layout, 0, || 7);
    let colors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
    paint(&layout, &halves(), &[true, true], &colors, 0.5, &mut frame.write());
    let data = &frame.planes[0].0;
    assert!(data.iter().step_by(4).all(|&alpha| alpha == 7));
    assert!(data[..4 * 20].iter().all(|&byte| byte == 7));
    assert_ne!(data[4 * 32 + 1], 7);
}
