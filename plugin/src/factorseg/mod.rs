//! # factorseg
//!
//! Segments raw video into regions and draws them on the frames. Each frame is noised once and passed once
//! through a factorized diffusion model, which was trained without labels; the soft regions that it returns
//! are drawn in the frame's own planes.
//!
//! ## Example pipelines
//!
//! ```sh
//! gst-launch-1.0 videotestsrc num-buffers=100 ! video/x-raw,width=640,height=480 ! factorseg ! videoconvert ! autovideosink
//! ```
//! A test picture with its regions tinted.
//!
//! ```sh
//! gst-launch-1.0 filesrc location=holiday.mp4 ! decodebin ! videoconvert ! factorseg overlay=contour ! videoconvert ! x264enc ! mp4mux ! filesink location=out.mp4
//! ```
//! A file with the outlines of its regions; every frame is segmented.
//!
//! ```sh
//! gst-launch-1.0 v4l2src ! videoconvert ! factorseg overlay=blur-background ! videoconvert ! autovideosink
//! ```
//! A camera with a blurred background; the source is live, so no frame waits for the network.
//!
//! ```sh
//! gst-launch-1.0 compositor name=c background=white ! videoconvert ! autovideosink videotestsrc num-buffers=100 ! video/x-raw,format=I420 ! factorseg overlay=foreground ! c.
//! ```
//! The object alone, above another picture: frames in I420 get an opacity where the next element takes one.
//!
//! ```sh
//! gst-launch-1.0 filesrc location=holiday.mp4 ! decodebin ! videoconvert ! factorseg name=s overlay=none mask_0::format=foreground s.src ! queue ! fakesink s.mask_0 ! queue ! videoconvert ! x264enc ! mp4mux ! filesink location=mask.mp4
//! ```
//! The mask itself as a grey video.
//!
//! ## Masks
//!
//! Each request pad `mask_%u` carries one GRAY8 picture for every frame, with the frame's size and timestamps.
//! Its property `format` says what the bytes mean: `labels` (number of the winning region from 1),
//! `foreground` (probability, 0 to 255), `foreground-hard` (0 or 255), `regions` (probability of each region,
//! one picture below the other). While there is no mask yet, all bytes are 0. Put a queue behind every pad. Tags, events,
//! latency and QoS are those of the video.
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
//! last mask instead of their own (`qos=false` turns that off), and upstream is not told to drop any for that.
//!
//! A live source in `every-frame` gets the time that frames wait reported as latency, once the first frames are
//! through and again when it changes.
//!
//! ## From mask to picture
//!
//! Each region of a mask gets a histogram of the frame's colours in it, and `color-model` judges every pixel again by how
//! typical its colour is of each, and by how far it stands apart from the frame's border. `motion-model` looks for what moves on its own since the last frame that was segmented,
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
//! A model, device, class or other value that cannot be used is one error message that names it; while frames flow it is
//! one warning, and what was valid before stays. A frame that
//! cannot be segmented is one too, or with `on-error=passthrough` a warning, after which frames pass without masks
//! until it works again. An engine that panics is not used again; the next start loads it anew. A panic anywhere else is one error
//! message, too, and the element can be stopped and started again.
//!
//! Since: 0.1.0

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

pub use crate::engine::request::{EngineError, EngineFactory, EngineRequest};
pub use crate::settings::{ErrorPolicy, FillHoles, MaskFormat, Mode, Overlay, Precision, Refine};
use crate::sync::lock;

mod canvas;
mod continuity;
mod element;
mod events;
mod frames;
mod guard;
mod imp;
mod latency;
mod loading;
mod mask_pad;
mod negotiation;
mod outputs;
mod qos;
mod queue;
mod session;

glib::wrapper! {
    /// The element `factorseg`.
    pub struct FactorSeg(ObjectSubclass<element::FactorSeg>)
        @extends gst::Element, gst::Object,
        @implements gst::ChildProxy, gst::Preset;
}

glib::wrapper! {
    /// A pad `mask_%u` of the element.
    pub struct FactorSegMaskPad(ObjectSubclass<mask_pad::FactorSegMaskPad>)
        @extends gst::Pad, gst::Object;
}

impl FactorSeg {
    /// Makes the element take its engine from `factory` instead of loading a checkpoint: for applications
    /// with a network of their own, and for tests. Takes effect on the next change to `READY`.
    pub fn set_engine_factory(&self, factory: EngineFactory) {
        *lock(&self.imp().factory) = Some(factory);
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
