//! From samples to RGB and back, by the colorimetry of the caps (matrix and range).

use gstreamer_video as gst_video;

/// An RGB colour, each component in `0..=1`.
pub type Rgb = [f32; 3];

/// `0xRRGGBB` as RGB.
pub fn rgb(code: u32) -> Rgb {
    [code >> 16, code >> 8, code].map(|value| (value & 0xff) as f32 / 255.0)
}

/// How the colour samples of a format stand for RGB.
#[derive(Clone, Debug, PartialEq)]
pub struct Colorimetry {
    family: Family,
    /// What is taken from a sample before it is divided by `scale`.
    offset: [f32; 3],
    scale: [f32; 3],
    /// Weights of red and blue in luma.
    kr: f32,
    kb: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Rgb,
    Yuv,
    Gray,
}

impl Colorimetry {
    /// What the caps describe. A YUV format of unknown matrix is taken as BT.601.
    pub fn new(info: &gst_video::VideoInfo) -> Self {
        let family = if info.is_yuv() {
            Family::Yuv
        } else if info.is_gray() {
            Family::Gray
        } else {
            Family::Rgb
        };
        let colorimetry = info.colorimetry();
        let (offset, scale) = info.range_offsets(colorimetry.range());
        // The largest sample is 255 here, whatever the depth.
        let unit = 255.0 / ((1u32 << info.format_info().depth()[0]) - 1) as f32;
        let (kr, kb) = colorimetry.matrix().kr_kb().unwrap_or((0.299, 0.114));
        Self {
            family,
            offset: [0, 1, 2].map(|i| offset[i] as f32 * unit),
            scale: [0, 1, 2].map(|i| (scale[i] as f32).max(1.0) * unit),
            kr: kr as f32,
            kb: kb as f32,
        }
    }

    /// Number of colour components: 1 for grey, else 3.
    pub fn components(&self) -> usize {
        if self.family == Family::Gray { 1 } else { 3 }
    }

    /// Turns samples (`0..=255`; of grey only the first counts) into RGB in `0..=1`, clipped.
    #[inline]
    pub fn to_rgb(&self, samples: [f32; 3]) -> Rgb {
        let value = |i: usize| (samples[i] - self.offset[i]) / self.scale[i];
        let rgb = match self.family {
            Family::Rgb => [value(0), value(1), value(2)],
            Family::Gray => [value(0); 3],
            Family::Yuv => {
                let (y, u, v) = (value(0), value(1), value(2));
                let (kr, kb) = (self.kr, self.kb);
                let kg = 1.0 - kr - kb;
                let from_v = 2.0 * (1.0 - kr);
                let from_u = 2.0 * (1.0 - kb);
                [
                    y + from_v * v,
                    y - (kr * from_v * v + kb * from_u * u) / kg,
                    y + from_u * u,
                ]
            }
        };
        rgb.map(|value| value.clamp(0.0, 1.0))
    }

    /// Turns RGB in `0..=1` into samples in `0..=255` (grey: luma in the first).
    pub fn samples_of(&self, rgb: Rgb) -> [f32; 3] {
        let luma = self.kr * rgb[0] + (1.0 - self.kr - self.kb) * rgb[1] + self.kb * rgb[2];
        let values = match self.family {
            Family::Rgb => rgb,
            Family::Gray => [luma; 3],
            Family::Yuv => [
                luma,
                (rgb[2] - luma) / (2.0 * (1.0 - self.kb)),
                (rgb[0] - luma) / (2.0 * (1.0 - self.kr)),
            ],
        };
        [0, 1, 2].map(|i| (self.offset[i] + self.scale[i] * values[i]).clamp(0.0, 255.0))
    }
}

#[cfg(test)]
mod tests {
    use gst_video::{VideoColorimetry, VideoFormat, VideoInfo};

    use super::*;

    fn model(format: VideoFormat, colorimetry: Option<&str>) -> Colorimetry {
        gstreamer::init().unwrap();
        let colorimetry = colorimetry.map(|text| text.parse::<VideoColorimetry>().unwrap());
        let info = VideoInfo::builder(format, 16, 16).colorimetry_if_some(colorimetry.as_ref());
        Colorimetry::new(&info.build().unwrap())
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
                assert_near(model.to_rgb(model.samples_of(rgb)), rgb, 1e-5);
            }
        }
    }

    #[test]
    fn grey_is_neutral_and_full_range_by_default() {
        let model = model(VideoFormat::Gray8, None);
        assert_near(model.to_rgb([255.0, 0.0, 0.0]), [1.0; 3], 1e-6);
        assert_near(model.to_rgb([51.0, 9.0, 9.0]), [0.2; 3], 1e-6);
    }
}
