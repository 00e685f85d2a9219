//! Which parts of the network learn.

/// The parts of the network that learn: the others' gradients are left out, which saves their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// The mask generator.
    pub mask_generator: bool,
    /// Everything else: encoder, middle block, decoder and embedding.
    pub denoiser: bool,
}

impl Default for Learned {
    /// Both.
    fn default() -> Self {
        Self {
            mask_generator: true,
            denoiser: true,
        }
    }
}
