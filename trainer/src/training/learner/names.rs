//! Parts of the network, by the names of their parameters.

use factorseg_kernels::Learned;

use crate::recipe::{Phase, Recipe};

/// Name prefix of the mask generator's parameters.
pub(in crate::training) const MASK_GENERATOR: &str = "mask_generator.";
/// Name prefix of the decoder's parameters.
pub(in crate::training) const DECODER: &str = "decoder.";
/// Name prefix of the mask generator's last convolution.
pub(in crate::training) const MASK_HEAD: &str = "mask_generator.conv_out.";

/// The vectors of all classes, that of "no class" last.
pub(in crate::training) const CLASSES: &str = "class_embedding.weight";

/// The parts that learn in a phase: the mask generator does only where it makes the masks.
pub(super) fn learned(phase: &Phase) -> Learned {
    Learned {
        encoder: phase.denoiser_factor * phase.encoder_factor > 0.0,
        mask_generator: phase.mask_head.is_learned() && phase.mask_generator_factor > 0.0,
        decoder: phase.denoiser_factor > 0.0,
    }
}

/// Learning rate of a parameter in a phase of a recipe, in multiples; 0 if it does not learn.
pub(super) fn rate_factor(recipe: &Recipe, phase: &Phase, name: &str) -> f64 {
    if name.starts_with(DECODER) {
        match recipe.self_training {
            Some(_) => 0.0,
            None => phase.denoiser_factor,
        }
    } else if !name.starts_with(MASK_GENERATOR) {
        phase.denoiser_factor * phase.encoder_factor
    } else if phase.mask_head.is_learned() {
        phase.mask_generator_factor
    } else {
        0.0
    }
}
