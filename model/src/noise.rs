//! Standard normal noise that is the same on every device.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// `length` standard normal values, a function of the seed alone (ChaCha8, Box-Muller in double precision).
pub fn standard_normal(seed: u64, length: usize) -> Vec<f32> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut values = Vec::with_capacity(length + 1);
    while values.len() < length {
        // 1 - [0, 1) keeps the logarithm finite.
        let radius = (-2.0 * (1.0 - generator.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * generator.random::<f64>();
        values.push((radius * angle.cos()) as f32);
        values.push((radius * angle.sin()) as f32);
    }
    values.truncate(length);
    values
}

#[cfg(test)]
mod tests;
