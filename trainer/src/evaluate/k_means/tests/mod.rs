use super::*;
use crate::data::order::{Stream, random};

/// Against `sklearn`'s definition: no vector is nearer to another centre, and each centre is the mean of its vectors; and three clouds
/// that lie apart are found whatever the seed.
#[test]
fn clouds_are_found_and_centres_are_means() {
    let cloud = |centre: [f32; 2], at: usize| {
        let turn = at as f32 * 2.4;
        vec![centre[0] + turn.sin(), centre[1] + turn.cos()]
    };
    let centres = [[0.0, 0.0], [20.0, 1.0], [-3.0, 30.0]];
    let sizes = [50, 20, 5];
    let vectors: Vec<Vec<f32>> = centres
        .iter()
        .zip(sizes)
        .flat_map(|(centre, size)| (0..size).map(|at| cloud(*centre, at)))
        .collect();
    for seed in 0..5 {
        let found = k_means(&vectors, 3, &mut random(seed, Stream::Sample, 0));
        let mut members = vec![Vec::new(); 3];
        for vector in &vectors {
            members[nearest(&found, vector).0].push(vector);
        }
        let mut counted: Vec<usize> = members.iter().map(Vec::len).collect();
        counted.sort_unstable();
        assert_eq!(counted, [5, 20, 50], "seed {seed}");
        for (centre, members) in found.iter().zip(&members) {
            for axis in 0..2 {
                let mean = members.iter().map(|vector| vector[axis]).sum::<f32>() / members.len() as f32;
                assert!((centre[axis] - mean).abs() < 1e-4);
            }
        }
    }
}

#[test]
fn as_many_centres_as_vectors_are_the_vectors() {
    let vectors = vec![vec![1.0], vec![5.0], vec![9.0]];
    let mut found = k_means(&vectors, 3, &mut random(0, Stream::Sample, 0)).concat();
    found.sort_by(f32::total_cmp);
    assert_eq!(found, [1.0, 5.0, 9.0]);
    // All alike: no seed lies apart from another.
    assert_eq!(
        k_means(&[vec![2.0], vec![2.0]], 2, &mut random(0, Stream::Sample, 0)),
        [[2.0], [2.0]]
    );
}
