//! How well masks segment, beside what nothing learned scores.
//!
//! [`metrics`] compares two masks, [`boundary`] their outlines, [`series`] sums up a sequence of frames; [`baselines`]
//! and [`picture_baselines`] are scores that need no model, without and with a look at the picture; [`assignment`] says
//! which regions are the object. [`still`] measures a data set of images with masks and [`davis`] one of video.

pub mod assignment;
pub mod baselines;
pub mod boundary;
mod common_grid;
pub mod davis;
mod files;
pub mod metrics;
mod pairs;
pub mod parts;
pub mod picture_baselines;
mod predictions;
pub mod segment;
pub mod series;
pub mod sheet;
pub mod still;
#[cfg(test)]
mod testing;
