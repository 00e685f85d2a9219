use gst_video::{VideoColorimetry, VideoFormat, VideoInfo};

use super::*;

fn model(format: VideoFormat, colorimetry: Option<&str>) -> Colorimetry {
    gstreamer::init().unwrap();
    let colorimetry = colorimetry.map(|text| text.parse::<VideoColorimetry>().unwrap());
    let info = VideoInfo::builder(format, 16, 16).colorimetry_if_some(colorimetry.as_ref());
    Colorimetry::new(&info.build().unwrap())
}

/// One pixel's samples as RGB in `0..=1`.
fn to_rgb(model: &Colorimetry, samples: [f32; 3]) -> Rgb {
    [0, 1, 2].map(|color| {
        let mut value = [0.0];
        model.to_rgb(color, &samples.each_ref().map(std::slice::from_ref), &mut value);
        (value[0] + 1.0) / 2.0
    })
}

fn assert_near(got: [f32; 3], expected: [f32; 3], tolerance: f32) {
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() < tolerance, "{got:?} is not {expected:?}");
    }
}

// The 8-bit codes of pure red in the standards.
#[test]
fn red_has_the_codes_of_the_standards() {
    for (format, colorimetry, codes) in [
        (VideoFormat::I420, "bt601", [81.5, 90.2, 240.0]),
        (VideoFormat::Nv12, "bt709", [62.6, 102.3, 240.0]),
        (VideoFormat::I420, "1:4:0:0", [76.2, 85.0, 255.0]),
    ] {
        assert_near(model(format, Some(colorimetry)).samples_of([1.0, 0.0, 0.0]), codes, 0.1);
    }
}

#[test]
fn conversion_and_back_is_the_identity() {
    for (format, colorimetry) in [
        (VideoFormat::I420, "bt601"),
        (VideoFormat::I420, "bt709"),
        (VideoFormat::I420, "bt2020"),
        (VideoFormat::Rgb, "sRGB"),
    ] {
        let model = model(format, Some(colorimetry));
        for rgb in [[0.1, 0.5, 0.9], [1.0, 1.0, 1.0], [0.0, 0.3, 0.0]] {
            assert_near(to_rgb(&model, model.samples_of(rgb)), rgb, 1e-5);
        }
    }
}

#[test]
fn hdr_is_seen_and_drawn_as_in_sdr() {
    // Codes of reference white in 10 bits, narrow range, by ITU-R BT.2408: 58 % of PQ, 75 % of HLG.
    for (name, code) in [("bt2100-pq", 64.0 + 876.0 * 0.58), ("bt2100-hlg", 64.0 + 876.0 * 0.75)] {
        let model = model(VideoFormat::P01010le, Some(name));
        let [luma, ..] = model.samples_of([1.0; 3]);
        assert!((luma / 255.0 * 1023.0 - code).abs() < 2.0, "{name}: {luma}");
        for rgb in [[0.1, 0.5, 0.9], [1.0, 1.0, 1.0], [0.9, 0.62, 0.05]] {
            assert_near(to_rgb(&model, model.samples_of(rgb)), rgb, 2e-3);
        }
        // Highlights are white.
        assert_near(
            to_rgb(&model, [luma + 20.0, 128.0 / 1.003_9, 128.0 / 1.003_9]),
            [1.0; 3],
            2e-3,
        );
    }
}

#[test]
fn grey_is_neutral_and_full_range_by_default() {
    let model = model(VideoFormat::Gray8, None);
    assert_near(to_rgb(&model, [255.0, 0.0, 0.0]), [1.0; 3], 1e-6);
    assert_near(to_rgb(&model, [51.0, 9.0, 9.0]), [0.2; 3], 1e-6);
}
