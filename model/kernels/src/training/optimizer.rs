//! What happens to flat vectors of parameters between two passes: AdamW, clipping, and the moving average.

use crate::Threads;
use crate::memory::Shared;
use crate::passes::Adam;
use crate::simd::{InstructionSet, Vector, dispatch};
use crate::threads::for_each;

/// Numbers that one task handles.
const CHUNK: usize = 1 << 14;

/// The arithmetic on flat vectors, on the threads and with the instructions of a training network. Results do not
/// depend on the number of threads.
#[derive(Debug, Clone)]
pub struct VectorMath {
    threads: Threads,
    set: InstructionSet,
}

/// The numbers of an update in single precision.
#[derive(Clone, Copy)]
struct Factors {
    beta_1: f32,
    beta_2: f32,
    rest_1: f32,
    rest_2: f32,
    correction_1: f32,
    correction_2: f32,
    epsilon: f32,
    keep: f32,
    rate: f32,
}

impl VectorMath {
    /// On `threads`, with `set`.
    pub fn new(threads: Threads, set: InstructionSet) -> Self {
        Self { threads, set }
    }

    /// Calls `task` with the bounds of each chunk of `length` numbers.
    fn chunks(&self, length: usize, task: impl Fn(usize, usize) + Sync) {
        let mut workers = vec![(); self.threads.count()];
        self.threads.install(|| {
            for_each(&mut workers, length.div_ceil(CHUNK), |_, index| {
                task(index * CHUNK, CHUNK.min(length - index * CHUNK));
            });
        });
    }

    /// Moves `values` by AdamW at a learning rate; it is update number `updates` of these. `first` and `second` are the moments.
    ///
    /// # Panics
    /// If the slices are not of one length.
    pub fn adam(
        &self,
        constants: &Adam,
        rate: f64,
        updates: u64,
        values: &mut [f32],
        gradients: &[f32],
        (first, second): (&mut [f32], &mut [f32]),
    ) {
        let length = values.len();
        assert!(
            gradients.len() == length && first.len() == length && second.len() == length,
            "the slices of an update differ in length"
        );
        let updates = updates.min(i32::MAX as u64) as i32;
        let factors = Factors {
            beta_1: constants.beta_1 as f32,
            beta_2: constants.beta_2 as f32,
            rest_1: (1.0 - constants.beta_1) as f32,
            rest_2: (1.0 - constants.beta_2) as f32,
            correction_1: (1.0 - constants.beta_1.powi(updates)) as f32,
            correction_2: (1.0 - constants.beta_2.powi(updates)) as f32,
            epsilon: constants.epsilon as f32,
            keep: (1.0 - rate * constants.weight_decay) as f32,
            rate: rate as f32,
        };
        let (values, first, second) = (Shared::new(values), Shared::new(first), Shared::new(second));
        self.chunks(length, |start, count| {
            let gradients = &gradients[start..start + count];
            // SAFETY: chunks do not overlap; the set is one that the processor has.
            unsafe {
                adam(
                    self.set,
                    factors,
                    values.part(start, count),
                    gradients,
                    first.part(start, count),
                    second.part(start, count),
                );
            }
        });
    }

    /// `average = average * rate + values * (1 - rate)`
    ///
    /// # Panics
    /// If the slices are not of one length.
    pub fn average(&self, average: &mut [f32], values: &[f32], rate: f64) {
        let length = average.len();
        assert_eq!(length, values.len(), "the slices of an average differ in length");
        let rest = (1.0 - rate) as f32;
        let average = Shared::new(average);
        self.chunks(length, |start, count| {
            let values = &values[start..start + count];
            // SAFETY: chunks do not overlap; the set is one that the processor has.
            unsafe { blend(self.set, average.part(start, count), values, rest) };
        });
    }

    /// Multiplies all by `factor`.
    pub fn scale(&self, values: &mut [f32], factor: f32) {
        let length = values.len();
        let values = Shared::new(values);
        self.chunks(length, |start, count| {
            // SAFETY: chunks do not overlap.
            for value in unsafe { values.part(start, count) } {
                *value *= factor;
            }
        });
    }

    /// The sum of the squares.
    pub fn square_sum(&self, values: &[f32]) -> f64 {
        let mut sums = vec![0.0; values.len().div_ceil(CHUNK)];
        let shared = Shared::new(&mut sums);
        self.chunks(values.len(), |start, count| {
            // SAFETY: each chunk has its own sum; the set is one that the processor has.
            unsafe {
                squares(
                    self.set,
                    &values[start..start + count],
                    &mut shared.part(start / CHUNK, 1)[0],
                )
            };
        });
        sums.iter().map(|&sum| f64::from(sum)).sum()
    }
}

dispatch!(
    /// # Safety
    /// The slices are of one length.
    unsafe fn adam = adam_body(
        factors: Factors, values: &mut [f32], gradients: &[f32], first: &mut [f32], second: &mut [f32])
);

/// Plain code: the copies for the instruction sets are vectorised by the compiler.
#[inline(always)]
unsafe fn adam_body<V: Vector>(
    factors: Factors,
    values: &mut [f32],
    gradients: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let moments = first.iter_mut().zip(second);
    for ((value, &gradient), (first, second)) in values.iter_mut().zip(gradients).zip(moments) {
        *first = *first * factors.beta_1 + gradient * factors.rest_1;
        *second = *second * factors.beta_2 + gradient * gradient * factors.rest_2;
        let mean = *first / factors.correction_1;
        let deviation = (*second / factors.correction_2).sqrt();
        *value = *value * factors.keep - mean / (deviation + factors.epsilon) * factors.rate;
    }
}

dispatch!(
    /// # Safety
    /// The slices are of one length.
    unsafe fn blend = blend_body(average: &mut [f32], values: &[f32], rest: f32)
);

#[inline(always)]
unsafe fn blend_body<V: Vector>(average: &mut [f32], values: &[f32], rest: f32) {
    for (average, value) in average.iter_mut().zip(values) {
        // So that what stands still is its own average to the bit.
        *average += (value - *average) * rest;
    }
}

dispatch!(
    /// # Safety
    /// None but the set's.
    unsafe fn squares = squares_body(values: &[f32], sum: &mut f32)
);

/// In sixteen sums, so that the compiler may vectorise it.
#[inline(always)]
unsafe fn squares_body<V: Vector>(values: &[f32], sum: &mut f32) {
    let mut sums = [0.0f32; 16];
    let chunks = values.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|value| value * value).sum();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value * value;
        }
    }
    *sum = sums.iter().sum::<f32>() + rest;
}

#[cfg(test)]
mod tests;
