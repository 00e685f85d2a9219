//! The features that FID is measured with: Inception-v3 with the weights of 2015, as pytorch-fid runs it.
//!
//! Pictures are enlarged to 299 x 299 without antialiasing; average pooling leaves padding out, and the last block takes a
//! maximum. The network is a table of convolutions, each a product of matrices.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use factorseg_import::state_dict::StateDict;
use image::RgbImage;
use sha2::{Digest, Sha256};

/// Features of a picture.
pub const FEATURES: usize = 2048;
/// Side of the network's input.
const SIDE: usize = 299;
/// Classes of the weights of 2015; those that were trained for ImageNet's 1000 classes give other features.
const CLASSES: usize = 1008;
/// Beginning of the checksum of `pt_inception-2015-12-05-6726825d.pth`, and of its name.
const CHECKSUM: [u8; 4] = [0x67, 0x26, 0x82, 0x5d];
/// What batch normalisation adds to a variance.
const EPSILON: f32 = 1e-3;

/// Feature maps of one picture, `[channels, height, width]`.
#[derive(Clone)]
struct Maps {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

/// A convolution with its batch normalisation folded in, and ReLU behind it.
struct Layer {
    outputs: usize,
    inputs: usize,
    height: usize,
    width: usize,
    /// `[outputs, inputs * height * width]`.
    weights: Vec<f32>,
    shift: Vec<f32>,
}

/// The network.
pub struct Inception {
    layers: HashMap<String, Layer>,
}

impl Inception {
    /// Reads the weights, which must be the file that FID is defined with.
    ///
    /// # Errors
    /// If it is another file, or cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut digest = Sha256::new();
        std::io::copy(&mut file, &mut digest).with_context(|| format!("cannot read {}", path.display()))?;
        let found = digest.finalize();
        ensure!(
            found[..4] == CHECKSUM,
            "{} is not pt_inception-2015-12-05-6726825d.pth (its SHA-256 begins with {:02x}{:02x}{:02x}{:02x}): a distance by other \
             weights is no FID; pytorch-fid downloads the file",
            path.display(),
            found[0],
            found[1],
            found[2],
            found[3]
        );
        let mut state = StateDict::open(path)?;
        let shape = state.shape("fc.weight").map(<[usize]>::to_vec);
        let names: Vec<String> = state
            .names()
            .filter_map(|name| name.strip_suffix(".conv.weight"))
            .map(str::to_owned)
            .collect();
        ensure!(
            shape.as_deref() == Some(&[CLASSES, FEATURES]),
            "{} has another last layer",
            path.display()
        );
        let mut tensors = HashMap::new();
        for name in names {
            for part in [
                "conv.weight",
                "bn.weight",
                "bn.bias",
                "bn.running_mean",
                "bn.running_var",
            ] {
                let name = format!("{name}.{part}");
                let shape = state.shape(&name).unwrap_or_default().to_vec();
                tensors.insert(name.clone(), (shape, state.read(&name)?));
            }
        }
        Self::of(&tensors)
    }

    /// The network of tensors by name, with their shapes.
    fn of(tensors: &HashMap<String, (Vec<usize>, Vec<f32>)>) -> Result<Self> {
        let mut layers = HashMap::new();
        for (name, (shape, weights)) in tensors {
            let Some(layer) = name.strip_suffix(".conv.weight") else {
                continue;
            };
            let [outputs, inputs, height, width] = shape[..] else {
                anyhow::bail!("{name} has the shape {shape:?}");
            };
            let of = |part: &str| {
                let name = format!("{layer}.bn.{part}");
                let values = tensors.get(&name).map(|(_, values)| values.as_slice());
                values
                    .filter(|values| values.len() == outputs)
                    .with_context(|| format!("no {name}"))
            };
            let (gain, bias, mean, variance) = (of("weight")?, of("bias")?, of("running_mean")?, of("running_var")?);
            let scale: Vec<f32> = gain
                .iter()
                .zip(variance)
                .map(|(gain, var)| gain / (var + EPSILON).sqrt())
                .collect();
            let rows = weights.chunks_exact(inputs * height * width).zip(&scale);
            layers.insert(
                layer.to_owned(),
                Layer {
                    outputs,
                    inputs,
                    height,
                    width,
                    weights: rows
                        .flat_map(|(row, scale)| row.iter().map(move |value| value * scale))
                        .collect(),
                    shift: (0..outputs).map(|at| bias[at] - mean[at] * scale[at]).collect(),
                },
            );
        }
        Ok(Self { layers })
    }

