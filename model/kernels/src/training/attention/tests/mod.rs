use super::*;
use crate::testing::Random;

/// The sum of `weight * output` in f64, the output computed naively.
fn objective(attention: Attention, items: usize, input: &[f64], weight: &[f32]) -> f64 {
    let (n, channels, width) = (attention.positions, attention.channels(), padded(attention.depth));
    let at = |item: usize, position: usize, which: usize, head: usize, k: usize| {
        input[((item * n + position) * 3 + which) * channels + head * width + k]
    };
    let mut sum = 0.0;
    for item in 0..items {
        for head in 0..attention.heads {
            for query in 0..n {
                let weights: Vec<f64> = (0..n)
                    .map(|key| {
                        let dot: f64 = (0..attention.depth)
                            .map(|k| at(item, query, 0, head, k) * at(item, key, 1, head, k))
                            .sum();
                        (dot / (attention.depth as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                for k in 0..attention.depth {
                    let output: f64 = (0..n).map(|key| weights[key] * at(item, key, 2, head, k)).sum::<f64>() / total;
                    sum += output * f64::from(weight[(item * n + query) * channels + head * width + k]);
                }
            }
        }
    }
    sum
}

#[test]
fn gradients_equal_finite_differences() {
    let mut random = Random::new(31);
    for set in InstructionSet::available() {
        for _ in 0..4 {
            let attention = Attention {
                heads: random.below(2) + 1,
                depth: random.below(20) + 1,
                positions: random.below(20) + 1,
            };
            let (items, width) = (2, padded(attention.depth));
            let (n, channels) = (attention.positions, attention.channels());
            let input: Vec<f32> = (0..items * n * 3 * channels)
                .map(|i| {
                    let value = random.value();
                    if i % width < attention.depth { value } else { 0.0 }
                })
                .collect();
            let weight = random.values(items * n * channels);
            let mut spaces = workspaces(attention);
            let mut output = vec![f32::NAN; items * n * channels];
            attention.forward(set, &mut spaces, items, &input, &mut output);
            let wide: Vec<f64> = input.iter().map(|&value| f64::from(value)).collect();
            let found: f64 = output
                .iter()
                .zip(&weight)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum();
            assert!((found - objective(attention, items, &wide, &weight)).abs() < 1e-4);
            let mut gradient = vec![f32::NAN; input.len()];
            // The padding's gradient is zero in a network.
            let d_output: Vec<f32> = weight
                .iter()
                .enumerate()
                .map(|(i, &value)| if i % width < attention.depth { value } else { 0.0 })
                .collect();
            attention.backward(set, &mut spaces, items, &input, &d_output, &mut gradient);
            for _ in 0..12 {
                let index = random.below(input.len());
                let mut moved = wide.clone();
                moved[index] += 1e-4;
                let above = objective(attention, items, &moved, &weight);
                moved[index] -= 2e-4;
                let below = objective(attention, items, &moved, &weight);
                let expected = if index % width < attention.depth {
                    (above - below) / 2e-4
                } else {
                    0.0
                };
                let found = f64::from(gradient[index]);
                assert!((found - expected).abs() < 2e-5, "{}: {found} {expected}", set.name());
            }
        }
    }
}
