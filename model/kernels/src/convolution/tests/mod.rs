//! Convolutions against their definition.

use super::*;
use crate::normalisation::{ChannelSums, moments};
use crate::simd::padded;
use crate::source::{Affine, Part, Source};
use crate::testing::Random;
use crate::threads::Threads;

/// What the kernels should compute, in f64, straight from the definition.
struct Naive<'a> {
    inputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    weight: &'a [f32],
    /// (item, channel, y, x) -> value inside the image, 0 outside
    input: &'a dyn Fn(usize, usize, isize, isize) -> f64,
}

impl Naive<'_> {
    fn at(&self, item: usize, output: usize, y: usize, x: usize) -> f64 {
        let mut sum = 0.0;
        for input in 0..self.inputs {
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    let weight = self.weight[((output * self.inputs + input) * self.kernel + ky) * self.kernel + kx];
                    let y = (y * self.stride + ky) as isize - self.padding as isize;
                    let x = (x * self.stride + kx) as isize - self.padding as isize;
                    sum += f64::from(weight) * (self.input)(item, input, y, x);
                }
            }
        }
        sum
    }
}

const METHODS: [Method; 5] = [
    Method::Winograd(4),
    Method::Winograd(2),
    Method::Patches {
        kernel: 3,
        stride: 1,
        padding: 1,
    },
    Method::Patches {
        kernel: 3,
        stride: 2,
        padding: 1,
    },
    Method::Patches {
        kernel: 1,
        stride: 1,
        padding: 0,
    },
];

#[test]
fn convolutions_equal_naive_ones() {
    // A set with tiles computes the same as one without.
    let sets = InstructionSet::available().into_iter().filter(|set| !set.has_tiles());
    check_all(sets, Arithmetic::F32, 60);
}

#[test]
fn convolutions_in_bf16_equal_naive_ones() {
    let sets = InstructionSet::available()
        .into_iter()
        .filter(|set| set.computes_bf16());
    check_all(sets, Arithmetic::Bf16, 10);
}

fn check_all(sets: impl Iterator<Item = InstructionSet>, arithmetic: Arithmetic, rounds: usize) {
    let pools = [1, 3].map(|threads| Threads::new(threads).unwrap());
    for set in sets {
        let mut random = Random::new(7);
        for pool in &pools {
            for round in 0..rounds {
                check(&mut random, pool, set, arithmetic, METHODS[round % METHODS.len()]);
            }
        }
    }
}

