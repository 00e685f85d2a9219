//! The seam between whoever has frames and the network.

use factorseg_refine::{InputImage, RegionMap};

use super::{SegmentError, SegmenterOptions};
use crate::labels::ClassLabel;
use crate::load::Precision;

/// What an [`Engine`] runs and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineInfo {
    /// Name of the checkpoint.
    pub model: String,
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// The CPU's instructions that it computes with: `amx` (AVX-512, with tiles for bf16), `avx512`, `avx2` or `portable`; empty on
    /// other devices.
    pub instructions: &'static str,
    /// What it computes in; never [`Precision::Auto`] where a network is loaded.
    pub precision: Precision,
    /// Number of regions, `K`.
    pub regions: usize,
    /// Number of timesteps, `T`.
    pub timesteps: usize,
    /// The classes, in the order of their indices; empty for an unconditional network.
    pub classes: Vec<ClassLabel>,
    /// Regions that are the object, where the checkpoint says so; else empty.
    pub foreground_regions: Vec<usize>,
    /// Why a device that [`DeviceSpec::Auto`] prefers is not used, where it was tried and failed.
    pub refused: Option<String>,
}

impl EngineInfo {
    /// Whether each region is the object; none is where the checkpoint does not say.
    pub fn is_foreground(&self) -> Vec<bool> {
        let foreground = &self.foreground_regions;
        (0..self.regions).map(|region| foreground.contains(&region)).collect()
    }
}

/// Shorter sides become the training side, and both are multiples of the network's stride; the aspect ratio is kept, up to 4:1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// The side that the network was trained at, in pixels.
    pub side: usize,
    /// What its sides are multiples of.
    pub stride: usize,
}

impl Sizing {
    /// No frame is resampled to a longer side than this many times the training side.
    const MAXIMUM_ASPECT: usize = 4;

    /// The size, `(width, height)`, that a frame of a size is resampled to.
    pub fn input_size(&self, width: usize, height: usize) -> (usize, usize) {
        let Self { side, stride } = *self;
        let shorter = width.min(height).max(1);
        let scaled = |length: usize| {
            let exact = (length * side) as f64 / shorter as f64;
            let rounded = (exact / stride as f64).round() as usize * stride;
            rounded.clamp(side, Self::MAXIMUM_ASPECT * side)
        };
        (scaled(width), scaled(height))
    }
}

/// Images in, region masks out: the seam between whoever has frames and the network.
pub trait Engine: Send {
    /// The size, `(width, height)`, that a frame is resampled to before [`Engine::segment`].
    fn input_size(&self, frame_width: usize, frame_height: usize) -> (usize, usize);

    /// Segments images; one result for each, of the image's size.
    ///
    /// # Errors
    /// If an image does not fit, or the network or its device fails.
    fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError>;

    /// Changes the options for the calls that follow; they stay as they were on an error.
    ///
    /// # Errors
    /// If an option is outside its range.
    fn set_options(&mut self, options: &SegmenterOptions) -> Result<(), SegmentError>;

    /// What runs, and where.
    fn info(&self) -> &EngineInfo;

    /// For how many images so far a refinement of the masks came to no result, so that they are the network's alone.
    fn unjudged(&self) -> u64 {
        0
    }

    /// The rule of [`Engine::input_size`], where it needs no engine: it can be asked while the engine is at work.
    fn sizing(&self) -> Option<Sizing> {
        None
    }
}