    /// The features of a picture.
    ///
    /// # Errors
    /// If the weights lack a layer.
    pub fn features(&self, picture: &RgbImage) -> Result<Vec<f32>> {
        let mut x = enlarged(picture);
        for (name, stride, same) in [("1a_3x3", 2, false), ("2a_3x3", 1, false), ("2b_3x3", 1, true)] {
            x = self.convolve(&format!("Conv2d_{name}"), &x, stride, same)?;
        }
        x = largest(&x, 2, 0);
        for name in ["Conv2d_3b_1x1", "Conv2d_4a_3x3"] {
            x = self.convolve(name, &x, 1, false)?;
        }
        x = largest(&x, 2, 0);
        for name in ["Mixed_5b", "Mixed_5c", "Mixed_5d"] {
            x = self.mixed(
                name,
                &x,
                &[&["1x1"], &["5x5_1", "5x5_2"], &["3x3dbl_1", "3x3dbl_2", "3x3dbl_3"]],
            )?;
        }
        x = self.reduced("Mixed_6a", &x, &[&["3x3"], &["3x3dbl_1", "3x3dbl_2", "3x3dbl_3"]])?;
        for name in ["Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"] {
            let long = ["7x7dbl_1", "7x7dbl_2", "7x7dbl_3", "7x7dbl_4", "7x7dbl_5"];
            x = self.mixed(name, &x, &[&["1x1"], &["7x7_1", "7x7_2", "7x7_3"], &long])?;
        }
        x = self.reduced(
            "Mixed_7a",
            &x,
            &[&["3x3_1", "3x3_2"], &["7x7x3_1", "7x7x3_2", "7x7x3_3", "7x7x3_4"]],
        )?;
        for (name, pooled) in [
            ("Mixed_7b", average as fn(&Maps) -> Maps),
            ("Mixed_7c", |x| largest(x, 1, 1)),
        ] {
            let chain = |names: &[&str], x: &Maps| self.chain(name, names, x);
            let (short, long) = (chain(&["3x3_1"], &x)?, chain(&["3x3dbl_1", "3x3dbl_2"], &x)?);
            x = joined(&[
                chain(&["1x1"], &x)?,
                chain(&["3x3_2a"], &short)?,
                chain(&["3x3_2b"], &short)?,
                chain(&["3x3dbl_3a"], &long)?,
                chain(&["3x3dbl_3b"], &long)?,
                chain(&["_pool"], &pooled(&x))?,
            ]);
        }
        let planes = x.values.chunks_exact(x.height * x.width);
        Ok(planes
            .map(|plane| plane.iter().sum::<f32>() / plane.len() as f32)
            .collect())
    }

    /// Branches of convolutions and one of the averages, side by side.
    fn mixed(&self, block: &str, x: &Maps, branches: &[&[&str]]) -> Result<Maps> {
        let mut all = branches
            .iter()
            .map(|names| self.chain(block, names, x))
            .collect::<Result<Vec<_>>>()?;
        all.push(self.chain(block, &["_pool"], &average(x))?);
        Ok(joined(&all))
    }

    /// Branches whose last convolution halves the size, beside the largest values.
    fn reduced(&self, block: &str, x: &Maps, branches: &[&[&str]]) -> Result<Maps> {
        let mut all = Vec::new();
        for names in branches {
            let (last, before) = names.split_last().context("a branch without layers")?;
            let before = self.chain(block, before, x)?;
            all.push(self.convolve(&format!("{block}.branch{last}"), &before, 2, false)?);
        }
        all.push(largest(x, 2, 0));
        Ok(joined(&all))
    }

    fn chain(&self, block: &str, names: &[&str], x: &Maps) -> Result<Maps> {
        names.iter().try_fold(x.clone(), |x, name| {
            self.convolve(&format!("{block}.branch{name}"), &x, 1, true)
        })
    }

