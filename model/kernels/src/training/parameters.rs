//! Where each parameter lies in the flat vector of all.

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
    /// The parameter's place among all.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.shape.iter().product::<usize>()
    }
}

/// All parameters in the order in which a checkpoint's network lists them.
#[derive(Debug, Default)]
pub(crate) struct ParameterList {
    pub(crate) list: Vec<Parameter>,
    pub(crate) length: usize,
}

impl ParameterList {
    /// Adds a parameter and returns where it begins.
    pub(crate) fn add(&mut self, name: String, shape: &[usize]) -> usize {
        let offset = self.length;
        self.length += shape.iter().product::<usize>();
        self.list.push(Parameter {
            name,
            shape: shape.to_vec(),
            offset,
        });
        offset
    }
}
