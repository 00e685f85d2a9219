use super::*;

/// Statistics that NumPy counted (`tests/reference/davis_metrics.py`).
#[test]
fn agrees_with_numpy() {
    #[derive(Deserialize)]
    struct Case {
        values: Vec<f64>,
        mean: f64,
        recall: f64,
        decay: f64,
    }
    #[derive(Deserialize)]
    struct Reference {
        series: Vec<Case>,
    }
    let reference: Reference =
        serde_json::from_str(include_str!("../../../../tests/reference/davis_metrics.json")).unwrap();
    assert!(reference.series.len() >= 8);
    for case in reference.series {
        let found = Statistics::of(&case.values);
        for (found, expected) in [
            (found.mean, case.mean),
            (found.recall, case.recall),
            (found.decay, case.decay),
        ] {
            assert!(
                (found - expected).abs() < 1e-12,
                "{found} instead of {expected}: {:?}",
                case.values
            );
        }
    }
}

#[test]
fn sequences_weigh_the_same() {
    let (short, long) = (Statistics::of(&[1.0]), Statistics::of(&[0.0; 30]));
    assert_eq!(
        Statistics::mean([short, long]),
        Statistics {
            mean: 0.5,
            recall: 0.5,
            decay: 0.0,
            start: 0.5
        }
    );
    assert_eq!(Statistics::of(&[]), Statistics::default());
    assert_eq!(Statistics::of(&[1.0, 0.5, 0.0, 0.0, 1.0, 0.9, 0.2]).start, 0.5);
}