    /// A convolution, with zeros around the maps so that they keep their size if `same`.
    fn convolve(&self, name: &str, x: &Maps, stride: usize, same: bool) -> Result<Maps> {
        let layer = self
            .layers
            .get(name)
            .with_context(|| format!("the weights have no {name}"))?;
        ensure!(
            layer.inputs == x.channels,
            "{name} takes {} channels, not {}",
            layer.inputs,
            x.channels
        );
        let pad = |length: usize| if same { (length - 1) / 2 } else { 0 };
        let (above, left) = (pad(layer.height), pad(layer.width));
        let (height, width) = (
            (x.height + 2 * above - layer.height) / stride + 1,
            (x.width + 2 * left - layer.width) / stride + 1,
        );
        let (depth, places) = (x.channels * layer.height * layer.width, height * width);
        // What each weight is multiplied with, `[depth, places]`.
        let mut columns = vec![0.0; depth * places];
        for (row, out) in columns.chunks_exact_mut(places).enumerate() {
            let (channel, dy, dx) = (
                row / (layer.height * layer.width),
                row / layer.width % layer.height,
                row % layer.width,
            );
            let plane = &x.values[channel * x.height * x.width..][..x.height * x.width];
            for (at, value) in out.iter_mut().enumerate() {
                let (y, x_) = (at / width * stride + dy, at % width * stride + dx);
                if (above..above + x.height).contains(&y) && (left..left + x.width).contains(&x_) {
                    *value = plane[(y - above) * x.width + x_ - left];
                }
            }
        }
        let mut values: Vec<f32> = layer
            .shift
            .iter()
            .flat_map(|shift| std::iter::repeat_n(*shift, places))
            .collect();
        // SAFETY: the three matrices have the sizes and strides that are passed, rows behind each other.
        unsafe {
            matrixmultiply::sgemm(
                layer.outputs,
                depth,
                places,
                1.0,
                layer.weights.as_ptr(),
                depth as isize,
                1,
                columns.as_ptr(),
                places as isize,
                1,
                1.0,
                values.as_mut_ptr(),
                places as isize,
                1,
            );
        }
        values.iter_mut().for_each(|value| *value = value.max(0.0));
        Ok(Maps {
            channels: layer.outputs,
            height,
            width,
            values,
        })
    }
}

fn joined(all: &[Maps]) -> Maps {
    Maps {
        channels: all.iter().map(|one| one.channels).sum(),
        height: all[0].height,
        width: all[0].width,
        values: all.iter().flat_map(|one| one.values.iter().copied()).collect(),
    }
}

/// Over windows of 3 by 3, as far as the maps reach.
fn pooled(x: &Maps, stride: usize, pad: usize, of: impl Fn(&mut dyn Iterator<Item = f32>) -> f32) -> Maps {
    let (height, width) = (
        (x.height + 2 * pad - 3) / stride + 1,
        (x.width + 2 * pad - 3) / stride + 1,
    );
    let window = |at: usize, length: usize| (at * stride).saturating_sub(pad)..(at * stride + 3 - pad).min(length);
    let mut values = Vec::with_capacity(x.channels * height * width);
    for plane in x.values.chunks_exact(x.height * x.width) {
        for at in 0..height * width {
            let (rows, columns) = (window(at / width, x.height), window(at % width, x.width));
            values.push(of(
                &mut rows.flat_map(|y| plane[y * x.width..][columns.clone()].iter().copied())
            ));
        }
    }
    Maps {
        channels: x.channels,
        height,
        width,
        values,
    }
}

fn largest(x: &Maps, stride: usize, pad: usize) -> Maps {
    pooled(x, stride, pad, |values| values.fold(f32::NEG_INFINITY, f32::max))
}

fn average(x: &Maps) -> Maps {
    pooled(x, 1, 1, |values| {
        let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
        sum / count as f32
    })
}

/// The network's input: bilinear between the middles of pixels, in -1..=1.
fn enlarged(picture: &RgbImage) -> Maps {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let place = |at: usize, length: usize| {
        let place = ((at as f32 + 0.5) * (length as f32 / SIDE as f32) - 0.5).max(0.0);
        let first = (place as usize).min(length - 1);
        (first, (first + 1).min(length - 1), place - first as f32)
    };
    let value =
        |x: usize, y: usize, channel: usize| f32::from(picture.get_pixel(x as u32, y as u32).0[channel]) / 255.0;
    let mut values = Vec::with_capacity(3 * SIDE * SIDE);
    for channel in 0..3 {
        for y in 0..SIDE {
            let (top, bottom, down) = place(y, height);
            for x in 0..SIDE {
                let (left, right, along) = place(x, width);
                let row = |y| value(left, y, channel) * (1.0 - along) + value(right, y, channel) * along;
                values.push(2.0 * (row(top) * (1.0 - down) + row(bottom) * down) - 1.0);
            }
        }
    }
    Maps {
        channels: 3,
        height: SIDE,
        width: SIDE,
        values,
    }
}

#[cfg(test)]
mod tests;
