//! Where the components of a pixel lie in a frame, for every format the element takes.
//!
//! One description serves packed RGB, planar and semi-planar YUV, packed YUV and grey, of bytes and of wider samples: a
//! component is a strided walk through one plane. [`super::sampling`] reads by it and `paint` writes by it, so
//! neither knows a pixel format.

use factorseg_refine::vectorised;
use gstreamer_video as gst_video;

use super::colorimetry::Colorimetry;

/// The pixel formats the element takes, best first: those of bytes, then those of wider samples.
pub const FORMATS: [gst_video::VideoFormat; 45] = [
    gst_video::VideoFormat::I420,
    gst_video::VideoFormat::Nv12,
    gst_video::VideoFormat::A420,
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
    gst_video::VideoFormat::Nv16,
    gst_video::VideoFormat::Nv61,
    gst_video::VideoFormat::Nv24,
    gst_video::VideoFormat::Ayuv,
    gst_video::VideoFormat::Vuya,
    gst_video::VideoFormat::V308,
    gst_video::VideoFormat::Iyu2,
    gst_video::VideoFormat::Gbr,
    gst_video::VideoFormat::Gbra,
    gst_video::VideoFormat::Y41b,
    gst_video::VideoFormat::P01010le,
    gst_video::VideoFormat::I42010le,
    gst_video::VideoFormat::I42210le,
    gst_video::VideoFormat::Y44410le,
    gst_video::VideoFormat::A42010le,
    gst_video::VideoFormat::V210,
    gst_video::VideoFormat::Rgb10a2Le,
    gst_video::VideoFormat::Bgr10a2Le,
    gst_video::VideoFormat::Y410,
    gst_video::VideoFormat::Gbr10le,
    gst_video::VideoFormat::Gray16Le,
    gst_video::VideoFormat::P012Le,
    gst_video::VideoFormat::I42012le,
    gst_video::VideoFormat::P016Le,
];

/// What a component stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Red, green and blue are 0, 1, 2; so are Y, U and V; grey is 0.
    Color(usize),
    /// Opacity, not premultiplied.
    Alpha,
}

/// One component: sample `i` of row `y` is the byte `y * stride + offset + i * step` of its plane, or, where samples are
/// wider than a byte, what [`Component::get`] finds there.
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
    /// Columns of the frame that a sample stands for.
    pub across: usize,
    /// Rows of the frame that a sample stands for.
    pub down: usize,
    /// The largest sample.
    pub max: u32,
    /// How samples lie that are wider than a byte.
    pub words: Option<Words>,
}

/// Samples in parts of little-endian words. Groups of them lie `step` bytes apart, in each the same way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Words {
    /// Bytes of a word: 2 or 4.
    pub bytes: usize,
    /// For each sample of a group: the first byte of its word in the group, and the word's bits below the sample.
    pub places: &'static [(usize, u32)],
}

impl Component {
    /// Whether samples are bytes of their own.
    pub fn is_bytes(&self) -> bool {
        self.words.is_none()
    }

    /// The first byte of the word with sample `i` in a row, bytes of the word, and bits below the sample.
    fn place(&self, i: usize) -> (usize, usize, u32) {
        match &self.words {
            None => (self.offset + i * self.step, 1, 0),
            Some(words) => {
                let (byte, shift) = words.places[i % words.places.len()];
                (
                    self.offset + i / words.places.len() * self.step + byte,
                    words.bytes,
                    shift,
                )
            }
        }
    }

    /// Bytes of a row up to the end of its last sample.
    fn end(&self) -> usize {
        // Of packed samples another than the last may reach furthest.
        let group = self.words.as_ref().map_or(1, |words| words.places.len());
        let ends = (self.width.saturating_sub(group)..self.width).map(|i| {
            let (at, bytes, _) = self.place(i);
            at + bytes
        });
        ends.max().unwrap_or(0)
    }

