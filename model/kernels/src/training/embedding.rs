//! Time and class embedding, and the linear layers that make scales and shifts of it. Rows are images.

/// A linear layer: [inputs, outputs] and bias among all parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear {
    pub(crate) weight: usize,
    pub(crate) bias: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Linear {
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

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

fn silu_slope(x: f32) -> f32 {
    let gate = sigmoid(x);
    gate * (1.0 + x * (1.0 - gate))
}

/// The embedding of timesteps and classes, with what its gradient needs.
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    linear_1: Linear,
    linear_2: Linear,
    /// Where the class table begins, and its rows; the last stands for "no class".
    table: Option<(usize, usize)>,
    position: Vec<f32>,
    hidden: Vec<f32>,
    activated: Vec<f32>,
    sum: Vec<f32>,
    classes: Vec<usize>,
    /// What the blocks read: [images, 4 C].
    pub(crate) output: Vec<f32>,
    /// Its gradient, to be added to.
    pub(crate) gradient: Vec<f32>,
    scratch: Vec<f32>,
}

impl Embedding {
    pub(crate) fn new(linear_1: Linear, linear_2: Linear, table: Option<(usize, usize)>, batch: usize) -> Self {
        let wide = || vec![0.0; batch * linear_2.outputs];
        Self {
            linear_1,
            linear_2,
            table,
            position: vec![0.0; batch * linear_1.inputs],
            hidden: wide(),
            activated: wide(),
            sum: wide(),
            classes: Vec::with_capacity(batch),
            output: wide(),
            gradient: wide(),
            scratch: wide(),
        }
    }

    /// Rows of the class table; 0 without classes.
    pub(crate) fn table_rows(&self) -> usize {
        self.table.map_or(0, |(_, rows)| rows)
    }

    /// `timesteps` are the paper's, 1..=T; `classes` (one a timestep, each within the table) may be missing.
    pub(crate) fn forward(&mut self, parameters: &[f32], timesteps: &[f32], classes: Option<&[i32]>) {
        let (rows, width) = (timesteps.len(), self.linear_2.outputs);
        let half = self.linear_1.inputs / 2;
        for (line, timestep) in self.position.chunks_exact_mut(self.linear_1.inputs).zip(timesteps) {
            for index in 0..half {
                let frequency = (-(10_000f64.ln()) * index as f64 / half as f64).exp();
                let angle = f64::from(timestep - 1.0) * frequency;
                line[index] = angle.cos() as f32;
                line[half + index] = angle.sin() as f32;
            }
        }
        let position = &self.position[..rows * self.linear_1.inputs];
        self.linear_1
            .forward(parameters, position, &mut self.hidden[..rows * width]);
        for (activated, hidden) in self.activated.iter_mut().zip(&self.hidden) {
            *activated = silu(*hidden);
        }
        let sum = &mut self.sum[..rows * width];
        self.linear_2.forward(parameters, &self.activated[..rows * width], sum);
        self.classes.clear();
        if let Some((table, table_rows)) = self.table {
            for (row, sum) in sum.chunks_exact_mut(width).enumerate() {
                let class = classes.map_or(table_rows - 1, |classes| classes[row] as usize);
                self.classes.push(class);
                for (sum, value) in sum.iter_mut().zip(&parameters[table + class * width..]) {
                    *sum += value;
                }
            }
        }
        for (output, sum) in self.output.iter_mut().zip(sum.iter()) {
            *output = silu(*sum);
        }
        self.gradient.fill(0.0);
    }

    /// Adds the gradients of the embedding's parameters for `rows` images.
    pub(crate) fn backward(&mut self, parameters: &[f32], gradients: &mut [f32], rows: usize) {
        let width = self.linear_2.outputs;
        for (gradient, sum) in self.gradient.iter_mut().zip(&self.sum) {
            *gradient *= silu_slope(*sum);
        }
        let gradient = &self.gradient[..rows * width];
        if let Some((table, _)) = self.table {
            for (line, class) in gradient.chunks_exact(width).zip(&self.classes) {
                for (to, value) in gradients[table + class * width..].iter_mut().zip(line) {
                    *to += value;
                }
            }
        }
        self.scratch.fill(0.0);
        let scratch = &mut self.scratch[..rows * width];
        let activated = &self.activated[..rows * width];
        self.linear_2.backward(
            parameters,
            Some(&mut *gradients),
            activated,
            gradient,
            Some(&mut *scratch),
        );
        for (value, hidden) in scratch.iter_mut().zip(&self.hidden) {
            *value *= silu_slope(*hidden);
        }
        let position = &self.position[..rows * self.linear_1.inputs];
        self.linear_1
            .backward(parameters, Some(gradients), position, scratch, None);
    }
}
