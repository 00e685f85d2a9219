//! How well masks segment, beside what nothing learned scores.
//!
//! [`metrics`] compares two masks, [`baselines`] are scores that need no model, [`assignment`]
//! says which regions are the object, and [`still`] measures a data set of images with masks.

pub mod assignment;
pub mod baselines;
pub mod metrics;
pub mod segment;
pub mod still;
