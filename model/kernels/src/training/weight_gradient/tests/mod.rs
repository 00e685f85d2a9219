use super::*;
use crate::convolution::{Input, Output, Planar, Residual, convolve};
use crate::network::{Layout, NONE};
use crate::simd::{Arithmetic, InstructionSet, padded};
use crate::source::{Part, Source};
use crate::testing::Random;
use crate::training::packing::Direction;

/// One random convolution over joined activations, with the naive sum of products that each gradient is one of.
struct Case {
    method: Method,
    counts: [usize; 2],
    outputs: usize,
    batch: usize,
    height: usize,
    width: usize,
    weights: Vec<f32>,
    parts: [Vec<f32>; 2],
    slope: Vec<f32>,
}

impl Case {
    fn new(random: &mut Random, method: Method) -> Self {
        let second = random.below(20);
        let counts = [random.below(20) + 1, second];
        let outputs = random.below(20) + 1;
        let (batch, height, width) = (random.below(2) + 1, random.below(9) + 1, random.below(11) + 1);
        let side = Self::kernel(method).0;
        let weights = random.values(outputs * (counts[0] + second) * side * side);
        let mut activation = |channels: usize, pixels: usize| -> Vec<f32> {
            let width = padded(channels);
            let value = |i: usize, random: &mut Random| {
                let value = random.value();
                if i % width < channels { value } else { 0.0 }
            };
            (0..batch * pixels * width).map(|i| value(i, random)).collect()
        };
        let (rows, columns) = (method.output_size(height), method.output_size(width));
        let parts = counts.map(|count| {
            if count > 0 {
                activation(count, height * width)
            } else {
                Vec::new()
            }
        });
        let slope = activation(outputs, rows * columns);
        Self {
            method,
            counts,
            outputs,
            batch,
            height,
            width,
            weights,
            parts,
            slope,
        }
    }

    /// Side, stride and padding.
    fn kernel(method: Method) -> (usize, usize, usize) {
        match method {
            Method::Winograd(_) => (3, 1, 1),
            Method::Patches {
                kernel,
                stride,
                padding,
            } => (kernel, stride, padding),
        }
    }

    fn inputs(&self) -> usize {
        self.counts[0] + self.counts[1]
    }

    fn positions(counts: &[usize]) -> Vec<u32> {
        let mut positions = Vec::new();
        let mut channel = 0;
        for &count in counts {
            let end = if count > 0 { padded(count) } else { 0 };
            positions.extend((0..end).map(|i| if i < count { (channel + i) as u32 } else { NONE }));
            channel += count;
        }
        positions
    }

    fn layout(&self) -> Layout {
        let taps = Self::kernel(self.method).0.pow(2);
        Layout {
            input_step: taps,
            output_step: taps * self.inputs(),
            taps,
            inputs: Self::positions(&self.counts),
            outputs: Self::positions(&[self.outputs]),
        }
    }

    fn input(&self) -> Input<'_> {
        let part = |index: usize| Part {
            data: &self.parts[index],
            channels: padded(self.counts[index]),
        };
        Input::Activations(Source {
            first: part(0),
            second: (self.counts[1] > 0).then(|| part(1)),
            height: self.height,
            width: self.width,
            upsample: false,
            affine: None,
        })
    }

    fn value(&self, item: usize, channel: usize, y: usize, x: usize) -> f64 {
        let (part, index) = if channel < self.counts[0] {
            (0, channel)
        } else {
            (1, channel - self.counts[0])
        };
        let width = padded(self.counts[part]);
        f64::from(self.parts[part][((item * self.height + y) * self.width + x) * width + index])
    }

    /// Calls `visit(weight, input (item, channel, y, x), output's gradient)` for every product.
    fn visit(&self, mut visit: impl FnMut(usize, [usize; 4], f64)) {
        let (side, stride, padding) = Self::kernel(self.method);
        let (rows, columns) = (
            self.method.output_size(self.height),
            self.method.output_size(self.width),
        );
        for item in 0..self.batch {
            for pixel in 0..rows * columns {
                for output in 0..self.outputs {
                    let place = (item * rows * columns + pixel) * padded(self.outputs) + output;
                    let slope = f64::from(self.slope[place]);
                    for input in 0..self.inputs() {
                        for tap in 0..side * side {
                            let y = (pixel / columns * stride + tap / side).wrapping_sub(padding);
                            let x = (pixel % columns * stride + tap % side).wrapping_sub(padding);
                            if y < self.height && x < self.width {
                                let weight = (output * self.inputs() + input) * side * side + tap;
                                visit(weight, [item, input, y, x], slope);
                            }
                        }
                    }
                }
            }
        }
    }
}

const METHODS: [Method; 4] = [
    Method::Winograd(2),
    Method::Winograd(4),
    Method::Patches {
        kernel: 1,
        stride: 1,
        padding: 0,
    },
    Method::Patches {
        kernel: 3,
        stride: 2,
        padding: 1,
    },
];

/// Every set, and those that round in bf16, too.
fn kinds() -> Vec<(InstructionSet, Arithmetic)> {
    let sets = InstructionSet::available().into_iter();
    sets.flat_map(|set| {
        let rounded = set.computes_bf16().then_some((set, Arithmetic::Bf16));
        [Some((set, Arithmetic::F32)), rounded].into_iter().flatten()
    })
    .collect()
}

/// Two roundings to 8 bits of each of `count` products of numbers below one, larger by what the points of a tile add up.
fn tolerance(arithmetic: Arithmetic, exact: f64, method: Method, count: usize) -> f64 {
    let larger = match (arithmetic, method) {
        (Arithmetic::F32, _) => return exact,
        (_, Method::Patches { .. }) => 1.0,
        (_, Method::Winograd(2)) => 3.0,
        (_, Method::Winograd(_)) => 8.0,
    };
    larger * 2.0f64.powi(-8) * (count as f64).sqrt()
}

