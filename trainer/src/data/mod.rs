//! Images in, training batches out.
//!
//! [`folder`] finds the images and their classes, [`decode`] turns one file into pixels,
//! [`cache`] keeps decoded pixels in memory, [`order`] fixes which image is seen when,
//! [`batch`] noises them (Eq. 1), and [`loader`] does all of it ahead of the training step.

pub mod batch;
pub mod cache;
pub mod decode;
pub mod folder;
pub mod loader;
pub mod order;
