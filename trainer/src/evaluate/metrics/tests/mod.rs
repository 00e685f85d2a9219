use super::*;

fn truth(text: &str) -> Vec<Truth> {
    text.chars()
        .map(|c| match c {
            '1' => Truth::Foreground,
            '0' => Truth::Background,
            _ => Truth::Ignored,
        })
        .collect()
}

fn scores(predicted: &str, expected: &str) -> [f64; 4] {
    let s = Scores::of(predicted.chars().map(|c| c == '1'), &truth(expected));
    [s.accuracy, s.iou, s.dice, s.mean_iou]
}

#[test]
fn counted_by_hand() {
    assert_eq!(scores("1100", "1010"), [0.5, 1.0 / 3.0, 0.5, 1.0 / 3.0]);
    assert_eq!(scores("1111", "1110"), [0.75, 0.75, 6.0 / 7.0, 0.375]);
    assert_eq!(scores("1100", "1100"), [1.0; 4]);
    assert_eq!(scores("0011", "1100"), [0.0; 4]);
}

#[test]
fn ignored_pixels_and_empty_masks() {
    assert_eq!(scores("1110", "1?10"), [1.0; 4]);
    assert_eq!(scores("0000", "0000"), [1.0; 4]);
    assert_eq!(scores("1010", "????"), [1.0; 4]);
}

#[test]
fn means_and_bests_are_per_score() {
    let a = Scores {
        accuracy: 0.2,
        iou: 0.8,
        dice: 0.5,
        mean_iou: 0.1,
    };
    let b = Scores {
        accuracy: 0.6,
        iou: 0.4,
        dice: 0.5,
        mean_iou: 0.3,
    };
    assert_eq!(
        a.best(b),
        Scores {
            accuracy: 0.6,
            iou: 0.8,
            dice: 0.5,
            mean_iou: 0.3
        }
    );
    let mean = Scores::mean([a, b]);
    assert!((mean.accuracy - 0.4).abs() < 1e-12 && (mean.iou - 0.6).abs() < 1e-12);
}

/// Scores that NumPy counted (`tests/reference/still_metrics.py`).
#[test]
fn agrees_with_numpy() {
    #[derive(Deserialize)]
    struct Case {
        predicted: String,
        truth: String,
        scores: [f64; 4],
    }
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../../tests/reference/still_metrics.json")).unwrap();
    assert!(cases.len() >= 20);
    for case in cases {
        for (found, expected) in scores(&case.predicted, &case.truth).into_iter().zip(case.scores) {
            assert!(
                (found - expected).abs() < 1e-12,
                "{} against {}",
                case.predicted,
                case.truth
            );
        }
    }
}
