//! The trainer of factorized diffusion models.
//!
//! [`data`] turns folders of images into noised batches, [`recipe`] says how to train,
//! [`training`] runs Algorithm 1 with exact resume, [`evaluate`] measures segmentations, and
//! [`cli`] is the program `factorseg` around them.

pub mod cli;
pub mod data;
pub mod evaluate;
pub mod recipe;
pub mod training;
