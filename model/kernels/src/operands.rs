//! What convolutions read and add, in the segmentation plan and in training.

/// Index of an activation.
pub(crate) type TensorId = usize;

/// What a convolution reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reads {
    Image,
    Activations {
        first: TensorId,
        second: Option<TensorId>,
        upsample: bool,
    },
}

/// What a convolution adds to its products.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Adds {
    Nothing,
    /// The output's former content.
    Output,
    Tensor(TensorId),
}
