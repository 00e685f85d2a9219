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
