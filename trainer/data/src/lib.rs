//! Training pictures, from wherever they are.
//!
//! [`source`] names a place: a folder of pictures and videos, tar shards, a packed file, an object
//! store. [`dataset`] gives random access to the pictures of a place that has it (folders of
//! pictures, local shards, packed files); [`packing`] turns any other into a packed file first, in
//! one pass. [`pack`] is that file's format. [`cache`] keeps decoded pixels in memory, and
//! [`order`] fixes which picture is seen when.
//!
//! Nothing here knows the network: the crate compiles in seconds.

pub mod cache;
mod classes;
pub mod dataset;
pub mod decode;
pub mod error;
pub mod folder;
mod input;
pub mod labels;
pub mod masks;
pub mod order;
pub mod pack;
pub mod packing;
pub mod picture;
#[cfg(feature = "object-store")]
mod remote;
pub mod resample;
pub mod shards;
pub mod skipped;
pub mod source;
pub mod testing;
#[cfg(feature = "video")]
pub mod video;
mod writer;

pub use error::DataError;