#[test]
fn weight_gradients_equal_naive_ones() {
    let mut random = Random::new(51);
    for (set, arithmetic) in kinds() {
        for round in 0..12 {
            let case = Case::new(&mut random, METHODS[round % 4]);
            let layout = case.layout();
            let mut expected = vec![0.0; case.weights.len()];
            case.visit(|weight, [item, input, y, x], slope| {
                expected[weight] += slope * case.value(item, input, y, x);
            });
            let (inputs, outputs) = (layout.inputs.len(), layout.outputs.len());
            let convolution = Convolution::zeroed(set, arithmetic, case.method, inputs, outputs);
            let (rows, columns) = (
                case.method.output_size(case.height),
                case.method.output_size(case.width),
            );
            let tiles = tiling(&convolution, case.batch, rows, columns);
            let mut workspaces = Workspaces::new(1, convolution.needs(&tiles));
            let mut space = SpaceNeeds::of(&convolution, &tiles, case.batch).space();
            let loading = Loading {
                set,
                convolution: &convolution,
                input: case.input(),
                pairing: Pairing::Rows,
            };
            weight_gradient(loading, &tiles, case.batch, &case.slope, &mut workspaces, &mut space);
            let mut found = vec![1.0; case.weights.len()];
            layout.unpack(set, case.method, &space.sums, &mut found);
            for (found, expected) in found.iter().zip(&expected) {
                // One was there before: gradients add up.
                let difference = (f64::from(*found) - 1.0 - expected).abs();
                let allowed = tolerance(arithmetic, 2e-4, case.method, case.slope.len());
                assert!(
                    difference < allowed,
                    "{} {arithmetic:?} {:?}: {found} {expected}",
                    set.name(),
                    case.method
                );
            }
        }
    }
}

#[test]
fn turned_convolutions_give_the_inputs_gradients() {
    let mut random = Random::new(53);
    for (set, arithmetic) in kinds() {
        for round in 0..9 {
            let case = Case::new(&mut random, METHODS[round % 3]);
            let layout = case.layout();
            let width = layout.inputs.len();
            let mut expected = vec![0.0; case.batch * case.height * case.width * width];
            case.visit(|weight, [item, input, y, x], slope| {
                let position = layout.inputs.iter().position(|&i| i == input as u32).unwrap();
                let pixel = (item * case.height + y) * case.width + x;
                expected[pixel * width + position] += slope * f64::from(case.weights[weight]);
            });
            let mut turned = Convolution::zeroed(set, arithmetic, case.method, layout.outputs.len(), width);
            layout.pack(set, &case.weights, Direction::Backward { from: 0 }, &mut turned);
            let tiles = Tiling::new(case.batch, case.height, case.width, case.method.side(), 20, 20);
            let mut workspaces = Workspaces::new(1, turned.needs(&tiles));
            let mut found = vec![f32::NAN; expected.len()];
            let input = Input::Activations(Source {
                first: Part {
                    data: &case.slope,
                    channels: layout.outputs.len(),
                },
                second: None,
                height: case.height,
                width: case.width,
                upsample: false,
                affine: None,
            });
            let output = Output {
                data: &mut found,
                residual: Residual::None,
                sums: None,
            };
            convolve(set, &mut workspaces, &turned, &tiles, case.batch, input, output);
            for (found, expected) in found.iter().zip(&expected) {
                let difference = (f64::from(*found) - expected).abs();
                let allowed = tolerance(arithmetic, 1e-4, case.method, 9 * case.outputs);
                assert!(
                    difference < allowed,
                    "{} {arithmetic:?} {:?}: {found} {expected}",
                    set.name(),
                    case.method
                );
            }
        }
    }
}

#[test]
fn gradients_of_an_images_weights_equal_naive_ones() {
    let mut random = Random::new(55);
    for set in InstructionSet::available() {
        let method = Method::Patches {
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        let (batch, height, width, outputs) = (2, random.below(9) + 1, random.below(9) + 1, 5);
        let image = random.values(batch * 3 * height * width);
        let slope: Vec<f32> = (0..batch * height * width * 16)
            .map(|i| if i % 16 < outputs { random.value() } else { 0.0 })
            .collect();
        let convolution = Convolution::zeroed(set, Arithmetic::F32, method, 3, 16);
        let tiles = tiling(&convolution, batch, height, width);
        let mut workspaces = Workspaces::new(1, convolution.needs(&tiles));
        let mut space = SpaceNeeds::of(&convolution, &tiles, batch).space();
        let planar = Planar {
            data: &image,
            channels: 3,
            height,
            width,
        };
        let loading = Loading {
            set,
            convolution: &convolution,
            input: Input::Planar(planar),
            pairing: Pairing::Rows,
        };
        weight_gradient(loading, &tiles, batch, &slope, &mut workspaces, &mut space);
        for row in 0..27 {
            for output in 0..outputs {
                let (tap, channel) = (row / 3, row % 3);
                let mut expected = 0.0;
                for pixel in 0..batch * height * width {
                    let (item, y, x) = (pixel / (height * width), pixel / width % height, pixel % width);
                    let (y, x) = ((y + tap / 3).wrapping_sub(1), (x + tap % 3).wrapping_sub(1));
                    if y < height && x < width {
                        let value = image[((item * 3 + channel) * height + y) * width + x];
                        expected += f64::from(value) * f64::from(slope[pixel * 16 + output]);
                    }
                }
                let found = f64::from(space.sums[row * 16 + output]);
                assert!((found - expected).abs() < 1e-4, "{}: {found} {expected}", set.name());
            }
        }
    }
}
