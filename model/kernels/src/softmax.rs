//! Exponentials over rows: the attention's weights, and the region probabilities at the network's end.

use crate::simd::{CHANNEL_BLOCK, InstructionSet, Vector, dispatch, exp};

dispatch!(
    /// Replaces each of `rows` rows of `count` numbers, `row` apart, by exp(x - largest), and writes 1 / sum to
    /// `inverse`. Numbers behind `count` up to a whole channel block become zero.
    ///
    /// # Safety
    /// `data` holds the rows with whole channel blocks, `inverse` has `rows` numbers; nothing else uses them.
    pub(crate) unsafe fn exponentials = exponentials_body(
        data: *mut f32, rows: usize, count: usize, row: usize, inverse: *mut f32)
);

#[inline(always)]
unsafe fn exponentials_body<V: Vector>(data: *mut f32, rows: usize, count: usize, row: usize, inverse: *mut f32) {
    let whole = count / V::LANES * V::LANES;
    for index in 0..rows {
        // SAFETY: the caller's promise; the row is padded to whole vectors.
        unsafe {
            let line = data.add(index * row);
            let mut largest = V::splat(f32::NEG_INFINITY);
            for start in (0..whole).step_by(V::LANES) {
                largest = V::load(line.add(start)).max(largest);
            }
            let mut largest = largest.largest();
            for rest in whole..count {
                largest = largest.max(*line.add(rest));
            }
            let offset = V::splat(largest);
            let mut sums = V::zero();
            for start in (0..whole).step_by(V::LANES) {
                let value = exp(V::load(line.add(start)).sub(offset));
                value.store(line.add(start));
                sums = sums.add(value);
            }
            let mut sum = sums.sum();
            if whole < count {
                let mut lanes = [0.0; CHANNEL_BLOCK];
                exp(V::load(line.add(whole)).sub(offset)).store(lanes.as_mut_ptr());
                for (lane, value) in lanes.iter().enumerate().take(count - whole) {
                    *line.add(whole + lane) = *value;
                    sum += *value;
                }
            }
            for rest in count..count.next_multiple_of(CHANNEL_BLOCK) {
                *line.add(rest) = 0.0;
            }
            *inverse.add(index) = 1.0 / sum;
        }
    }
}

/// Pixels whose probabilities are computed together.
const GROUP: usize = 64;

/// Scratch that [`probabilities`] needs for `regions`.
pub(crate) fn probabilities_scratch(regions: usize) -> usize {
    regions * GROUP
}

/// Softmax over the regions: logits [pixels, channels] of one image to probabilities [regions, pixels].
pub(crate) fn probabilities(
    set: InstructionSet,
    logits: &[f32],
    channels: usize,
    regions: usize,
    probabilities: &mut [f32],
    scratch: &mut [f32],
) {
    let pixels = logits.len() / channels;
    assert!(
        regions <= channels && probabilities.len() == regions * pixels,
        "sizes of the region probabilities"
    );
    assert!(
        scratch.len() >= probabilities_scratch(regions),
        "scratch of the region probabilities"
    );
    let planes = &mut scratch[..regions * GROUP];
    for start in (0..pixels).step_by(GROUP) {
        let count = GROUP.min(pixels - start);
        for pixel in 0..count {
            for region in 0..regions {
                planes[region * GROUP + pixel] = logits[(start + pixel) * channels + region];
            }
        }
        // SAFETY: `planes` holds [regions, GROUP].
        unsafe { planes_softmax(set, planes.as_mut_ptr(), regions) };
        for region in 0..regions {
            probabilities[region * pixels + start..][..count].copy_from_slice(&planes[region * GROUP..][..count]);
        }
    }
}

dispatch!(
    /// Softmax over the first axis of [regions, GROUP].
    ///
    /// # Safety
    /// `planes` holds the numbers; nothing else uses them.
    unsafe fn planes_softmax = planes_softmax_body(planes: *mut f32, regions: usize)
);

#[inline(always)]
unsafe fn planes_softmax_body<V: Vector>(planes: *mut f32, regions: usize) {
    for start in (0..GROUP).step_by(V::LANES) {
        // SAFETY: GROUP is whole vectors; the rest is the caller's promise.
        unsafe {
            let mut largest = V::load(planes.add(start));
            for region in 1..regions {
                largest = V::load(planes.add(region * GROUP + start)).max(largest);
            }
            let mut sum = V::zero();
            for region in 0..regions {
                let place = planes.add(region * GROUP + start);
                let value = exp(V::load(place).sub(largest));
                value.store(place);
                sum = sum.add(value);
            }
            let inverse = V::splat(1.0).div(sum);
            for region in 0..regions {
                let place = planes.add(region * GROUP + start);
                V::load(place).mul(inverse).store(place);
            }
        }
    }
}

#[cfg(test)]
mod tests;
