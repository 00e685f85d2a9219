//! From the mask generator's logits to the masks that the decoder sees (Eq. 4).

use burn::tensor::IndexingUpdateOp;
use burn::tensor::activation::softmax;
use rand::Rng;

use super::Tensor;
use crate::recipe::{MaskShaping, Normalisation};

/// Added to the variance of the logits before the root.
pub(super) const VARIANCE_FLOOR: f64 = 1e-5;

/// Masks `[batch, K, height, width]` (sum 1 over K) from logits of the same shape.
///
/// `gumbel` is noise of that shape where the shaping asks for it. With the default shaping and
/// temperature 1 this is the paper's plain softmax.
pub fn shape_masks(logits: Tensor<4>, shaping: &MaskShaping, temperature: f64, gumbel: Option<Tensor<4>>) -> Tensor<4> {
    let logits = match shaping.normalise {
        Normalisation::None => logits,
        Normalisation::Batch => {
            let logits = fixed_offset(zero_sum(logits));
            let (mean, deviation) = statistics(logits.clone());
            (logits - mean) / deviation
        }
        Normalisation::BatchCentre => {
            let logits = fixed_offset(zero_sum(logits));
            let (mean, _) = statistics(logits.clone());
            logits - mean
        }
    };
    let logits = if temperature == 1.0 {
        logits
    } else {
        logits / temperature
    };
    let logits = match gumbel {
        Some(noise) => logits + noise * shaping.gumbel,
        None => logits,
    };
    let soft = softmax(logits, 1);
    if shaping.hard > 0.0 {
        straight_through(soft, shaping.hard)
    } else {
        soft
    }
}

/// Takes out what all regions' logits have in common at a pixel: the softmax does not see it, but
/// it would carry the variance.
pub fn zero_sum(logits: Tensor<4>) -> Tensor<4> {
    let common = logits.clone().mean_dim(1);
    logits - common
}

/// Leaves the logits as they are, but lets no gradient through to a picture's own mean of a
/// region. Otherwise the cheapest way to keep regions in balance over a batch is to give whole
/// pictures to one region or another, without any boundary.
fn fixed_offset(logits: Tensor<4>) -> Tensor<4> {
    let offset = logits.clone().mean_dim(2).mean_dim(3);
    logits - offset.clone() + offset.detach()
}

/// Mean and standard deviation of each region's logits over batch and pixels, `[1, K, 1, 1]`.
pub fn statistics(logits: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let over_all = |tensor: Tensor<4>| tensor.mean_dim(0).mean_dim(2).mean_dim(3);
    let mean = over_all(logits.clone());
    let variance = over_all((logits - mean.clone()).square());
    (mean, (variance + VARIANCE_FLOOR).sqrt())
}

/// Towards one-hot of the largest region forward, the soft masks' gradient backward.
fn straight_through(soft: Tensor<4>, part: f64) -> Tensor<4> {
    let value = soft.clone().detach();
    let largest = value.clone().argmax(1);
    let one = Tensor::<4>::ones(largest.dims(), &value.device());
    let hard = value.zeros_like().scatter(1, largest, one, IndexingUpdateOp::Add);
    soft + (hard - value) * part
}

