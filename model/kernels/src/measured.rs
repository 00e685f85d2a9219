//! Single kernels with random inputs, for `benches/kernels.rs`. Not part of the interface.

use crate::attention::Attention;
use crate::convolution::{Convolution, Input, Kernel, Method, Needs, Output, Residual, Workspaces, convolve};
use crate::simd::{Arithmetic, InstructionSet, padded};
use crate::softmax::{probabilities, probabilities_scratch};
use crate::source::{Affine, Part, Source};
use crate::tiling::Tiling;

/// Values of a deterministic wave: as good as random ones for a time.
fn wave(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.618).sin()).collect()
}

/// A convolution or projection as the network has them: normalised and activated while loading, summed while storing.
pub struct MeasuredConvolution {
    set: InstructionSet,
    convolution: Convolution,
    tiling: Tiling,
    workspaces: Workspaces,
    side: usize,
    inputs: usize,
    input: Vec<f32>,
    scale: Vec<f32>,
    output: Vec<f32>,
    sums: Vec<f32>,
}

impl MeasuredConvolution {
    /// `method` is `winograd-4`, `winograd-2`, `strided` (3x3, stride 2) or `1x1`; `channels` in and out are multiples of
    /// 16, `side` is the input's in pixels. `None` for another method, or an arithmetic that the set does not have.
    pub fn new(
        set: InstructionSet,
        arithmetic: Arithmetic,
        method: &str,
        channels: usize,
        side: usize,
    ) -> Option<Self> {
        let method = match method {
            "winograd-4" => Method::Winograd(4),
            "winograd-2" => Method::Winograd(2),
            "strided" => Method::Patches {
                kernel: 3,
                stride: 2,
                padding: 1,
            },
            "1x1" => Method::Patches {
                kernel: 1,
                stride: 1,
                padding: 0,
            },
            _ => return None,
        };
        if arithmetic == Arithmetic::Bf16 && !set.computes_bf16() || channels != padded(channels) {
            return None;
        }
        let kernel = Kernel {
            inputs: channels,
            outputs: channels,
            value: &|output, input, ky, kx| ((output * 31 + input * 17 + ky * 3 + kx) as f32).sin(),
            bias: &|output| output as f32 * 0.01,
        };
        let convolution = Convolution::pack(set, arithmetic, method, &kernel);
        let rows = method.output_size(side);
        let tiling = Tiling::new(1, rows, rows, method.side(), if method.side() == 1 { 96 } else { 32 });
        Some(Self {
            workspaces: Workspaces::new(1, convolution.needs(&tiling)),
            side,
            inputs: channels,
            input: wave(side * side * channels),
            scale: vec![0.5; channels],
            output: vec![0.0; rows * rows * convolution.outputs()],
            sums: vec![0.0; tiling.rectangles(1).len() * 2 * convolution.outputs()],
            set,
            convolution,
            tiling,
        })
    }

    /// One image.
    pub fn run(&mut self) {
        let source = Source {
            first: Part {
                data: &self.input,
                channels: self.inputs,
            },
            second: None,
            height: self.side,
            width: self.side,
            upsample: false,
            affine: Some(Affine {
                scale: &self.scale,
                shift: &self.scale,
                activate: true,
            }),
        };
        let output = Output {
            data: &mut self.output,
            residual: Residual::None,
            sums: Some(&mut self.sums),
        };
        let input = Input::Activations(source);
        convolve(
            self.set,
            &mut self.workspaces,
            &self.convolution,
            &self.tiling,
            1,
            input,
            output,
        );
    }
}

/// Self-attention of one image.
pub struct MeasuredAttention {
    set: InstructionSet,
    attention: Attention,
    workspaces: Workspaces,
    positions: usize,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl MeasuredAttention {
    /// So many heads of `depth` channels over `positions` pixels.
    pub fn new(set: InstructionSet, heads: usize, depth: usize, positions: usize) -> Self {
        let attention = Attention { heads, depth };
        let needs = Needs {
            left: attention.needs(positions),
            ..Needs::default()
        };
        Self {
            set,
            attention,
            workspaces: Workspaces::new(1, needs),
            positions,
            input: wave(positions * 3 * attention.channels()),
            output: vec![0.0; positions * attention.channels()],
        }
    }

    /// One image.
    pub fn run(&mut self) {
        let threads = &mut self.workspaces.threads;
        self.attention
            .run(self.set, threads, 1, self.positions, &self.input, &mut self.output);
    }
}

/// Region probabilities of one image's logits.
pub struct MeasuredSoftmax {
    set: InstructionSet,
    regions: usize,
    logits: Vec<f32>,
    output: Vec<f32>,
    scratch: Vec<f32>,
}

impl MeasuredSoftmax {
    /// `regions` over `pixels`.
    pub fn new(set: InstructionSet, regions: usize, pixels: usize) -> Self {
        Self {
            set,
            regions,
            logits: wave(pixels * padded(regions)),
            output: vec![0.0; pixels * regions],
            scratch: vec![0.0; probabilities_scratch(padded(regions))],
        }
    }

    /// One image.
    pub fn run(&mut self) {
        let channels = padded(self.regions);
        probabilities(
            self.set,
            &self.logits,
            channels,
            self.regions,
            &mut self.output,
            &mut self.scratch,
        );
    }
}
