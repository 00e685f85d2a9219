//! Which image is seen when: a pure function of the seed and the position.
//!
//! Epoch `e` visits every image once in a permutation drawn from `(seed, e)`; position `p` of the
//! run is image `p mod n` of epoch `p / n`. Nothing is carried from one step to the next, so a
//! resumed run continues with exactly the images it would have seen.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Purposes of random numbers, so that no two share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Order of the images within an epoch.
    Order,
    /// Crop, flip, label dropout, timestep and noise of one sample.
    Sample,
    /// Random start of the mask head.
    MaskHead,
    /// Random numbers of a mask transformation during one step.
    Masks,
    /// Noise of the held-out images.
    HeldOut,
    /// Everything random in the loss of the held-out images.
    HeldOutLoss,
    /// The weights that a network starts with.
    Weights,
}

/// A generator for one purpose and one position of the run.
pub fn random(seed: u64, stream: Stream, position: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(stream as u64).to_le_bytes());
    key[16..24].copy_from_slice(&position.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// A generator for part `part` of one position: parts may be computed in any order, and anywhere. The first one is
/// [`random`]'s.
pub fn random_part(seed: u64, stream: Stream, position: u64, part: usize) -> ChaCha8Rng {
    let mut random = random(seed, stream, position);
    random.set_stream(part as u64);
    random
}

/// Turns positions of the run into image indices.
#[derive(Debug)]
pub struct Order {
    seed: u64,
    permutation: Vec<u32>,
    epoch: Option<u64>,
}

impl Order {
    /// An order over `images` images (at least one).
    pub fn new(seed: u64, images: usize) -> Self {
        assert!(images > 0, "an order needs at least one image");
        Self {
            seed,
            permutation: (0..images as u32).collect(),
            epoch: None,
        }
    }

    /// Image at `position`, counted from the start of the run.
    pub fn image(&mut self, position: u64) -> usize {
        let images = self.permutation.len() as u64;
        let epoch = position / images;
        if self.epoch != Some(epoch) {
            for (index, slot) in self.permutation.iter_mut().enumerate() {
                *slot = index as u32;
            }
            self.permutation.shuffle(&mut random(self.seed, Stream::Order, epoch));
            self.epoch = Some(epoch);
        }
        self.permutation[(position % images) as usize] as usize
    }
}

#[cfg(test)]
mod tests;
