use super::*;
use crate::testing::Random;

/// Two joined activations of 6 and 10 channels in 4 groups: the second group spans both.
#[test]
fn affine_map_normalises_joined_activations() {
    let mut random = Random::new(5);
    let (batch, pixels, counts) = (2, 30, [6, 10]);
    let values: [Vec<f32>; 2] = counts.map(|count| {
        random
            .values(batch * pixels * count)
            .iter()
            .map(|value| value * 2.0 + 3.0)
            .collect()
    });
    let norm = GroupNorm {
        groups: 4,
        gamma: random.values(16),
        beta: random.values(16),
        first: 6,
        activate: false,
    };
    let sums: Vec<ChannelSums> = (0..2)
        .map(|part| {
            let mut sums = ChannelSums::new(batch, 16);
            let mut parts = Vec::new();
            for item in 0..batch {
                let mut totals = vec![0.0; 32];
                for pixel in 0..pixels {
                    for channel in 0..counts[part] {
                        let value = values[part][(item * pixels + pixel) * counts[part] + channel];
                        totals[channel] += value;
                        totals[16 + channel] += value * value;
                    }
                }
                parts.extend(totals);
            }
            sums.gather(batch, batch, &parts);
            sums
        })
        .collect();
    let (mut scale, mut shift) = (vec![f32::NAN; batch * 32], vec![f32::NAN; batch * 32]);
    norm.affine([Some(&sums[0]), Some(&sums[1])], batch, pixels, &mut scale, &mut shift);
    for item in 0..batch {
        let at = |channel: usize, pixel: usize| {
            let (part, index) = if channel < 6 { (0, channel) } else { (1, channel - 6) };
            f64::from(values[part][(item * pixels + pixel) * counts[part] + index])
        };
        for channel in 0..16 {
            let group: Vec<f64> = (channel / 4 * 4..channel / 4 * 4 + 4)
                .flat_map(|channel| (0..pixels).map(move |pixel| (channel, pixel)))
                .map(|(channel, pixel)| at(channel, pixel))
                .collect();
            let mean = group.iter().sum::<f64>() / group.len() as f64;
            let variance = group.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / group.len() as f64;
            let place = item * 32 + if channel < 6 { channel } else { 16 + channel - 6 };
            let expected = (at(channel, 3) - mean) / (variance + 1e-5).sqrt() * f64::from(norm.gamma[channel])
                + f64::from(norm.beta[channel]);
            let found = at(channel, 3) * f64::from(scale[place]) + f64::from(shift[place]);
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        }
        assert!(scale[item * 32 + 6..item * 32 + 16].iter().all(|&value| value == 0.0));
        assert!(shift[item * 32 + 26..item * 32 + 32].iter().all(|&value| value == 0.0));
    }
}
