//! Where each parameter lies in the flat vector of all.

/// Index of a parameter tensor.
pub(crate) type ParameterId = usize;

/// One parameter tensor: its name in a checkpoint, its shape, and where it begins among all parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// For example `encoder.conv_in.weight`.
    pub name: String,
    /// Linear layers are [inputs, outputs], convolutions [outputs, inputs, height, width].
    pub shape: Vec<usize>,
    /// Index of its first number.
    pub offset: usize,
}

impl Parameter {
    /// Whether it belongs to the decoder, which segmentation does without.
    pub fn is_decoder(&self) -> bool {
        self.name.starts_with("decoder.")
    }

    /// The parameter's place among all.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.shape.iter().product::<usize>()
    }
}

/// All parameters in the order in which a checkpoint's network lists them.
#[derive(Debug, Default)]
pub(crate) struct ParameterList(pub(crate) Vec<Parameter>);

impl ParameterList {
    pub(crate) fn add(&mut self, name: String, shape: &[usize]) -> ParameterId {
        self.0.push(Parameter {
            name,
            shape: shape.to_vec(),
            offset: self.0.last().map_or(0, |last| last.range().end),
        });
        self.0.len() - 1
    }
}
