//! Parts of the network, by the names of their parameters.

use std::ops::Range;

use factorseg_kernels::{Learned, Parameter};

use crate::recipe::{Phase, Recipe};

/// Name prefix of the mask generator's parameters.
pub(in crate::training) const MASK_GENERATOR: &str = "mask_generator.";
/// Name prefix of the decoder's parameters.
pub(in crate::training) const DECODER: &str = "decoder.";
/// Name prefix of the mask generator's last convolution.
pub(in crate::training) const MASK_HEAD: &str = "mask_generator.conv_out.";
/// Name prefix of the encoder's parameters; embedding and middle block learn with it.
pub(in crate::training) const ENCODER: &str = "encoder.";
/// The vectors of all classes, that of "no class" last.
pub(in crate::training) const CLASSES: &str = "class_embedding.weight";

/// What is added to every timestep's embedding.
pub(in crate::training) const TIMESTEP_BIAS: &str = "time_embedding.linear_2.bias";

/// Where the parameters of a part are, whose names begin with `prefix`, among all: one after the other.
pub(super) fn part(list: &[Parameter], prefix: &str) -> Range<usize> {
    let mut places = list
        .iter()
        .filter(|one| one.name.starts_with(prefix))
        .map(Parameter::range);
    let first = places.next().unwrap_or(0..0);
    first.start..places.next_back().map_or(first.end, |last| last.end)
}

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
    } else if phase.masks.parts.is_some() && !name.starts_with(MASK_HEAD) {
        // What the larger regions' masks are made of.
        0.0
    } else if phase.mask_head.is_learned() {
        phase.mask_generator_factor
    } else {
        0.0
    }
}
