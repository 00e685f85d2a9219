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
mod tests;
