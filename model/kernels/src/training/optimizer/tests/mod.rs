use super::*;
use crate::testing::Random;

#[test]
fn adam_follows_its_definition_in_f64() {
    let mut random = Random::new(41);
    for set in InstructionSet::available() {
        for threads in [1, 2] {
            let math = VectorMath::new(Threads::new(threads).unwrap(), set);
            let count = CHUNK + 77;
            let start = random.values(count);
            let (mut values, mut first, mut second) = (start.clone(), vec![0.0; count], vec![0.0; count]);
            let mut expected: Vec<[f64; 3]> = start.iter().map(|&value| [f64::from(value), 0.0, 0.0]).collect();
            for updates in 1..=3 {
                let gradients = random.values(count);
                let constants = Adam {
                    beta_1: 0.9,
                    beta_2: 0.99,
                    epsilon: 1e-8,
                    weight_decay: 0.1,
                };
                let moments = (&mut first[..], &mut second[..]);
                math.adam(&constants, 0.05, updates, &mut values, &gradients, moments);
                for (state, &gradient) in expected.iter_mut().zip(&gradients) {
                    let gradient = f64::from(gradient);
                    state[1] = 0.9 * state[1] + 0.1 * gradient;
                    state[2] = 0.99 * state[2] + 0.01 * gradient * gradient;
                    let mean = state[1] / (1.0 - 0.9f64.powi(updates as i32));
                    let square = state[2] / (1.0 - 0.99f64.powi(updates as i32));
                    state[0] = state[0] * (1.0 - 0.05 * 0.1) - 0.05 * mean / (square.sqrt() + 1e-8);
                }
            }
            for (found, expected) in values.iter().zip(&expected) {
                assert!((f64::from(*found) - expected[0]).abs() < 1e-5, "{}", set.name());
            }
        }
    }
}

#[test]
fn averages_and_norms() {
    let mut random = Random::new(43);
    let (a, b) = (random.values(CHUNK * 2 + 5), random.values(CHUNK * 2 + 5));
    let expected: f64 = a.iter().map(|&value| f64::from(value).powi(2)).sum();
    for set in InstructionSet::available() {
        let math = VectorMath::new(Threads::Single, set);
        assert!((math.square_sum(&a) - expected).abs() < 1e-5 * expected);
        let mut average = a.clone();
        math.average(&mut average, &a, 0.7);
        assert_eq!(average, a);
        math.average(&mut average, &b, 0.75);
        math.scale(&mut average, 2.0);
        for (found, (a, b)) in average.iter().zip(a.iter().zip(&b)) {
            assert!((found - (1.5 * a + 0.5 * b)).abs() < 1e-6);
        }
    }
}
