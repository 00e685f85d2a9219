//! K-means (Lloyd, 1982) from seeds that lie apart (Arthur and Vassilvitskii, 2007).

use rand::Rng;

/// Starts, the best of which is taken, and rounds of each at most.
const STARTS: usize = 4;
const ROUNDS: usize = 50;

/// `count` centres of vectors of the same length, which are as many or more.
pub fn k_means(vectors: &[Vec<f32>], count: usize, chance: &mut impl Rng) -> Vec<Vec<f32>> {
    let starts = (0..STARTS).map(|_| {
        let mut centres = seeds(vectors, count, chance);
        let mut spread = f64::INFINITY;
        for _ in 0..ROUNDS {
            let (better, now) = round(vectors, &centres);
            centres = better;
            if now >= spread * (1.0 - 1e-6) {
                break;
            }
            spread = now;
        }
        (spread, centres)
    });
    starts
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(Vec::new, |(_, centres)| centres)
}

/// The centre next to a vector, and the squared distance to it.
pub fn nearest(centres: &[Vec<f32>], vector: &[f32]) -> (usize, f32) {
    let distance = |centre: &Vec<f32>| centre.iter().zip(vector).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let distances = centres.iter().map(distance).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

/// Vectors, each drawn in proportion to its squared distance to those before.
fn seeds(vectors: &[Vec<f32>], count: usize, chance: &mut impl Rng) -> Vec<Vec<f32>> {
    let mut centres = vec![vectors[chance.random_range(0..vectors.len())].clone()];
    while centres.len() < count {
        let distances: Vec<f64> = vectors
            .iter()
            .map(|vector| f64::from(nearest(&centres, vector).1))
            .collect();
        let mut left = chance.random::<f64>() * distances.iter().sum::<f64>();
        let drawn = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        centres.push(vectors[drawn.unwrap_or(vectors.len() - 1)].clone());
    }
    centres
}

/// The means of the vectors next to each centre, and the sum of the squared distances to the centres before. A centre that is
/// next to none stays.
fn round(vectors: &[Vec<f32>], centres: &[Vec<f32>]) -> (Vec<Vec<f32>>, f64) {
    let mut sums = vec![(vec![0.0f64; vectors[0].len()], 0usize); centres.len()];
    let mut spread = 0.0;
    for vector in vectors {
        let (centre, distance) = nearest(centres, vector);
        let (sum, members) = &mut sums[centre];
        sum.iter_mut()
            .zip(vector)
            .for_each(|(sum, value)| *sum += f64::from(*value));
        *members += 1;
        spread += f64::from(distance);
    }
    let mean = |((sum, members), before): ((Vec<f64>, usize), &Vec<f32>)| match members {
        0 => before.clone(),
        _ => sum.iter().map(|sum| (sum / members as f64) as f32).collect(),
    };
    (sums.into_iter().zip(centres).map(mean).collect(), spread)
}

#[cfg(test)]
mod tests;
