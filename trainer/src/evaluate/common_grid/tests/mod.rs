use super::*;

#[test]
fn figures_are_those_of_all_masks_at_once() {
    let mut common = CommonGrid::new(3);
    let mut all = Vec::new();
    for image in 0..7usize {
        let raw = |region: usize, at: usize| ((at * (region + 2) + image * 977 + at / 64 * image) % 101) as f32;
        let sum = |at: usize| (0..3).map(|region| raw(region, at)).sum::<f32>().max(1.0);
        let value = |region: usize, at: usize| raw(region, at) / sum(at);
        let probabilities: Vec<f32> = (0..3)
            .flat_map(|region| (0..GRID * GRID).map(move |at| value(region, at)))
            .collect();
        all.extend_from_slice(&probabilities);
        common.add(&RegionMap {
            regions: 3,
            width: GRID,
            height: GRID,
            probabilities,
        });
        let (found, expected) = (common.figures(), MaskFigures::of(&all, image + 1, 3));
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} for {b}");
        found
            .shares
            .iter()
            .zip(&expected.shares)
            .for_each(|(a, b)| near(*a, *b));
        near(found.max_probability, expected.max_probability);
        near(found.entropy, expected.entropy);
        assert_eq!(found.positional.is_some(), expected.positional.is_some());
        near(found.positional.unwrap_or(0.0), expected.positional.unwrap_or(0.0));
    }
}
