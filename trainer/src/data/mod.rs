//! Images in, training batches out.
//!
//! What needs no network is the crate `factorseg-data`: [`dataset`] finds the images and their classes, [`decode`] turns
//! one file into pixels, [`packing`] turns any source into one mapped file, [`cache`] keeps decoded pixels in memory,
//! [`order`] fixes which image is seen when. Here [`batch`] noises them (Eq. 1), [`share`] says which of
//! them a process takes, and [`loader`] does all of it ahead of the training step; [`jitter`], [`teacher`] and [`labelled`] are for masks that are
//! learned from others.

pub mod batch;
pub mod jitter;
pub mod labelled;
pub mod loader;
mod moving;
pub mod share;
pub mod teacher;

#[cfg(feature = "video")]
pub use factorseg_data::video;
pub use factorseg_data::{
    DataError, cache, dataset, decode, folder, labels, masks, order, pack, packing, picture, resample, skipped, source,
    testing,
};
