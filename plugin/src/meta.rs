//! What every output buffer says of its mask: a `GstCustomMeta` named `factorseg`.
//!
//! Its structure, for C and Python (`buffer.get_custom_meta("factorseg").get_structure()`):
//!
//! | field | type | meaning |
//! |---|---|---|
//! | `class` | string | class that the network was conditioned on, or `none` |
//! | `timestep` | uint | noise level |
//! | `mask-pts` | uint64 | timestamp of the frame that the mask was computed from, in ns |
//! | `mask-age` | uint64 | how far that frame is from this one, in ns: older, or later where the stream is played backwards; 0 for its own mask |
//! | `regions` | array of structures | one for each region, in order |
//!
//! `mask-pts` and `mask-age` are missing where frames have no timestamps. Each structure in `regions`:
//!
//! | field | type | meaning |
//! |---|---|---|
//! | `id` | uint | number of the region, from 1 |
//! | `foreground` | boolean | whether it is foreground |
//! | `area` | double | share of the picture that it wins, 0 to 1 |
//! | `x`, `y`, `width`, `height` | double | box around it in shares of the picture, missing if it wins nothing |
//!
//! Coordinates are normalised, so that they stay right when the video is scaled. The meta has no tags and is
//! copied by `tee`, `queue`, `videoconvert`, `videoscale` and encoders that copy metas. A buffer without the
//! meta has no mask.

use gstreamer as gst;

pub use crate::engine::mask::Bounds;
use crate::engine::mask::Mask;

/// Name of the meta.
pub const NAME: &str = "factorseg";

/// Makes the meta known to GStreamer; again is allowed. The plugin does it when it is loaded.
pub fn register() {
    if !gst::meta::CustomMeta::is_registered(NAME) {
        gst::meta::CustomMeta::register(NAME, &[]);
    }
}

/// Takes from a buffer what an element before this one said of its mask: it is drawn on, and readers would find that first.
///
/// # Errors
/// If the buffer holds on to it.
pub(crate) fn remove(buffer: &mut gst::Buffer) -> Result<(), gst::glib::BoolError> {
    if gst::meta::CustomMeta::from_buffer(buffer, NAME).is_err() {
        return Ok(());
    }
    #[cfg(feature = "v1_26")]
    if let Some(before) = FrameReport::from_buffer(buffer) {
        crate::analytics::remove(&before, buffer.make_mut());
    }
    let buffer = buffer.make_mut();
    while let Ok(meta) = gst::meta::CustomMeta::from_mut_buffer(buffer, NAME) {
        meta.remove()?;
    }
    Ok(())
}

/// The meta in Rust.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameReport {
    /// Class that the network was conditioned on, or `none`.
    pub class: String,
    /// Noise level.
    pub timestep: u32,
    /// Timestamp of the frame that the mask was computed from.
    pub mask_pts: Option<gst::ClockTime>,
    /// How far that frame is from this one: older, or later where the stream is played backwards.
    pub mask_age: Option<gst::ClockTime>,
    /// The regions, in order.
    pub regions: Vec<RegionReport>,
}

/// One region of a [`FrameReport`].
#[derive(Clone, Debug, PartialEq)]
pub struct RegionReport {
    /// Number of the region, from 1.
    pub id: u32,
    /// Whether it is foreground.
    pub foreground: bool,
    /// Share of the picture that it wins, `0..=1`.
    pub area: f64,
    /// The box around it, `None` if it wins nothing.
    pub bounds: Option<Bounds>,
}

impl FrameReport {
    /// What is to be said of a mask on a frame with timestamp `pts`.
    pub(crate) fn new(mask: &Mask, is_foreground: &[bool], pts: Option<gst::ClockTime>) -> Self {
        Self {
            class: mask.class.to_string(),
            timestep: mask.timestep as u32,
            mask_pts: mask.pts,
            mask_age: age(mask.pts, pts),
            regions: mask
                .regions
                .iter()
                .zip(is_foreground)
                .zip(1..)
                .map(|((facts, &foreground), id)| RegionReport {
                    id,
                    foreground,
                    area: facts.area,
                    bounds: facts.bounds,
                })
                .collect(),
        }
    }

    /// Reads the meta of a buffer; `None` if it has none.
    pub fn from_buffer(buffer: &gst::BufferRef) -> Option<Self> {
        let meta = gst::meta::CustomMeta::from_buffer(buffer, NAME).ok()?;
        Self::from_structure(meta.structure())
    }

    /// Adds the meta to a buffer.
    ///
    /// # Errors
    /// If it is not [registered](register).
    pub fn attach(&self, buffer: &mut gst::BufferRef) -> Result<(), gst::glib::BoolError> {
        let mut meta = gst::meta::CustomMeta::add(buffer, NAME)?;
        self.write(meta.mut_structure());
        Ok(())
    }

    /// The same as the meta's structure, by itself.
    pub(crate) fn to_structure(&self) -> gst::Structure {
        let mut structure = gst::Structure::new_empty(NAME);
        self.write(&mut structure);
        structure
    }

    fn write(&self, structure: &mut gst::StructureRef) {
        structure.set("class", &self.class);
        structure.set("timestep", self.timestep);
        if let Some(pts) = self.mask_pts {
            structure.set("mask-pts", pts);
        }
        if let Some(age) = self.mask_age {
            structure.set("mask-age", age);
        }
        let regions = self.regions.iter().map(RegionReport::to_structure);
        structure.set("regions", gst::Array::new(regions));
    }

    fn from_structure(structure: &gst::StructureRef) -> Option<Self> {
        Some(Self {
            class: structure.get("class").ok()?,
            timestep: structure.get("timestep").ok()?,
            mask_pts: structure.get("mask-pts").ok(),
            mask_age: structure.get("mask-age").ok(),
            regions: structure
                .get::<gst::Array>("regions")
                .ok()?
                .iter()
                .map(|value| {
                    let region = value.get::<gst::Structure>().ok()?;
                    RegionReport::from_structure(&region)
                })
                .collect::<Option<_>>()?,
        })
    }
}

impl RegionReport {
    fn to_structure(&self) -> gst::Structure {
        let mut structure = gst::Structure::builder("region")
            .field("id", self.id)
            .field("foreground", self.foreground)
            .field("area", self.area)
            .build();
        if let Some(bounds) = self.bounds {
            structure.set("x", bounds.x);
            structure.set("y", bounds.y);
            structure.set("width", bounds.width);
            structure.set("height", bounds.height);
        }
        structure
    }

    fn from_structure(structure: &gst::StructureRef) -> Option<Self> {
        let number = |name: &str| structure.get::<f64>(name).ok();
        let bounds = || {
            Some(Bounds {
                x: number("x")?,
                y: number("y")?,
                width: number("width")?,
                height: number("height")?,
            })
        };
        Some(Self {
            id: structure.get("id").ok()?,
            foreground: structure.get("foreground").ok()?,
            area: number("area")?,
            bounds: bounds(),
        })
    }
}

/// How far a mask's frame is from another frame; backwards, if the stream is played backwards.
pub(crate) fn age(mask: Option<gst::ClockTime>, frame: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let (mask, frame) = (mask?, frame?);
    Some(frame.max(mask) - frame.min(mask))
}

#[cfg(test)]
mod tests;
