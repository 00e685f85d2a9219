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
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn rows_and_regions_sum_to_one() {
        let mut random = Random::new(11);
        for set in InstructionSet::available() {
            for _ in 0..20 {
                let (rows, count) = (random.below(5) + 1, random.below(70) + 1);
                let row = count.next_multiple_of(CHANNEL_BLOCK);
                let input: Vec<f32> = random.values(rows * row).iter().map(|value| value * 20.0).collect();
                let (mut data, mut inverse) = (input.clone(), vec![0.0; rows]);
                // SAFETY: the rows are whole channel blocks.
                unsafe { exponentials(set, data.as_mut_ptr(), rows, count, row, inverse.as_mut_ptr()) };
                for index in 0..rows {
                    let line = &input[index * row..][..count];
                    let total: f64 = line.iter().map(|&value| f64::from(value).exp()).sum();
                    for (column, &value) in line.iter().enumerate() {
                        let found = f64::from(data[index * row + column] * inverse[index]);
                        assert!((found - f64::from(value).exp() / total).abs() < 1e-6, "{}", set.name());
                    }
                    assert!(
                        data[index * row + count..(index + 1) * row]
                            .iter()
                            .all(|&value| value == 0.0)
                    );
                }

                let (pixels, regions) = (random.below(150) + 1, random.below(16) + 1);
                let logits: Vec<f32> = random.values(pixels * 16).iter().map(|value| value * 9.0).collect();
                let mut found = vec![f32::NAN; regions * pixels];
                let mut scratch = vec![0.0; probabilities_scratch(regions)];
                probabilities(set, &logits, 16, regions, &mut found, &mut scratch);
                for pixel in 0..pixels {
                    let line = &logits[pixel * 16..][..regions];
                    let total: f64 = line.iter().map(|&value| f64::from(value).exp()).sum();
                    for (region, &value) in line.iter().enumerate() {
                        let expected = f64::from(value).exp() / total;
                        assert!((f64::from(found[region * pixels + pixel]) - expected).abs() < 1e-6);
                    }
                }
            }
        }
    }
}
