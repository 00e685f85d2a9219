//! Time and class embedding: rows of numbers, one for each image.

use crate::KernelError;
use crate::network::{EmbeddingLayers, LinearLayer, ParameterId};

/// A linear layer: [inputs, outputs] and bias among all parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear {
    pub(crate) weight: usize,
    pub(crate) bias: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Linear {
    /// The layer whose parameters begin where `place` says.
    pub(crate) fn placed(layer: &LinearLayer, mut place: impl FnMut(ParameterId) -> usize) -> Self {
        Self {
            weight: place(layer.weights.weight),
            bias: place(layer.weights.bias),
            inputs: layer.inputs,
            outputs: layer.outputs,
        }
    }

    /// `output = input weight + bias`
    pub(crate) fn forward(&self, parameters: &[f32], input: &[f32], output: &mut [f32]) {
        let bias = &parameters[self.bias..][..self.outputs];
        let weight = &parameters[self.weight..][..self.inputs * self.outputs];
        for (input, output) in input
            .chunks_exact(self.inputs)
            .zip(output.chunks_exact_mut(self.outputs))
        {
            output.copy_from_slice(bias);
            for (input, weight) in input.iter().zip(weight.chunks_exact(self.outputs)) {
                for (output, weight) in output.iter_mut().zip(weight) {
                    *output += input * weight;
                }
            }
        }
    }
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// The layers of the embedding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Embedding {
    pub(crate) linear_1: Linear,
    pub(crate) linear_2: Linear,
    /// Where the class table begins, and its rows; the last stands for "no class".
    pub(crate) table: Option<(usize, usize)>,
}

/// What a pass leaves, for as many images as there is room.
#[derive(Debug, Clone)]
pub(crate) struct Embedded {
    pub(crate) position: Vec<f32>,
    pub(crate) hidden: Vec<f32>,
    pub(crate) activated: Vec<f32>,
    /// The embedding, before the SiLU of the blocks that read it: [images, 4 C].
    pub(crate) sum: Vec<f32>,
    pub(crate) classes: Vec<usize>,
    /// After it.
    pub(crate) output: Vec<f32>,
}

impl Embedding {
    /// The layers of a network with so many classes; `place` as for [`Linear::placed`].
    pub(crate) fn placed(
        layers: &EmbeddingLayers,
        classes: usize,
        mut place: impl FnMut(ParameterId) -> usize,
    ) -> Self {
        Self {
            linear_1: Linear::placed(&layers.linear_1, &mut place),
            linear_2: Linear::placed(&layers.linear_2, &mut place),
            table: layers.classes.map(|table| (place(table), classes + 1)),
        }
    }

    /// Room for a batch.
    pub(crate) fn room(&self, images: usize) -> Embedded {
        let wide = || vec![0.0; images * self.linear_2.outputs];
        Embedded {
            position: vec![0.0; images * self.linear_1.inputs],
            hidden: wide(),
            activated: wide(),
            sum: wide(),
            classes: Vec::with_capacity(images),
            output: wide(),
        }
    }

    /// Whether a class is one of the network's, or its number of classes, which stands for "no class". Any is where there
    /// are none.
    pub(crate) fn check_class(&self, class: i64) -> Result<(), KernelError> {
        match self.table {
            Some((_, rows)) if class < 0 || class >= rows as i64 => Err(KernelError::Size(format!(
                "there is no class {class}; the network has 0 to {}",
                rows - 1
            ))),
            _ => Ok(()),
        }
    }

    /// `timesteps` are the paper's, 1..=T; `classes` (one a timestep, each checked) may be missing.
    pub(crate) fn forward(
        &self,
        parameters: &[f32],
        timesteps: &[f32],
        classes: Option<&[i32]>,
        embedded: &mut Embedded,
    ) {
        let (rows, width, inputs) = (timesteps.len(), self.linear_2.outputs, self.linear_1.inputs);
        let half = inputs / 2;
        for (line, timestep) in embedded.position.chunks_exact_mut(inputs).zip(timesteps) {
            for index in 0..half {
                let frequency = (-(10_000f64.ln()) * index as f64 / half as f64).exp();
                let angle = f64::from(timestep - 1.0) * frequency;
                line[index] = angle.cos() as f32;
                line[half + index] = angle.sin() as f32;
            }
        }
        let position = &embedded.position[..rows * inputs];
        let hidden = &mut embedded.hidden[..rows * width];
        self.linear_1.forward(parameters, position, hidden);
        for (activated, hidden) in embedded.activated.iter_mut().zip(hidden) {
            *activated = silu(*hidden);
        }
        let sum = &mut embedded.sum[..rows * width];
        self.linear_2
            .forward(parameters, &embedded.activated[..rows * width], sum);
        embedded.classes.clear();
        if let Some((table, table_rows)) = self.table {
            for (row, sum) in sum.chunks_exact_mut(width).enumerate() {
                let class = classes.map_or(table_rows - 1, |classes| classes[row] as usize);
                embedded.classes.push(class);
                for (sum, value) in sum.iter_mut().zip(&parameters[table + class * width..]) {
                    *sum += value;
                }
            }
        }
        for (output, sum) in embedded.output.iter_mut().zip(sum) {
            *output = silu(*sum);
        }
    }
}
