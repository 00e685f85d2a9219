//! Which parts of the network learn.

/// The parts of the network that learn: the others' gradients are left out, which saves their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// Encoder, middle block and embedding.
    pub encoder: bool,
    /// The mask generator.
    pub mask_generator: bool,
    /// The decoder.
    pub decoder: bool,
}

impl Learned {
    /// Nothing learns.
    pub const NOTHING: Self = Self {
        encoder: false,
        mask_generator: false,
        decoder: false,
    };

    /// Whether the parameter of a name learns.
    pub fn learns(self, name: &str) -> bool {
        match name.split('.').next() {
            Some("mask_generator") => self.mask_generator,
            Some("decoder") => self.decoder,
            _ => self.encoder,
        }
    }

    /// Whether the gradient by masks is wanted.
    pub fn before_masks(self) -> bool {
        self.encoder || self.mask_generator
    }
}

impl Default for Learned {
    /// All.
    fn default() -> Self {
        Self {
            encoder: true,
            mask_generator: true,
            decoder: true,
        }
    }
}
