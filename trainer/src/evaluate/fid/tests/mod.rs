use super::*;

/// Eigenvalues and distances that NumPy and SciPy found (`tests/reference/generation_metrics.py`).
#[test]
fn agrees_with_scipy() {
    #[derive(serde::Deserialize)]
    struct Case {
        features: [Vec<Vec<f32>>; 2],
        eigenvalues: Vec<f64>,
        distance: f64,
    }
    let text = include_str!("../../../../tests/reference/generation_metrics.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= 4);
    for case in cases {
        let n = case.features[0][0].len();
        let [a, b] = case.features.map(|all| {
            let mut moments = Moments::new(n);
            all.iter().for_each(|features| moments.add(features));
            moments
        });
        let mut found = eigenvalues(a.covariance(), n);
        found.sort_by(f64::total_cmp);
        for (found, expected) in found.iter().zip(&case.eigenvalues) {
            assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
        }
        for found in [a.distance(&b), b.distance(&a)] {
            assert!((found - case.distance).abs() < 1e-6, "{found} for {}", case.distance);
        }
        assert!(a.distance(&a).abs() < 1e-6);
    }
}
