use super::*;

#[test]
fn resizing_is_bilinear_and_keeps_sums() {
    let map = RegionMap {
        regions: 2,
        width: 2,
        height: 1,
        probabilities: vec![0.0, 1.0, 1.0, 0.0],
    };
    let large = map.resized(4, 2);
    assert_eq!(&large.probabilities[..4], [0.0, 0.25, 0.75, 1.0]);
    for pixel in 0..8 {
        assert!((large.probabilities[pixel] + large.probabilities[8 + pixel] - 1.0).abs() < 1e-6);
    }
    assert_eq!(map.resized(2, 1), map);
}

#[test]
fn all_cells_are_shared_out_as_each_is() {
    let (regions, cells) = (4, 19);
    let value = |at: usize| (at * 37 % 11) as f32 / 10.0;
    let map = RegionMap {
        regions,
        width: cells,
        height: 1,
        // Some groups have nothing.
        probabilities: (0..regions * cells)
            .map(|at| if at % cells == 3 { 0.0 } else { value(at) })
            .collect(),
    };
    let object: Vec<f32> = (0..cells).map(|cell| cell as f32 / cells as f32).collect();
    for foreground in [[false, true, true, false], [true, false, false, false]] {
        let (mut all, mut each) = (map.clone(), map.clone());
        all.share_out_all(&foreground, &object);
        for (cell, object) in object.iter().enumerate() {
            each.share_out(cell, &foreground, (1.0 - object, *object));
            let sum: f32 = (0..regions)
                .map(|region| all.probabilities[region * cells + cell])
                .sum();
            assert!((sum - 1.0).abs() < 1e-6);
        }
        let worst = all
            .probabilities
            .iter()
            .zip(&each.probabilities)
            .map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-6);
    }
}