    /// Sample `i` of a row, `0..=max`.
    #[inline]
    pub fn get(&self, row: &[u8], i: usize) -> u32 {
        let (at, bytes, shift) = self.place(i);
        (word(&row[at..at + bytes]) >> shift) & self.max
    }

    /// Sets sample `i` of a row to a value of `0..=max`, and no bit beside it.
    #[inline]
    pub fn set(&self, row: &mut [u8], i: usize, value: u32) {
        let (at, bytes, shift) = self.place(i);
        let word = word(&row[at..at + bytes]) & !(self.max << shift) | (value.min(self.max) << shift);
        row[at..at + bytes].copy_from_slice(&word.to_le_bytes()[..bytes]);
    }

    /// What a step of a sample is worth where the largest sample is 255, as it is everywhere above the pixels.
    pub fn unit(&self) -> f32 {
        255.0 / self.max as f32
    }

    /// The samples from `first` on in a row, `0..=255`.
    pub fn read(&self, row: &[u8], first: usize, out: &mut [f32]) {
        let unit = self.unit();
        let mut done = 0;
        // Behind the last sample lies no whole step.
        if let (Some(words), [whole @ .., _]) = (self.words, &mut *out)
            && let [(byte, shift)] = words.places
        {
            done = whole.len();
            let steps = &row[self.offset + byte + first * self.step..][..done * self.step];
            read_words(steps, (words.bytes, self.step), (*shift, self.max), unit, whole);
        }
        for (i, out) in out.iter_mut().enumerate().skip(done) {
            *out = self.get(row, first + i) as f32 * unit;
        }
    }

    /// Sets the samples from `first` on in a row to values of `0..=255`, rounded to the nearest.
    pub fn write(&self, row: &mut [u8], first: usize, values: &[f32]) {
        let scale = self.max as f32 / 255.0;
        for (i, value) in values.iter().enumerate() {
            self.set(row, first + i, (value * scale + 0.5) as u32);
        }
    }
}

vectorised! {
    /// The parts of words, `(bytes, step)`, that are left by a shift and a mask, times `unit`.
    fn read_words(row: &[u8], words: (usize, usize), part: (u32, u32), unit: f32, out: &mut [f32]) {
        let (shift, max) = part;
        // A sample has at most 16 bits.
        let sample = |word: u32| ((word >> shift) & max) as i32 as f32 * unit;
        match words {
            (2, 2) => each_step(row, out, |[a, b]| sample(u16::from_le_bytes([a, b]).into())),
            (2, 4) => each_step(row, out, |[a, b, _, _]| sample(u16::from_le_bytes([a, b]).into())),
            (4, 4) => each_step(row, out, |bytes| sample(u32::from_le_bytes(bytes))),
            (bytes, step) => {
                for (out, step) in out.iter_mut().zip(row.chunks_exact(step)) {
                    *out = sample(word(&step[..bytes]));
                }
            }
        }
    }
}

