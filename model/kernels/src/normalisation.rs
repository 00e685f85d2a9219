//! Group normalisation from sums by channel, folded with all that follows into one scale and shift for each channel.
//!
//! The sums are taken while a convolution stores its outputs, so normalising costs no pass of its own; sums by channel
//! rather than by group serve also where two activations are joined and a group spans both.

use crate::source::Affine;
use crate::tiling::Rectangle;
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

    /// Adds up the rectangles' sums, in their order, so that threads do not change the result.
    pub(crate) fn gather(&mut self, rectangles: &[Rectangle], sums: &[f32]) {
        self.values.fill(0.0);
        let length = 2 * self.channels;
        for (rectangle, sums) in rectangles.iter().zip(sums.chunks_exact(length)) {
            let totals = &mut self.values[rectangle.item * length..][..length];
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
mod tests {
    use super::*;
    use crate::testing::Random;

    /// Two joined activations of 6 and 10 channels in 4 groups: the second group spans both.
    #[test]
    fn affine_map_normalises_joined_activations() {
        let mut random = Random::new(5);
        let (batch, pixels, counts) = (2, 30, [6, 10]);
        let values: [Vec<f32>; 2] = counts.map(|count| {
            random
                .values(batch * pixels * count)
                .iter()
                .map(|value| value * 2.0 + 3.0)
                .collect()
        });
        let norm = GroupNorm {
            groups: 4,
            gamma: random.values(16),
            beta: random.values(16),
            first: 6,
            activate: false,
        };
        let sums: Vec<ChannelSums> = (0..2)
            .map(|part| {
                let mut sums = ChannelSums::new(batch, 16);
                let mut parts = Vec::new();
                let mut rectangles = Vec::new();
                for item in 0..batch {
                    let mut totals = vec![0.0; 32];
                    for pixel in 0..pixels {
                        for channel in 0..counts[part] {
                            let value = values[part][(item * pixels + pixel) * counts[part] + channel];
                            totals[channel] += value;
                            totals[16 + channel] += value * value;
                        }
                    }
                    parts.extend(totals);
                    rectangles.push(Rectangle {
                        item,
                        row: 0,
                        rows: 1,
                        column: 0,
                        columns: 1,
                    });
                }
                sums.gather(&rectangles, &parts);
                sums
            })
            .collect();
        let (mut scale, mut shift) = (vec![f32::NAN; batch * 32], vec![f32::NAN; batch * 32]);
        norm.affine([Some(&sums[0]), Some(&sums[1])], batch, pixels, &mut scale, &mut shift);
        for item in 0..batch {
            let at = |channel: usize, pixel: usize| {
                let (part, index) = if channel < 6 { (0, channel) } else { (1, channel - 6) };
                f64::from(values[part][(item * pixels + pixel) * counts[part] + index])
            };
            for channel in 0..16 {
                let group: Vec<f64> = (channel / 4 * 4..channel / 4 * 4 + 4)
                    .flat_map(|channel| (0..pixels).map(move |pixel| (channel, pixel)))
                    .map(|(channel, pixel)| at(channel, pixel))
                    .collect();
                let mean = group.iter().sum::<f64>() / group.len() as f64;
                let variance = group.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / group.len() as f64;
                let place = item * 32 + if channel < 6 { channel } else { 16 + channel - 6 };
                let expected = (at(channel, 3) - mean) / (variance + 1e-5).sqrt() * f64::from(norm.gamma[channel])
                    + f64::from(norm.beta[channel]);
                let found = at(channel, 3) * f64::from(scale[place]) + f64::from(shift[place]);
                assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
            }
            assert!(scale[item * 32 + 6..item * 32 + 16].iter().all(|&value| value == 0.0));
            assert!(shift[item * 32 + 26..item * 32 + 32].iter().all(|&value| value == 0.0));
        }
    }
}
