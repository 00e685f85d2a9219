//! From logits to masks (Eq. 4).

/// Softmax over the regions, in place: `values` is `[images, regions, pixels]`.
pub fn softmax(values: &mut [f32], images: usize, regions: usize) {
    let pixels = values.len() / (images * regions).max(1);
    for image in values.chunks_exact_mut((regions * pixels).max(1)) {
        for pixel in 0..pixels {
            let places = || (0..regions).map(|region| region * pixels + pixel);
            let largest = places().map(|at| image[at]).fold(f32::NEG_INFINITY, f32::max);
            places().for_each(|at| image[at] = (image[at] - largest).exp());
            let total: f32 = places().map(|at| image[at]).sum();
            places().for_each(|at| image[at] /= total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_positive_with_sum_1_and_large_logits_are_no_trouble() {
        let mut values = vec![0.0, 1000.0, f32::ln(3.0), 1001.0];
        softmax(&mut values, 1, 2);
        for (found, expected) in values.iter().zip([0.25, 0.268_941_42, 0.75, 0.731_058_6]) {
            assert!((found - expected).abs() < 1e-6, "{values:?}");
        }
    }
}