/// A compiler that knows the step makes vectors of it.
#[inline(always)]
fn each_step<const STEP: usize>(row: &[u8], out: &mut [f32], sample: impl Fn([u8; STEP]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(row.as_chunks::<STEP>().0) {
        *out = sample(*bytes);
    }
}

/// A little-endian word of at most 4 bytes.
#[inline]
fn word(bytes: &[u8]) -> u32 {
    match *bytes {
        [a] => u32::from(a),
        [a, b] => u32::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// How the samples of a component lie, and their step and offset, if they are no bytes.
fn words(info: &gst_video::VideoInfo, index: usize) -> Option<(Words, usize, usize)> {
    use gst_video::VideoFormat::{Bgr10a2Le, Rgb10a2Le, V210, Y410};
    /// One sample in each word, above as many bits as the index says.
    static ABOVE: [[(usize, u32); 1]; 32] = {
        let mut above = [[(0, 0)]; 32];
        let mut bits = 0;
        while bits < above.len() {
            above[bits][0].1 = bits as u32;
            bits += 1;
        }
        above
    };
    let four = |places| Words { bytes: 4, places };
    let format = info.format_info();
    Some(match info.format() {
        Rgb10a2Le => (four(&ABOVE[[0, 10, 20, 30][index]]), 4, 0),
        Bgr10a2Le => (four(&ABOVE[[20, 10, 0, 30][index]]), 4, 0),
        Y410 => (four(&ABOVE[[10, 0, 20, 30][index]]), 4, 0),
        V210 => {
            // Six pixels in four words of three samples: U Y V, Y U Y, V Y U, Y V Y.
            let places: [&'static [(usize, u32)]; 3] = [
                &[(0, 10), (4, 0), (4, 20), (8, 10), (12, 0), (12, 20)],
                &[(0, 0), (4, 10), (8, 20)],
                &[(0, 20), (8, 0), (12, 10)],
            ];
            (four(places[index]), 16, 0)
        }
        _ if format.depth()[index] > 8 => {
            let places = &ABOVE[format.shift()[index] as usize % ABOVE.len()];
            let component = index as u8;
            let (step, offset) = (info.comp_pstride(component), info.comp_poffset(component));
            // Of P010 and its kin GStreamer 1.22 counts the offset in words.
            (
                Words { bytes: 2, places },
                step as usize,
                (offset as usize).next_multiple_of(2),
            )
        }
        _ => return None,
    })
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
        // BGR10A2 has bits for an opacity, which GStreamer does not know.
        let colors = |index: &u32| *index < 3 || alpha == Some(*index);
        let components = (0..info.n_components())
            .filter(colors)
            .map(|index| {
                let at = index as u8;
                let words = words(info, index as usize);
                let (columns, rows) = (format.w_sub()[index as usize], format.h_sub()[index as usize]);
                Component {
                    channel: if alpha == Some(index) {
                        Channel::Alpha
                    } else {
                        Channel::Color(index as usize)
                    },
                    plane: info.comp_plane(at) as usize,
                    offset: words.map_or(info.comp_poffset(at) as usize, |(_, _, offset)| offset),
                    step: words.map_or(info.comp_pstride(at) as usize, |(_, step, _)| step),
                    width: info.comp_width(at) as usize,
                    height: info.comp_height(at) as usize,
                    extent_width: f64::from(info.width()) / f64::from(1u32 << columns),
                    extent_height: f64::from(info.height()) / f64::from(1u32 << rows),
                    across: 1 << columns,
                    down: 1 << rows,
                    max: (1 << format.depth()[index as usize]) - 1,
                    words: words.map(|(words, ..)| words),
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
            (bytes.max(component.end()), rows.max(component.height))
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
    fn every_bit_of_a_row_belongs_to_at_most_one_sample() {
        for format in FORMATS {
            for (width, height) in [(1, 1), (5, 3), (16, 8)] {
                let layout = layout(format, width, height);
                let mut colors = 0;
                for plane in 0..layout.planes {
                    let (bytes, _) = layout.plane_size(plane);
                    let mut row = vec![0; bytes];
                    for component in layout.in_plane(plane) {
                        colors += 1;
                        for i in 0..component.width {
                            assert_eq!(component.get(&row, i), 0, "{format:?} plane {plane}");
                            component.set(&mut row, i, component.max);
                            assert_eq!(component.get(&row, i), component.max);
                        }
                    }
                }
                assert_eq!(colors, layout.components.len(), "{format:?}");
            }
        }
    }

    #[test]
    fn what_is_read_and_written_again_is_the_same() {
        for format in FORMATS {
            let layout = layout(format, 37, 5);
            let before = OwnedFrame::new(&layout, 3, noise(5));
            let mut after = before.clone();
            for component in &layout.components {
                let (data, stride) = &mut after.planes[component.plane];
                for row in data.chunks_mut(*stride).take(component.height) {
                    let mut values = vec![0.0; component.width - 1];
                    component.read(row, 1, &mut values);
                    component.write(row, 1, &values);
                }
            }
            assert_eq!(before, after, "{format:?}");
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
