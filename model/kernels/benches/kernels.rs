//! Times of the kernels, by instruction set and arithmetic.
//!
//! ```text
//! cargo bench -p factorseg-kernels                            # all
//! cargo bench -p factorseg-kernels -- 'convolution.*avx512'   # those whose name matches
//! ```
//!
//! The 3x3 convolutions also say how many multiplications of a direct convolution a second is worth.

// The function that `criterion_group!` makes is public and has no documentation.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use factorseg_kernels::measured::{MeasuredAttention, MeasuredConvolution, MeasuredSoftmax};
use factorseg_kernels::{Arithmetic, InstructionSet};
use std::time::Duration;

/// The sets that a processor of today would use; the emulation of bf16 is for tests.
fn sets() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::available()
        .into_iter()
        .filter(|set| set.name() != "portable-16")
}

fn convolutions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convolution");
    for (channels, side) in [(32, 64), (128, 32), (384, 16)] {
        for method in ["winograd-4", "winograd-2", "strided", "1x1"] {
            for set in sets() {
                for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
                    let Some(mut convolution) = MeasuredConvolution::new(set, arithmetic, method, channels, side)
                    else {
                        continue;
                    };
                    let name = format!("{method}/{}/{arithmetic:?}", set.name());
                    let taps = if method == "1x1" { 1 } else { 9 };
                    let outputs = if method == "strided" {
                        side * side / 4
                    } else {
                        side * side
                    };
                    group.throughput(Throughput::Elements((taps * channels * channels * outputs) as u64));
                    group.bench_function(BenchmarkId::new(name, format!("{channels}x{side}x{side}")), |bencher| {
                        bencher.iter(|| convolution.run());
                    });
                }
            }
        }
    }
}

fn attention(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attention");
    for (heads, depth, positions) in [(2, 32, 64), (4, 96, 256)] {
        for set in sets() {
            let mut attention = MeasuredAttention::new(set, heads, depth, positions);
            let id = BenchmarkId::new(set.name(), format!("{heads}x{depth}x{positions}"));
            group.bench_function(id, |bencher| bencher.iter(|| attention.run()));
        }
    }
}

fn softmax(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("softmax");
    for set in sets() {
        let mut softmax = MeasuredSoftmax::new(set, 3, 64 * 64);
        group.bench_function(BenchmarkId::new(set.name(), "3x64x64"), |bencher| {
            bencher.iter(|| softmax.run())
        });
    }
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = convolutions, attention, softmax
}
criterion_main!(kernels);