fn check(random: &mut Random, pool: &Threads, set: InstructionSet, arithmetic: Arithmetic, method: Method) {
    // Two roundings to 8 bits of each product, larger by what the points of a tile add up.
    let tolerance = match (arithmetic, method) {
        (Arithmetic::F32, _) => 2e-5,
        (Arithmetic::Bf16, Method::Patches { .. }) => 2e-2,
        (Arithmetic::Bf16, Method::Winograd(2)) => 3e-2,
        (Arithmetic::Bf16, Method::Winograd(_)) => 8e-2,
    };
    let (kernel, stride, padding) = match method {
        Method::Winograd(_) => (3, 1, 1),
        Method::Patches {
            kernel,
            stride,
            padding,
        } => (kernel, stride, padding),
    };
    let (most, batch) = (random.below(3) + 1, 1);
    let batch = batch + random.below(most);
    let (height, width) = (random.below(14) + 1, random.below(14) + 1);
    let counts = [
        random.below(40) + 1,
        if random.flag() { random.below(20) + 1 } else { 0 },
    ];
    let widths = counts.map(padded);
    let (inputs, outputs) = (counts[0] + counts[1], random.below(50) + 1);
    let (upsample, activate) = (stride == 1 && random.flag(), random.flag());
    let normalise = random.flag();
    let scale = usize::from(upsample) + 1;

    // Padding holds zeros in activations; in the affine map it must be zero for the result to stay zero.
    let parts: [Vec<f32>; 2] = std::array::from_fn(|part| {
        (0..most * height * width * widths[part])
            .map(|i| {
                if i % widths[part] < counts[part] {
                    random.value()
                } else {
                    0.0
                }
            })
            .collect()
    });
    let total = widths[0] + widths[1];
    let real = |channel: usize| {
        if channel < widths[0] {
            channel < counts[0]
        } else {
            channel - widths[0] < counts[1]
        }
    };
    let maps: [Vec<f32>; 2] = std::array::from_fn(|_| {
        (0..most * total)
            .map(|i| if real(i % total) { random.value() + 0.5 } else { 0.0 })
            .collect()
    });
    let position = |channel: usize| {
        if channel < counts[0] {
            channel
        } else {
            widths[0] + channel - counts[0]
        }
    };
    let channel_at = |position: usize| {
        if position < widths[0] {
            (position < counts[0]).then_some(position)
        } else {
            (position - widths[0] < counts[1]).then(|| counts[0] + position - widths[0])
        }
    };
    let fan = (inputs * kernel * kernel) as f32;
    let weight: Vec<f32> = random
        .values(outputs * inputs * kernel * kernel)
        .iter()
        .map(|value| value / fan.sqrt())
        .collect();
    let bias = random.values(outputs);

    let convolution = Convolution::pack(
        set,
        arithmetic,
        method,
        &Kernel {
            inputs: total,
            outputs,
            value: &|output, input, ky, kx| {
                channel_at(input).map_or(0.0, |input| {
                    weight[((output * inputs + input) * kernel + ky) * kernel + kx]
                })
            },
            bias: &|output| bias[output],
        },
    );
    let (rows, columns) = (method.output_size(height * scale), method.output_size(width * scale));
    let (widest, target) = (random.below(30) + 1, random.below(30) + 1);
    let tiling = Tiling::new(most, rows, columns, method.side(), widest, target);
    let mut workspaces = Workspaces::new(pool.count(), convolution.needs(&tiling));
    let stored = convolution.outputs();
    let mut out: Vec<f32> = (0..batch * rows * columns * stored)
        .map(|i| if i % stored < outputs { random.value() } else { 0.0 })
        .collect();
    let before = out.clone();
    let other: Vec<f32> = before.iter().map(|value| value * 0.5).collect();
    let residual = match random.below(3) {
        0 => Residual::None,
        1 => Residual::Output,
        _ => Residual::Tensor(&other),
    };
    let added = |index: usize| match residual {
        Residual::None => 0.0,
        Residual::Output => f64::from(before[index]),
        Residual::Tensor(tensor) => f64::from(tensor[index]),
    };
    let strips = tiling.strips(batch);
    let mut sums = vec![f32::NAN; strips * 2 * stored];
    let affine = normalise.then_some(Affine {
        scale: &maps[0],
        shift: &maps[1],
        activate,
    });
    let source = Source {
        first: Part {
            data: &parts[0],
            channels: widths[0],
        },
        second: (widths[1] > 0).then_some(Part {
            data: &parts[1],
            channels: widths[1],
        }),
        height,
        width,
        upsample,
        affine,
    };
    let output = Output {
        data: &mut out,
        residual,
        sums: Some(&mut sums),
    };
    pool.install(|| {
        convolve(
            set,
            &mut workspaces,
            &convolution,
            &tiling,
            batch,
            Input::Activations(source),
            output,
        );
    });

    let input = |item: usize, channel: usize, y: isize, x: isize| {
        let (y, x) = (y.div_euclid(scale as isize), x.div_euclid(scale as isize));
        if y < 0 || x < 0 || y >= height as isize || x >= width as isize {
            return 0.0;
        }
        let pixel = (item * height + y as usize) * width + x as usize;
        let value = if channel < counts[0] {
            parts[0][pixel * widths[0] + channel]
        } else {
            parts[1][pixel * widths[1] + channel - counts[0]]
        };
        let mut value = f64::from(value);
        if normalise {
            let index = item * total + position(channel);
            value = value * f64::from(maps[0][index]) + f64::from(maps[1][index]);
            if activate {
                value /= 1.0 + (-value).exp();
            }
        }
        value
    };
    let naive = Naive {
        inputs,
        kernel,
        stride,
        padding,
        weight: &weight,
        input: &input,
    };
    let mut expected_sums = vec![0.0; batch * 2 * stored];
    for item in 0..batch {
        for y in 0..rows {
            for x in 0..columns {
                for channel in 0..stored {
                    let index = ((item * rows + y) * columns + x) * stored + channel;
                    let expected = if channel < outputs {
                        naive.at(item, channel, y, x) + f64::from(bias[channel]) + added(index)
                    } else {
                        0.0
                    };
                    assert!(
                        (f64::from(out[index]) - expected).abs() < tolerance,
                        "{} {arithmetic:?} {method:?}: {} for {expected} at item {item} y {y} x {x} channel {channel} of {batch}x{rows}x{columns}x{outputs}",
                        set.name(),
                        out[index],
                    );
                    let found = f64::from(out[index]);
                    expected_sums[item * 2 * stored + channel] += found;
                    expected_sums[(item * 2 + 1) * stored + channel] += found * found;
                }
            }
        }
    }
    let mut found_sums = vec![0.0; batch * 2 * stored];
    for (strip, sums) in sums.chunks_exact(2 * stored).enumerate() {
        for (total, sum) in found_sums[strip / (strips / batch) * 2 * stored..].iter_mut().zip(sums) {
            *total += f64::from(*sum);
        }
    }
    for (found, expected) in found_sums.iter().zip(&expected_sums) {
        assert!(
            (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
            "sums: {found} for {expected}"
        );
    }
}

#[test]
fn images_are_read_as_planes() {
    let mut random = Random::new(3);
    let method = Method::Patches {
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    for set in InstructionSet::available() {
        let (batch, height, width, outputs) = (2, random.below(9) + 1, random.below(9) + 1, random.below(30) + 1);
        let image = random.values(batch * 3 * height * width);
        let weight = random.values(outputs * 27);
        let convolution = Convolution::pack(
            set,
            Arithmetic::F32,
            method,
            &Kernel {
                inputs: 3,
                outputs,
                value: &|output, input, ky, kx| weight[(output * 3 + input) * 9 + ky * 3 + kx],
                bias: &|_| 0.25,
            },
        );
        let tiling = Tiling::new(batch, height, width, 1, 20, 20);
        let mut workspaces = Workspaces::new(1, convolution.needs(&tiling));
        let mut out = vec![0.0; batch * height * width * convolution.outputs()];
        let planar = Planar {
            data: &image,
            channels: 3,
            height,
            width,
        };
        let output = Output {
            data: &mut out,
            residual: Residual::None,
            sums: None,
        };
        convolve(
            set,
            &mut workspaces,
            &convolution,
            &tiling,
            batch,
            Input::Planar(planar),
            output,
        );
        let input = |item: usize, channel: usize, y: isize, x: isize| {
            let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
            let index = |y: usize, x: usize| ((item * 3 + channel) * height + y) * width + x;
            if inside {
                f64::from(image[index(y as usize, x as usize)])
            } else {
                0.0
            }
        };
        let naive = Naive {
            inputs: 3,
            kernel: 3,
            stride: 1,
            padding: 1,
            weight: &weight,
            input: &input,
        };
        for (index, &found) in out.iter().enumerate() {
            let (pixel, channel) = (index / convolution.outputs(), index % convolution.outputs());
            if channel < outputs {
                let (item, y, x) = (pixel / (height * width), pixel / width % height, pixel % width);
                let expected = naive.at(item, channel, y, x) + 0.25;
                assert!(
                    (f64::from(found) - expected).abs() < 1e-5,
                    "{}: {found} for {expected}",
                    set.name()
                );
            }
        }
    }
}

/// Sums of squares far from zero lose what the variance is made of. The mean is 300 deviations from zero here; the
/// normalisation that follows from the kernels' sums is that of the outputs.
#[test]
fn sums_far_from_zero_still_normalise() {
    const CHANNELS: usize = 32;
    const SIDE: usize = 64;
    let mut random = Random::new(9);
    let input: Vec<f32> = random.values(SIDE * SIDE * CHANNELS);
    let deviation = (input.iter().map(|value| f64::from(value * value)).sum::<f64>() / input.len() as f64).sqrt();
    let mean = (300.0 * deviation) as f32;
    let pointwise = Method::Patches {
        kernel: 1,
        stride: 1,
        padding: 0,
    };
    let pool = Threads::new(1).unwrap();
    for set in InstructionSet::available() {
        for (method, target) in [(Method::Winograd(4), 32), (Method::Winograd(2), 32), (pointwise, 96)] {
            let middle = if matches!(method, Method::Winograd(_)) { 1 } else { 0 };
            let kernel = Kernel {
                inputs: CHANNELS,
                outputs: CHANNELS,
                value: &|output, input, y, x| {
                    if output == input && (y, x) == (middle, middle) {
                        1.0
                    } else {
                        0.0
                    }
                },
                bias: &|_| mean,
            };
            let convolution = Convolution::pack(set, Arithmetic::F32, method, &kernel);
            let tiling = Tiling::new(1, SIDE, SIDE, method.side(), target, target);
            let strips = tiling.strips(1);
            let mut workspaces = Workspaces::new(1, convolution.needs(&tiling));
            let (mut out, mut sums) = (vec![0.0; SIDE * SIDE * CHANNELS], vec![0.0; strips * 2 * CHANNELS]);
            let source = Source {
                first: Part {
                    data: &input,
                    channels: CHANNELS,
                },
                second: None,
                height: SIDE,
                width: SIDE,
                upsample: false,
                affine: None,
            };
            let output = Output {
                data: &mut out,
                residual: Residual::None,
                sums: Some(&mut sums),
            };
            let input = Input::Activations(source);
            pool.install(|| convolve(set, &mut workspaces, &convolution, &tiling, 1, input, output));
            let mut channels = ChannelSums::new(1, CHANNELS);
            channels.gather(strips, 1, &sums);
            // A group of 4 channels at a time.
            for first in (0..CHANNELS).step_by(4) {
                let group = || {
                    out.chunks_exact(CHANNELS)
                        .flat_map(|pixel| &pixel[first..first + 4])
                        .map(|value| f64::from(*value))
                };
                let count = (4 * SIDE * SIDE) as f64;
                let mean = group().sum::<f64>() / count;
                let variance = group().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
                let (found, inverse) = moments([Some(&channels), None], 0, CHANNELS, first..first + 4, SIDE * SIDE);
                let (offset, scale) = ((found - mean) / variance.sqrt(), inverse * (variance + 1e-5).sqrt());
                let what = format!(
                    "{} {method:?}: mean off by {offset:.1e} deviations, scale {scale:.5}",
                    set.name()
                );
                assert!(offset.abs() < 1e-3 && (scale - 1.0).abs() < 1e-2, "{what}");
                if first == 0 {
                    println!("{what}");
                }
            }
        }
    }
}
