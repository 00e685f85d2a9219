//! GStreamer plugin with the element [`factorseg`](mod@factorseg): unsupervised segmentation of video by a
//! factorized diffusion model.
//!
//! As a shared library it is found by GStreamer in `GST_PLUGIN_PATH`. An application can link it instead:
//!
//! ```
//! gstreamer::init()?;
//! gstfactorseg::plugin_register_static()?;
//! assert!(gstreamer::ElementFactory::find("factorseg").is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The way of a frame: `factorseg/frames` takes it in, `pixels/sampling` averages it, it waits in `factorseg/queue`, is
//! segmented in `engine/worker`, drawn on by `paint`, described by [`meta`] and leaves in `factorseg/outputs`. Events and
//! queries are in `factorseg/events`, properties in `settings`.

use gstreamer as gst;

#[cfg(feature = "v1_26")]
mod analytics;
mod engine;
pub mod factorseg;
pub mod meta;
mod paint;
mod pixels;
mod settings;
mod sync;

/// What examples and tests measure and look at; no part of the API.
#[doc(hidden)]
pub mod parts {
    pub use crate::engine::mask;
    pub use crate::paint::{blend, contour, guided, layers, overlay, render};
    pub use crate::pixels::{layout, sampling};
}

/// The presets that are shipped, as a key file: where they are not installed, applications read them here.
pub const PRESETS: &str = include_str!("../presets/GstFactorSeg.prs");

pub use factorseg::FactorSeg;
pub use meta::FrameReport;

pub use plugin::{plugin_desc, plugin_register_static};

/// What the macro makes has no documentation of its own.
#[allow(missing_docs)]
mod plugin {
    use super::{factorseg, gst, meta};

    fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
        meta::register();
        factorseg::register(plugin)
    }

    gst::plugin_define!(
        factorseg,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        // GStreamer refuses plugins that tell none.
        "Unknown package origin",
        env!("BUILD_REL_DATE")
    );
}
