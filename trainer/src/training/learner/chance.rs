//! What both kinds of learners draw at random.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::data::batch::normal;

/// For each image, whether the decoder sees `h_mid` (1) or not (0).
pub(super) fn kept_middles(chance: &mut ChaCha8Rng, images: usize, dropout: f64) -> Vec<f32> {
    (0..images)
        .map(|_| if chance.random::<f64>() < dropout { 0.0 } else { 1.0 })
        .collect()
}

/// Weights of a mask head that leaves the saddle.
pub(super) fn random_head(random: &mut ChaCha8Rng, std: Option<f64>, shape: &[usize]) -> Vec<f32> {
    let fan_in: usize = shape[1..].iter().product();
    let std = std.unwrap_or_else(|| 1.0 / (3.0 * fan_in as f64).sqrt());
    let mut values = Vec::new();
    normal(random, shape.iter().product(), &mut values);
    for value in &mut values {
        *value *= std as f32;
    }
    values
}
