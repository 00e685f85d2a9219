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
//! Besides the element, the modules below are its parts, each usable and tested alone: [`sample`] (frame to
//! network input), [`worker`] (the inference thread), [`pool`] (engines that several elements share), [`mask`] (its result), [`overlay`] with [`draw`] and
//! [`contour`] (drawing on the frame's planes), [`guided`] with [`blend`] (the same along the frame's own edges), [`render`] (masks as pictures of their own), [`meta`] (what
//! every output buffer says of its mask). With the feature `analytics`, `analytics` says it to GStreamer's own elements too.

use gstreamer as gst;

#[cfg(feature = "analytics")]
pub mod analytics;
pub mod blend;
pub mod color;
pub mod contour;
pub mod draw;
pub mod factorseg;
pub mod guided;
pub mod layout;
pub mod mask;
pub mod meta;
pub mod overlay;
pub mod pool;
pub mod render;
pub mod sample;
pub mod settings;
pub mod simd;
pub mod worker;

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
