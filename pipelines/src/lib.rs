//! A media application around the element `factorseg`: any video in, an overlay video and a poster out.
//!
//! It links the plugin, so it runs without `GST_PLUGIN_PATH`. The library part is what the application is made of:
//! [`input`] (a video file, a folder of frames, or the demonstration clip), [`sound`] (what becomes of its sound),
//! [`overlay`] (the pipeline), [`shown`] (the frames that are done, and Ctrl-C), [`progress`] (what the terminal shows
//! meanwhile) and [`element`] (elements by name).

pub mod element;
pub mod input;
pub mod overlay;
pub mod progress;
pub mod shown;
pub mod sound;
