//! # factorseg
//!
//! Segments raw video into regions and draws them on the frames. Each frame is noised once and passed once
//! through a factorized diffusion model, which was trained without labels; the soft regions that it returns
//! are drawn in the frame's own planes.
//!
//! ## Example pipelines
//!
//! ```text
//! gst-launch-1.0 videotestsrc num-buffers=100 ! video/x-raw,width=640,height=480 ! factorseg ! videoconvert ! autovideosink
//! ```
//! A test picture with its regions tinted.
//!
//! ```text
//! gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! factorseg overlay=contour ! videoconvert ! x264enc ! mp4mux ! filesink location=out.mp4
//! ```
//! A file with the outlines of its regions; every frame is segmented.
//!
//! ```text
//! gst-launch-1.0 v4l2src ! videoconvert ! factorseg overlay=blur-background ! videoconvert ! autovideosink
//! ```
//! A camera with a blurred background; the source is live, so no frame waits for the network.
//!
//! ```text
//! gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! factorseg name=s overlay=none mask_0::format=foreground s.src ! queue ! fakesink s.mask_0 ! queue ! videoconvert ! x264enc ! mp4mux ! filesink location=mask.mp4
//! ```
//! The mask itself as a grey video.
//!
//! ## Masks
//!
//! Each request pad `mask_%u` carries one GRAY8 picture for every frame, with the frame's size and timestamps.
//! Its property `format` says what the bytes mean: `labels` (number of the winning region from 1),
//! `foreground` (probability, 0 to 255), `foreground-hard` (0 or 255), `regions` (probability of each region,
//! one picture below the other). While there is no mask yet, all bytes are 0. Put a queue behind every pad.
//!
//! Every buffer, of video and masks, also carries the facts of its mask: see [`crate::meta`].
//!
//! ## Modes
//!
//! `every-frame` is exact: each frame waits for its own mask. `latest` never waits: a thread segments the
//! newest frame it can get, and every frame passes at once with the newest mask there is (none at the very
//! start). `auto` asks upstream when the first frame comes: `latest` for live sources, else `every-frame`.
//!
//! A filter that makes frames wait longer than they last shows a frozen video on a clocked sink. In
//! `every-frame` the element therefore listens to the sink: while frames come late, they are drawn with the
//! last mask instead of their own (`qos=false` turns that off); no frame is dropped.
//!
//! A live source in `every-frame` gets the time that frames wait reported as latency, once the first frames are
//! through and again when it changes.
//!
//! ## From mask to picture
//!
//! Each region of a mask gets a histogram of the frame's colours in it, and `color-model` judges every pixel again by how
//! typical its colour is of each. `motion-model` looks for what moves on its own since the last frame that was segmented,
//! whatever the camera does, and makes it the object; where nothing does, it leaves the masks as they are. It brings
//! the object's mask along from frame to frame, and begins anew where a scene is cut. Which regions are the object
//! `foreground-regions` says; if all are, or none, there is nothing to judge.
//!
//! Masks are twice as wide and high as the network's input, or, without `motion-model`, as small as that. `refine=none`
//! interpolates them bilinearly; `refine=guided` moves their edges to those of the frame by a guided filter. Soft
//! masks of a model that is not sure can be hardened with `sharpness`, and calmed over time with `smoothing`, which
//! follows where masks differ and blends where they agree.
//!
//! ## Several elements
//!
//! Elements with the same `model` and `device` share one loaded model, and frames that wait for it at the same time
//! with the same options are segmented in one call. `model` and `device` may change while the element plays: the
//! new model is loaded beside the old one, which works until the new one takes over.
//!
//! ## Errors
//!
//! A model, device, class or other value that cannot be used is one error message that names it. A frame that
//! cannot be segmented is one too, or with `on-error=passthrough` a warning, after which frames pass without masks
//! until it works again. An engine that panics is not used again; the next start loads it anew.
//!
//! Since: 0.1.0

use std::sync::Arc;

use factorseg_model::Engine;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use crate::settings::EngineRequest;

mod canvas;
mod frames;
mod imp;
mod latency;
mod mask_pad;
mod outputs;
mod queue;
mod session;

/// What the network computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegPrecision")]
#[repr(i32)]
pub enum Precision {
    /// 32 bits on every device.
    #[default]
    #[enum_value(name = "Auto: f32", nick = "auto")]
    Auto,
    /// 32-bit floating point.
    #[enum_value(name = "32-bit floating point", nick = "f32")]
    F32,
    /// bfloat16 weights and inputs of convolutions.
    #[enum_value(name = "bfloat16, on CUDA and on processors with AVX512-BF16", nick = "bf16")]
    Bf16,
}

