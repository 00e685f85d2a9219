//! What is packed, and how: what readers of sources hand to the packer.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use image::{GrayImage, RgbImage};

use crate::dataset::DataSet;
use crate::skipped::Skipped;

/// Which frames of a video are taken, if this is built to decode videos.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameOptions {
    /// Most frames of one video.
    pub per_video: usize,
    /// Frames that are looked at in each second.
    pub per_second: f64,
    /// Bits of 64, in which the perceptual hashes of two frames of the same picture may differ.
    pub duplicate_bits: u32,
}

impl Default for FrameOptions {
    fn default() -> Self {
        Self {
            per_video: 200,
            per_second: 2.0,
            duplicate_bits: 5,
        }
    }
}

/// Who says where the object is in the frames of a video.
pub trait Witness: Debug + Send + Sync {
    /// For each of some successive frames of one shot how surely each pixel is the object, 0 to 255, at any size; `None` where
    /// that is not sure.
    ///
    /// # Errors
    /// If it cannot look.
    fn objects(&self, frames: &[RgbImage]) -> Result<Vec<Option<GrayImage>>, String>;
}

/// How to pack.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// Shorter side of the packed pictures, in pixels.
    pub side: usize,
    /// Keep only the middle square, as guided-diffusion does; else up to two to one.
    pub square: bool,
    /// Leave out the classes.
    pub unconditional: bool,
    /// Threads that read and decode.
    pub threads: usize,
    /// Broken pictures and videos that are skipped before packing stops.
    pub max_broken: usize,
    /// Frames of videos.
    pub frames: FrameOptions,
    /// Who says where the object is in the frames of videos; frames of which nothing is said are left out then.
    pub witness: Option<Arc<dyn Witness>>,
    /// Settings of the object store (`aws_endpoint`, `allow_http`, ...), which go before those of the environment.
    pub store: Vec<(String, String)>,
}

/// A picture or video to decode.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) class: Option<String>,
    pub(crate) content: Content,
}

#[cfg(feature = "object-store")]
impl Input {
    /// What else was there beside pictures.
    pub(crate) fn skipped(skipped: Skipped) -> Self {
        Self {
            name: String::new(),
            class: None,
            content: Content::Skipped(skipped),
        }
    }
}

/// Where its bytes are.
pub(crate) enum Content {
    /// A picture of a set.
    Indexed(DataSet, usize),
    /// A file.
    File(PathBuf),
    /// A downloaded picture.
    #[cfg_attr(not(feature = "object-store"), allow(dead_code))]
    Bytes(Vec<u8>),
    /// A downloaded video.
    #[cfg_attr(not(feature = "object-store"), allow(dead_code))]
    Temporary(tempfile::NamedTempFile),
    /// No picture: what else was there.
    #[cfg_attr(not(feature = "object-store"), allow(dead_code))]
    Skipped(Skipped),
    /// It could not be fetched, and why.
    #[cfg_attr(not(feature = "object-store"), allow(dead_code))]
    Failed(String),
}
