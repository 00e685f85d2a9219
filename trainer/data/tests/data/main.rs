//! Pictures out of everything that they come in.

mod cache;
mod common;
mod labels;
mod pictures;
mod places;
#[cfg(feature = "object-store")]
mod remote;
mod resample;
mod shards;
#[cfg(feature = "video")]
mod videos;
