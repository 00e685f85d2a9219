//! Where the components of a pixel lie in a frame, for every 8-bit format the element takes.
//!
//! One description serves packed RGB, planar and semi-planar YUV, packed YUV 4:2:2 and grey: a component is
//! a strided walk through one plane. [`super::sampling`] reads by it and `paint` writes by it, so
//! neither knows a pixel format.

use gstreamer_video as gst_video;

use super::colorimetry::Colorimetry;

/// The pixel formats the element takes, best first.
pub const FORMATS: [gst_video::VideoFormat; 20] = [
    gst_video::VideoFormat::I420,
    gst_video::VideoFormat::Nv12,
    gst_video::VideoFormat::Rgb,
    gst_video::VideoFormat::Bgr,
    gst_video::VideoFormat::Rgbx,
    gst_video::VideoFormat::Bgrx,
    gst_video::VideoFormat::Rgba,
    gst_video::VideoFormat::Bgra,
    gst_video::VideoFormat::Xrgb,
    gst_video::VideoFormat::Xbgr,
    gst_video::VideoFormat::Argb,
    gst_video::VideoFormat::Abgr,
    gst_video::VideoFormat::Gray8,
    gst_video::VideoFormat::Yv12,
    gst_video::VideoFormat::Nv21,
    gst_video::VideoFormat::Y42b,
    gst_video::VideoFormat::Y444,
    gst_video::VideoFormat::Yuy2,
    gst_video::VideoFormat::Uyvy,
    gst_video::VideoFormat::Yvyu,
];

/// What a component stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Red, green and blue are 0, 1, 2; so are Y, U and V; grey is 0.
    Color(usize),
    /// Opacity, not premultiplied.
    Alpha,
}

/// One component: sample `i` of row `y` is the byte `y * stride + offset + i * step` of its plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// What the samples stand for.
    pub channel: Channel,
    /// Index of the plane that holds it.
    pub plane: usize,
    /// Byte of the first sample in a row.
    pub offset: usize,
    /// Bytes from one sample to the next.
    pub step: usize,
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Width of the picture in samples of this component: half the frame's for chroma of 4:2:0, so that
    /// a frame of odd width covers only half of the last chroma sample.
    pub extent_width: f64,
    /// Height of the picture in samples of this component.
    pub extent_height: f64,
}

/// The layout of a frame, fixed by its caps; strides are the buffer's own.
#[derive(Clone, Debug)]
pub struct Layout {
    /// What the caps say.
    pub info: gst_video::VideoInfo,
    /// Width of the picture in pixels.
    pub width: usize,
    /// Height of the picture in pixels.
    pub height: usize,
    /// The components, colours first.
    pub components: Vec<Component>,
    /// Number of planes.
    pub planes: usize,
    /// How samples stand for colours.
    pub colorimetry: Colorimetry,
}

impl Layout {
    /// The layout of a video format and size.
    ///
    /// `info` must have one of [`FORMATS`].
    pub fn new(info: &gst_video::VideoInfo) -> Self {
        let format = info.format_info();
        let alpha = info.has_alpha().then(|| info.n_components() - 1);
        let components = (0..info.n_components())
            .map(|index| {
                let at = index as u8;
                Component {
                    channel: if alpha == Some(index) {
                        Channel::Alpha
                    } else {
                        Channel::Color(index as usize)
                    },
                    plane: info.comp_plane(at) as usize,
                    offset: info.comp_poffset(at) as usize,
                    step: info.comp_pstride(at) as usize,
                    width: info.comp_width(at) as usize,
                    height: info.comp_height(at) as usize,
                    extent_width: f64::from(info.width()) / f64::from(1u32 << format.w_sub()[index as usize]),
                    extent_height: f64::from(info.height()) / f64::from(1u32 << format.h_sub()[index as usize]),
                }
            })
            .collect();
        Self {
            info: info.clone(),
            width: info.width() as usize,
            height: info.height() as usize,
            components,
            planes: info.n_planes() as usize,
            colorimetry: Colorimetry::new(info),
        }
    }

