//! Gradients of the time and class embedding, and of the linear layers that make scales and shifts of it.

use crate::embedding::{Embedded, Embedding, Linear, sigmoid};

impl Linear {
    /// Adds to the gradients of weight and bias and to that of the input, each if wanted.
    pub(crate) fn backward(
        &self,
        parameters: &[f32],
        mut gradients: Option<&mut [f32]>,
        input: &[f32],
        output_gradient: &[f32],
        mut input_gradient: Option<&mut [f32]>,
    ) {
        let rows = input.len() / self.inputs;
        for (row, gradient) in output_gradient.chunks_exact(self.outputs).enumerate().take(rows) {
            if let Some(gradients) = gradients.as_deref_mut() {
                let bias = &mut gradients[self.bias..][..self.outputs];
                for (bias, gradient) in bias.iter_mut().zip(gradient) {
                    *bias += gradient;
                }
            }
            for index in 0..self.inputs {
                let place = self.weight + index * self.outputs;
                let value = input[row * self.inputs + index];
                if let Some(gradients) = gradients.as_deref_mut() {
                    for (weight, gradient) in gradients[place..][..self.outputs].iter_mut().zip(gradient) {
                        *weight += value * gradient;
                    }
                }
                if let Some(input_gradient) = input_gradient.as_deref_mut() {
                    input_gradient[row * self.inputs + index] += dot(&parameters[place..][..self.outputs], gradient);
                }
            }
        }
    }
}

/// In eight sums, so that it can be computed in vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn silu_slope(x: f32) -> f32 {
    let gate = sigmoid(x);
    gate * (1.0 + x * (1.0 - gate))
}

/// The embedding of a batch, with what its gradient needs.
#[derive(Debug, Clone)]
pub(crate) struct LearnedEmbedding {
    pub(crate) layers: Embedding,
    pub(crate) embedded: Embedded,
    /// Gradient of what the blocks read, to be added to: [images, 4 C].
    pub(crate) gradient: Vec<f32>,
    scratch: Vec<f32>,
}

impl LearnedEmbedding {
    pub(crate) fn new(layers: Embedding, images: usize) -> Self {
        let wide = || vec![0.0; images * layers.linear_2.outputs];
        Self {
            layers,
            embedded: layers.room(images),
            gradient: wide(),
            scratch: wide(),
        }
    }

    /// As [`Embedding::forward`].
    pub(crate) fn forward(&mut self, parameters: &[f32], timesteps: &[f32], classes: Option<&[i32]>) {
        self.layers.forward(parameters, timesteps, classes, &mut self.embedded);
        self.gradient.fill(0.0);
    }

    /// Adds the gradients of the embedding's parameters for `rows` images.
    pub(crate) fn backward(&mut self, parameters: &[f32], gradients: &mut [f32], rows: usize) {
        let Embedding {
            linear_1,
            linear_2,
            table,
        } = self.layers;
        let (embedded, width) = (&self.embedded, linear_2.outputs);
        for (gradient, sum) in self.gradient.iter_mut().zip(&embedded.sum) {
            *gradient *= silu_slope(*sum);
        }
        let gradient = &self.gradient[..rows * width];
        if let Some((table, _)) = table {
            for (line, class) in gradient.chunks_exact(width).zip(&embedded.classes) {
                for (to, value) in gradients[table + class * width..].iter_mut().zip(line) {
                    *to += value;
                }
            }
        }
        self.scratch.fill(0.0);
        let scratch = &mut self.scratch[..rows * width];
        let activated = &embedded.activated[..rows * width];
        linear_2.backward(parameters, Some(gradients), activated, gradient, Some(scratch));
        for (value, hidden) in scratch.iter_mut().zip(&embedded.hidden) {
            *value *= silu_slope(*hidden);
        }
        let position = &embedded.position[..rows * linear_1.inputs];
        linear_1.backward(parameters, Some(gradients), position, scratch, None);
    }
}
