use super::*;
use crate::convolution::Needs;
use crate::normalisation::EPSILON;
use crate::testing::Random;

const COUNTS: [usize; 2] = [6, 10];
const WIDTHS: [usize; 2] = [16, 16];
const GROUPS: usize = 4;
const IMAGES: usize = 2;
const ITEMS: usize = 4;
const PIXELS: usize = 7;

/// Parameters, activations, modulation: everything that has a gradient, by name for `objective`.
#[derive(Clone)]
struct Values {
    gamma: Vec<f64>,
    beta: Vec<f64>,
    /// [items, pixels, 16 channels without padding]
    x: Vec<f64>,
    /// [images, 2, channels]
    modulation: Vec<f64>,
}

/// The sum of weight * activated, all in f64.
fn objective(values: &Values, weight: &[f32], activate: bool, modulated: bool) -> f64 {
    let channels = COUNTS[0] + COUNTS[1];
    let size = channels / GROUPS;
    let mut sum = 0.0;
    for item in 0..ITEMS {
        for group in 0..GROUPS {
            let at = |pixel: usize, channel: usize| values.x[(item * PIXELS + pixel) * channels + channel];
            let members = || {
                (0..PIXELS).flat_map(|pixel| (group * size..(group + 1) * size).map(move |channel| (pixel, channel)))
            };
            let count = (PIXELS * size) as f64;
            let mean = members().map(|(pixel, channel)| at(pixel, channel)).sum::<f64>() / count;
            let variance = members()
                .map(|(pixel, channel)| (at(pixel, channel) - mean).powi(2))
                .sum::<f64>()
                / count;
            for (pixel, channel) in members() {
                let normal = (at(pixel, channel) - mean) / (variance + EPSILON).sqrt();
                let mut z = normal * values.gamma[channel] + values.beta[channel];
                if modulated {
                    let line = &values.modulation[item % IMAGES * 2 * channels..];
                    z = z * (1.0 + line[channel]) + line[channels + channel];
                }
                let a = if activate { z / (1.0 + (-z).exp()) } else { z };
                sum += a * f64::from(weight[(item * PIXELS + pixel) * channels + channel]);
            }
        }
    }
    sum
}

#[test]
fn gradients_equal_finite_differences() {
    let mut random = Random::new(61);
    let channels = COUNTS[0] + COUNTS[1];
    let place = |channel: usize| {
        if channel < COUNTS[0] {
            (0, channel)
        } else {
            (1, channel - COUNTS[0])
        }
    };
    for set in InstructionSet::available() {
        for (activate, modulated) in [(true, true), (true, false), (false, false)] {
            let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
            let values = Values {
                gamma: wide(random.values(channels)),
                beta: wide(random.values(channels)),
                x: wide(random.values(ITEMS * PIXELS * channels)),
                modulation: wide(random.values(IMAGES * 2 * channels)),
            };
            let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
            let weight = random.values(ITEMS * PIXELS * channels);
            let parameters = [narrow(&values.gamma), narrow(&values.beta)].concat();
            let modulation = if modulated {
                narrow(&values.modulation)
            } else {
                Vec::new()
            };
            let mut x = [0, 1].map(|part| vec![0.0; ITEMS * PIXELS * WIDTHS[part]]);
            let mut da = vec![0.0; ITEMS * PIXELS * 32];
            let mut sums = [0, 1].map(|part| ChannelSums::new(ITEMS, WIDTHS[part]));
            for item in 0..ITEMS {
                for pixel in 0..PIXELS {
                    for channel in 0..channels {
                        let (part, index) = place(channel);
                        let line = item * PIXELS + pixel;
                        let value = values.x[line * channels + channel];
                        x[part][line * 16 + index] = value as f32;
                        da[line * 32 + part * 16 + index] = weight[line * channels + channel];
                        sums[part].item_mut(item)[index] += value;
                        sums[part].item_mut(item)[16 + index] += value * value;
                    }
                }
            }
            let mut norm = Norm::new(
                0,
                channels,
                GROUPS,
                COUNTS,
                WIDTHS,
                activate,
                modulated.then_some(0),
                ITEMS,
            );
            norm.forward(
                &parameters,
                [Some(&sums[0]), Some(&sums[1])],
                &modulation,
                IMAGES,
                ITEMS,
                PIXELS,
            );
            let mut gradients = vec![0.0; 2 * channels];
            let mut modulation_gradient = vec![0.0; modulation.len()];
            let mut dx = [vec![1.0; x[0].len()], vec![f32::NAN; x[1].len()]];
            for items in [0..1, 1..ITEMS] {
                let [first, second] = &mut dx;
                let data = Gradients {
                    da: &mut da[items.start * PIXELS * 32..],
                    x: [&x[0], &x[1]],
                    dx: [first, second],
                    written: [true, false],
                    parameters: &parameters,
                    modulation: &modulation,
                };
                let mut workspaces = Workspaces::new(1, Needs::default());
                norm.backward(set, &mut workspaces, data, IMAGES, items, PIXELS);
            }
            norm.parameter_gradients(
                &parameters,
                Some(&mut gradients[..]),
                &modulation,
                &mut modulation_gradient,
                IMAGES,
                ITEMS,
            );

            let slope = |change: &dyn Fn(&mut Values, f64)| {
                let [above, below] = [1e-5, -1e-5].map(|distance| {
                    let mut moved = values.clone();
                    change(&mut moved, distance);
                    objective(&moved, &weight, activate, modulated)
                });
                (above - below) / 2e-5
            };
            let check = |what: &str, found: f32, expected: f64| {
                let difference = (f64::from(found) - expected).abs();
                assert!(difference < 1e-4, "{} {what}: {found} for {expected}", set.name());
            };
            for channel in 0..channels {
                check("gamma", gradients[channel], slope(&|v, d| v.gamma[channel] += d));
                check(
                    "beta",
                    gradients[channels + channel],
                    slope(&|v, d| v.beta[channel] += d),
                );
            }
            for (index, found) in modulation_gradient.iter().enumerate() {
                check("modulation", *found, slope(&|v, d| v.modulation[index] += d));
            }
            for line in 0..ITEMS * PIXELS {
                let channel = random.below(channels);
                let (part, index) = place(channel);
                let before = if part == 0 { 1.0 } else { 0.0 };
                let expected = slope(&|v, d| v.x[line * channels + channel] += d);
                check("x", dx[part][line * 16 + index] - before, expected);
            }
            // Padding has no gradient.
            assert!(
                dx[1]
                    .chunks_exact(16)
                    .all(|line| line[10..].iter().all(|&value| value == 0.0))
            );
        }
    }
}
