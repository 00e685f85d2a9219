//! How well masks segment, beside what nothing learned scores.
//!
//! [`metrics`] compares two masks, [`boundary`] their outlines, [`series`] sums up a sequence of frames; [`baselines`]
//! and [`picture_baselines`] are scores that need no model, without and with a look at the picture; [`assignment`] says
//! which regions are the object. [`items`] knows how data sets of pictures lie on disk; [`still`] measures them against one
//! object, [`parts`] against several classes, [`davis`] measures videos and [`fid`] generated pictures. [`clusters`] segments without a mask generator.

pub mod assignment;
pub mod baselines;
pub mod boundary;
pub mod clusters;
pub(crate) mod common_grid;
pub mod davis;
pub mod fid;
pub(crate) mod files;
pub mod inception;
pub mod items;
mod k_means;
mod matlab;
pub mod metrics;
pub mod parts;
pub mod picture_baselines;
pub(crate) mod predictions;
pub mod segment;
pub mod series;
pub mod sheet;
pub mod still;
#[cfg(test)]
mod testing;
