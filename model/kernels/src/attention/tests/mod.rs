use super::*;
use crate::convolution::{Needs, Workspaces};
use crate::testing::Random;

#[test]
fn attention_equals_the_naive_one() {
    let mut random = Random::new(13);
    for set in InstructionSet::available() {
        for _ in 0..12 {
            let attention = Attention {
                heads: random.below(3) + 1,
                depth: random.below(40) + 1,
            };
            let (batch, positions) = (random.below(2) + 1, random.below(120) + 1);
            let width = padded(attention.depth);
            let channels = attention.channels();
            let mut input: Vec<f32> = (0..batch * positions * 3 * channels)
                .map(|i| {
                    if i % width < attention.depth {
                        random.value()
                    } else {
                        0.0
                    }
                })
                .collect();
            input.iter_mut().step_by(3).for_each(|value| *value *= 2.0);
            let needs = Needs {
                left: attention.needs(positions),
                ..Needs::default()
            };
            let mut workspaces = Workspaces::new(1, needs);
            let mut output = vec![f32::NAN; batch * positions * channels];
            attention.run(set, &mut workspaces.threads, batch, positions, &input, &mut output);
            let at = |item: usize, position: usize, which: usize, head: usize, k: usize| {
                f64::from(input[((item * positions + position) * 3 + which) * channels + head * width + k])
            };
            for item in 0..batch {
                for head in 0..attention.heads {
                    for query in 0..positions {
                        let weights: Vec<f64> = (0..positions)
                            .map(|key| {
                                (0..attention.depth)
                                    .map(|k| at(item, query, 0, head, k) * at(item, key, 1, head, k))
                                    .sum::<f64>()
                                    .exp()
                            })
                            .collect();
                        let total: f64 = weights.iter().sum();
                        for k in 0..width {
                            let expected = (0..positions)
                                .map(|key| weights[key] * at(item, key, 2, head, k))
                                .sum::<f64>()
                                / total;
                            let found = output[(item * positions + query) * channels + head * width + k];
                            assert!(
                                (f64::from(found) - expected).abs() < 1e-5,
                                "{}: {found} for {expected}",
                                set.name()
                            );
                        }
                    }
                }
            }
        }
    }
}
