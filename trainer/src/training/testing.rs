//! What tests of several modules need.

use crate::data::batch::normal;
use crate::data::order::{Stream, random};

/// Normal values, the same for the same seed.
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut values = Vec::new();
    normal(&mut random(seed, Stream::Sample, 0), count, &mut values);
    values
}