/// Standard Gumbel noise.
pub fn gumbel(random: &mut impl Rng, count: usize) -> Vec<f32> {
    // Both logarithms stay finite.
    (0..count)
        .map(|_| -(-random.random::<f32>().clamp(1e-6, 1.0 - 1e-6).ln()).ln())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::order::{Stream, random};
    use crate::recipe::Ramp;
    use crate::training::Device;
    use burn::tensor::TensorData;
    use factorseg_model::DeviceSpec;

    fn device() -> Device {
        Device::autodiff(DeviceSpec::Cpu.resolve().unwrap())
    }

    /// Two images, three regions, one row of two pixels.
    fn logits() -> Tensor<4> {
        let values: Vec<f32> = vec![1.0, -2.0, 0.5, 0.0, 3.0, 0.25, -1.0, 2.0, 0.0, 0.75, 1.5, -0.5];
        Tensor::from_data(TensorData::new(values, [2, 3, 1, 2]), &device()).require_grad()
    }

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn the_default_is_the_papers_softmax() {
        let shaped = values(shape_masks(logits(), &MaskShaping::default(), 1.0, None));
        assert_eq!(shaped, values(softmax(logits(), 1)));
    }

    #[test]
    fn hard_masks_are_one_hot_with_the_soft_gradient() {
        let shaping = MaskShaping {
            hard: 1.0,
            ..MaskShaping::default()
        };
        let weights: Vec<f32> = (0..12).map(|i| (i * i) as f32 / 10.0).collect();
        let gradient = |shaping: &MaskShaping| {
            let logits = logits();
            let masks = shape_masks(logits.clone(), shaping, 0.7, None);
            let weights = Tensor::<4>::from_data(TensorData::new(weights.clone(), [2, 3, 1, 2]), &device());
            let loss = (masks.clone() * weights).sum();
            (values(masks), values(logits.grad(&loss.backward()).unwrap()))
        };
        let (hard, hard_gradient) = gradient(&shaping);
        let (_, soft_gradient) = gradient(&MaskShaping::default());
        for (found, expected) in hard
            .iter()
            .zip([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
        {
            assert!((found - expected).abs() < 1e-6);
        }
        for (a, b) in hard_gradient.iter().zip(soft_gradient) {
            assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn batch_normalisation_gives_each_region_mean_0_and_variance_1() {
        let (mean, deviation) = statistics(logits());
        let region_0 = [1.0f32, -2.0, -1.0, 2.0];
        assert!((values(mean)[0] - 0.0).abs() < 1e-6);
        let expected = (region_0.iter().map(|v| v * v).sum::<f32>() / 4.0 + 1e-5).sqrt();
        assert!((values(deviation)[0] - expected).abs() < 1e-6);
        let shaping = MaskShaping {
            normalise: Normalisation::Batch,
            temperature: Ramp::constant(1.0),
            ..MaskShaping::default()
        };
        // A region's offset and what all regions share do not matter any more.
        let offset = Tensor::<4>::from_data(TensorData::new(vec![5.0f32, 0.0, 0.0], [1, 3, 1, 1]), &device());
        let common = Tensor::<4>::from_data(TensorData::new(vec![9.0f32, -3.0], [1, 1, 1, 2]), &device());
        let moved = values(shape_masks(logits() + offset + common, &shaping, 1.0, None));
        for (a, b) in moved.iter().zip(values(shape_masks(logits(), &shaping, 1.0, None))) {
            assert!((a - b).abs() < 1e-5);
        }
    }

    #[test]
    fn a_pictures_own_offset_gets_no_gradient() {
        let logits = logits();
        let offset = fixed_offset(logits.clone());
        for (a, b) in values(offset.clone()).iter().zip(values(logits.clone())) {
            assert!((a - b).abs() < 1e-6);
        }
        let weights: Vec<f32> = (0..12).map(|i| (i * i) as f32).collect();
        let weights = Tensor::<4>::from_data(TensorData::new(weights, [2, 3, 1, 2]), &device());
        let gradient = values(logits.grad(&(offset * weights).sum().backward()).unwrap());
        for pair in gradient.chunks_exact(2) {
            assert!((pair[0] + pair[1]).abs() < 1e-5 && pair[0] != 0.0, "{pair:?}");
        }
    }

    #[test]
    fn gumbel_noise_has_its_mean_and_variance() {
        let noise = gumbel(&mut random(1, Stream::Masks, 0), 100_000);
        let mean = noise.iter().map(|v| f64::from(*v)).sum::<f64>() / 1e5;
        let variance = noise.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(
            (mean - 0.5772).abs() < 0.01 && (variance - 1.6449).abs() < 0.03,
            "{mean} {variance}"
        );
    }
}
