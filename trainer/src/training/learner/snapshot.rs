//! The whole state of a learner, on the host.

/// Adam's memory of one parameter, flat.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Decaying mean of the gradient.
    pub first: Vec<f32>,
    /// Decaying mean of its square.
    pub second: Vec<f32>,
    /// Updates so far.
    pub updates: u64,
}

/// The whole state of a learner, by parameter in the network's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The weights.
    pub raw: Vec<Vec<f32>>,
    /// Their moving average.
    pub average: Vec<Vec<f32>>,
    /// Adam's moments; `None` before a parameter's first update.
    pub moments: Vec<Option<Moments>>,
}