impl From<Precision> for factorseg_model::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Auto => Self::Auto,
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// When frames are segmented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegMode")]
#[repr(i32)]
pub enum Mode {
    /// As the source is live or not.
    #[default]
    #[enum_value(name = "Auto: latest if upstream is live, else every-frame", nick = "auto")]
    Auto,
    /// Each frame waits for its own mask.
    #[enum_value(name = "Every frame waits for its own mask (exact)", nick = "every-frame")]
    EveryFrame,
    /// Frames pass at once with the newest mask.
    #[enum_value(name = "Frames pass at once with the newest mask (never blocks)", nick = "latest")]
    Latest,
}

/// What is drawn on the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegOverlay")]
#[repr(i32)]
pub enum Overlay {
    /// Nothing.
    #[enum_value(name = "None: frames stay as they are", nick = "none")]
    None,
    /// Colours over the foreground regions.
    #[default]
    #[enum_value(name = "Tint: foreground regions in their colours", nick = "tint")]
    Tint,
    /// Lines around the foreground regions.
    #[enum_value(name = "Contour: lines around foreground regions", nick = "contour")]
    Contour,
    /// The foreground alone.
    #[enum_value(
        name = "Foreground: the rest is background-color, or transparent in formats with alpha",
        nick = "foreground"
    )]
    Foreground,
    /// The foreground sharp, the rest blurred.
    #[enum_value(
        name = "Blur background: all but the foreground is blurred",
        nick = "blur-background"
    )]
    BlurBackground,
}

/// How masks are brought to the size of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegRefine")]
#[repr(i32)]
pub enum Refine {
    /// Bilinear interpolation.
    #[default]
    #[enum_value(name = "None: bilinear interpolation", nick = "none")]
    None,
    /// Guided filter.
    #[enum_value(
        name = "Guided: along the frame's edges, for tint, foreground, blur-background and foreground masks",
        nick = "guided"
    )]
    Guided,
}

/// What happens when a frame cannot be segmented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegErrorPolicy")]
#[repr(i32)]
pub enum ErrorPolicy {
    /// The stream ends with an error message.
    #[default]
    #[enum_value(name = "Fail: error message, the stream ends", nick = "fail")]
    Fail,
    /// Frames pass without a mask.
    #[enum_value(name = "Pass through: one warning, frames pass without a mask", nick = "passthrough")]
    Passthrough,
}

/// What the bytes of a mask pad mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstFactorSegMaskFormat")]
#[repr(i32)]
pub enum MaskFormat {
    /// The winning region's number.
    #[default]
    #[enum_value(name = "Labels: number of the region that wins, from 1", nick = "labels")]
    Labels,
    /// Soft foreground.
    #[enum_value(name = "Foreground: its probability, 0 to 255", nick = "foreground")]
    Foreground,
    /// Hard foreground.
    #[enum_value(name = "Hard foreground: 255, the rest 0", nick = "foreground-hard")]
    HardForeground,
    /// All regions' probabilities.
    #[enum_value(
        name = "Regions: probability of each, 0 to 255, one picture below the other",
        nick = "regions"
    )]
    Regions,
}

glib::wrapper! {
    /// The element `factorseg`.
    pub struct FactorSeg(ObjectSubclass<imp::FactorSeg>)
        @extends gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

glib::wrapper! {
    /// A pad `mask_%u` of the element.
    pub struct FactorSegMaskPad(ObjectSubclass<mask_pad::FactorSegMaskPad>)
        @extends gst::Pad, gst::Object;
}

/// Why a factory has no engine.
pub type EngineError = Box<dyn std::error::Error + Send + Sync>;

/// Makes the engine that an element asks for.
pub type EngineFactory = Arc<dyn Fn(&EngineRequest) -> Result<Box<dyn Engine>, EngineError> + Send + Sync>;

impl FactorSeg {
    /// Makes the element take its engine from `factory` instead of loading a checkpoint: for applications
    /// with a network of their own, and for tests. Takes effect on the next change to `READY`.
    pub fn set_engine_factory(&self, factory: EngineFactory) {
        self.imp().set_engine_factory(factory);
    }
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let documented = [
        Precision::static_type(),
        Mode::static_type(),
        Overlay::static_type(),
        Refine::static_type(),
        ErrorPolicy::static_type(),
        MaskFormat::static_type(),
        FactorSegMaskPad::static_type(),
    ];
    for r#type in documented {
        r#type.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "factorseg", gst::Rank::NONE, FactorSeg::static_type())
}
