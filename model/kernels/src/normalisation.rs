//! Group normalisation from sums by channel, folded with all that follows into one scale and shift for each channel.
//!
//! The sums are taken while a convolution stores its outputs, so normalising costs no pass of its own; sums by channel
//! rather than by group serve also where two activations are joined and a group spans both.

use crate::source::Affine;
use std::ops::Range;

/// As in the network's definition.
pub(crate) const EPSILON: f64 = 1e-5;

/// Sums and sums of squares of an activation by item and channel: [batch, 2, channels].
#[derive(Debug, Clone, Default)]
pub(crate) struct ChannelSums {
    channels: usize,
    values: Vec<f64>,
}

impl ChannelSums {
    pub(crate) fn new(batch: usize, channels: usize) -> Self {
        Self {
            channels,
            values: vec![0.0; batch * 2 * channels],
        }
    }

    /// Adds up the sums of the strips of `batch` items, [strips, 2, channels], in their order, so that threads do not
    /// change the result.
    pub(crate) fn gather(&mut self, strips: usize, batch: usize, sums: &[f32]) {
        self.values.fill(0.0);
        let length = 2 * self.channels;
        for (strip, sums) in sums.chunks_exact(length).take(strips).enumerate() {
            let totals = &mut self.values[strip * batch / strips * length..][..length];
            for (total, &sum) in totals.iter_mut().zip(sums) {
                *total += f64::from(sum);
            }
        }
    }

    /// Sums, then sums of squares of one item, to write them.
    pub(crate) fn item_mut(&mut self, item: usize) -> &mut [f64] {
        &mut self.values[item * 2 * self.channels..][..2 * self.channels]
    }

    pub(crate) fn item(&self, item: usize) -> (&[f64], &[f64]) {
        self.values[item * 2 * self.channels..][..2 * self.channels].split_at(self.channels)
    }
}

/// One group normalisation with what is folded into it: y = (x - mean) / deviation * gamma + beta.
#[derive(Debug, Clone)]
pub(crate) struct GroupNorm {
    pub(crate) groups: usize,
    /// One for each channel, without padding; scale and shift by the embedding included.
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
    /// Channels of the first activation, if two are joined; else of the only one.
    pub(crate) first: usize,
    /// Whether SiLU follows.
    pub(crate) activate: bool,
}

impl GroupNorm {
    /// The scale and shift of every padded channel of the joined activations for the first `batch` items,
    /// [batch, channels]; zero for padding. `pixels` is the number of pixels of an image.
    pub(crate) fn affine<'a>(
        &self,
        sums: [Option<&ChannelSums>; 2],
        batch: usize,
        pixels: usize,
        scale: &'a mut [f32],
        shift: &'a mut [f32],
    ) -> Affine<'a> {
        let widths = sums.map(|sums| sums.map_or(0, |sums| sums.channels));
        let total = widths[0] + widths[1];
        let group_size = self.gamma.len() / self.groups;
        for item in 0..batch {
            let scale = &mut scale[item * total..][..total];
            let shift = &mut shift[item * total..][..total];
            scale.fill(0.0);
            shift.fill(0.0);
            for group in 0..self.groups {
                let channels = group * group_size..(group + 1) * group_size;
                let (mean, inverse) = moments(sums, item, self.first, channels.clone(), pixels);
                for channel in channels {
                    let place = if channel < self.first {
                        channel
                    } else {
                        widths[0] + channel - self.first
                    };
                    let factor = f64::from(self.gamma[channel]) * inverse;
                    scale[place] = factor as f32;
                    shift[place] = (f64::from(self.beta[channel]) - mean * factor) as f32;
                }
            }
        }
        Affine {
            scale,
            shift,
            activate: self.activate,
        }
    }
}

/// Mean, and inverse of the standard deviation, of some channels of an item with so many pixels, from the sums of one or
/// two joined activations of which the first has `first` channels.
pub(crate) fn moments(
    sums: [Option<&ChannelSums>; 2],
    item: usize,
    first: usize,
    channels: Range<usize>,
    pixels: usize,
) -> (f64, f64) {
    let parts = sums.map(|sums| sums.map(|sums| sums.item(item)));
    let count = (channels.len() * pixels) as f64;
    let (mut sum, mut squares) = (0.0, 0.0);
    for channel in channels {
        let (part, index) = if channel < first {
            (0, channel)
        } else {
            (1, channel - first)
        };
        if let Some((sums, all_squares)) = parts[part] {
            sum += sums[index];
            squares += all_squares[index];
        }
    }
    let mean = sum / count;
    let variance = (squares / count - mean * mean).max(0.0);
    // `max` would turn NaN into 0: let it through.
    let variance = if squares.is_nan() { f64::NAN } else { variance };
    (mean, 1.0 / (variance + EPSILON).sqrt())
}

#[cfg(test)]
mod tests;
