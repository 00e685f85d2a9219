//! A media application around the element `factorseg`: any video in, an overlay video and a poster out.
//!
//! It links the plugin, so it runs without `GST_PLUGIN_PATH`. The library part is what the application is made of:
//! [`input`] (a video file, a folder of frames, or the demonstration clip), [`clip`] (that clip) and [`overlay`]
//! (the pipeline).

pub mod clip;
pub mod input;
pub mod overlay;
