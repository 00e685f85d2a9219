//! Parts of the network, by the names of their parameters.

/// Name prefix of the mask generator's parameters.
pub(in crate::training) const MASK_GENERATOR: &str = "mask_generator.";
/// Name prefix of the decoder's parameters.
pub(in crate::training) const DECODER: &str = "decoder.";
/// Name prefix of the mask generator's last convolution.
pub(in crate::training) const MASK_HEAD: &str = "mask_generator.conv_out.";