    /// The size of the picture in square pixels, at least 1x1: what is shown of an anamorphic frame.
    pub fn square_size(&self) -> (usize, usize) {
        let par = self.info.par();
        let ratio = f64::from(par.numer().max(1)) / f64::from(par.denom().max(1));
        let stretched = |side: usize, by: f64| ((side as f64 * by).round() as usize).clamp(1, i32::MAX as usize);
        // The longer way, so that nothing is lost of the other.
        match ratio >= 1.0 {
            true => (stretched(self.width, ratio), self.height),
            false => (self.width, stretched(self.height, 1.0 / ratio)),
        }
    }

    /// Whether pixels have an opacity.
    pub fn has_alpha(&self) -> bool {
        self.components
            .iter()
            .any(|component| component.channel == Channel::Alpha)
    }

    /// The components that lie in a plane.
    pub fn in_plane(&self, plane: usize) -> impl Iterator<Item = &Component> {
        self.components.iter().filter(move |component| component.plane == plane)
    }

    /// Bytes of a row of a plane that hold samples, and the rows of that plane.
    pub fn plane_size(&self, plane: usize) -> (usize, usize) {
        self.in_plane(plane).fold((0, 0), |(bytes, rows), component| {
            (
                bytes.max(component.offset + component.step * (component.width - 1) + 1),
                rows.max(component.height),
            )
        })
    }
}

/// A plane of a mapped frame, to read.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// The rows, `stride` bytes apart; the last may end after its samples.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A plane of a mapped frame, to draw on.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    /// The rows, `stride` bytes apart; the last may end after its samples.
    pub data: &'a mut [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A frame in memory of its own, for tests and measurements.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedFrame {
    /// For each plane its bytes and its stride.
    pub planes: Vec<(Vec<u8>, usize)>,
}

impl OwnedFrame {
    /// A frame of what `byte` gives, in rows `padding` bytes longer than their samples.
    pub fn new(layout: &Layout, padding: usize, mut byte: impl FnMut() -> u8) -> Self {
        let plane = |index| {
            let (bytes, rows) = layout.plane_size(index);
            let stride = bytes + padding;
            let length = stride * (rows - 1) + bytes;
            ((0..length).map(|_| byte()).collect(), stride)
        };
        Self {
            planes: (0..layout.planes).map(plane).collect(),
        }
    }

    /// Its planes, to read.
    pub fn read(&self) -> Vec<Plane<'_>> {
        let planes = self.planes.iter();
        planes.map(|(data, stride)| Plane { data, stride: *stride }).collect()
    }

    /// Its planes, to draw on.
    pub fn write(&mut self) -> Vec<PlaneMut<'_>> {
        let planes = self.planes.iter_mut();
        planes
            .map(|(data, stride)| PlaneMut { data, stride: *stride })
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn layout(format: gst_video::VideoFormat, width: u32, height: u32) -> Layout {
        gstreamer::init().unwrap();
        Layout::new(&gst_video::VideoInfo::builder(format, width, height).build().unwrap())
    }

    /// Bytes with no order.
    pub(crate) fn noise(seed: u32) -> impl FnMut() -> u8 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }
    }

    #[test]
    fn every_byte_of_a_row_belongs_to_at_most_one_component() {
        for format in FORMATS {
            for (width, height) in [(1, 1), (5, 3), (16, 8)] {
                let layout = layout(format, width, height);
                let mut colors = 0;
                for plane in 0..layout.planes {
                    let (bytes, _) = layout.plane_size(plane);
                    let mut owners = vec![0; bytes];
                    for component in layout.in_plane(plane) {
                        colors += 1;
                        for i in 0..component.width {
                            owners[component.offset + i * component.step] += 1;
                        }
                    }
                    assert!(owners.iter().all(|&n| n <= 1), "{format:?} plane {plane}");
                }
                assert_eq!(colors, layout.components.len(), "{format:?}");
            }
        }
    }

    #[test]
    fn chroma_of_odd_sizes_covers_half_of_its_last_sample() {
        let layout = layout(gst_video::VideoFormat::Nv12, 5, 3);
        let chroma = layout.components[2];
        assert_eq!((chroma.width, chroma.height), (3, 2));
        assert_eq!((chroma.extent_width, chroma.extent_height), (2.5, 1.5));
        assert_eq!((chroma.plane, chroma.offset, chroma.step), (1, 1, 2));
        assert_eq!(layout.plane_size(1), (6, 2));
    }
}
