use super::*;
use crate::evaluate::metrics::{Scores, Truth};
use serde::Deserialize;

#[test]
fn the_radius_of_davis() {
    assert_eq!(radius(854, 480), 8);
    assert_eq!(radius(64, 64), 1);
}

#[test]
fn a_shift_within_the_radius_costs_nothing() {
    let square = |left: usize| -> Vec<bool> {
        (0..400)
            .map(|at| (left..left + 8).contains(&(at % 20)) && (6..14).contains(&(at / 20)))
            .collect()
    };
    let f = |shift: usize, radius: usize| {
        f_measure(
            &Boundary::of(&square(4 + shift), 20, 20, radius),
            &Boundary::of(&square(4), 20, 20, radius),
        )
    };
    assert_eq!((f(0, 0), f(2, 2), f(3, 3)), (1.0, 1.0, 1.0));
    assert!(f(3, 2) < 1.0 && f(3, 2) > f(5, 2));
}

#[test]
fn masks_without_an_outline() {
    let (none, some) = (
        Boundary::of(&[true; 9], 3, 3, 1),
        Boundary::of(&[true, false, false, true, false, false, true, false, false], 3, 3, 1),
    );
    assert_eq!(
        (
            f_measure(&none, &none),
            f_measure(&none, &some),
            f_measure(&some, &none)
        ),
        (1.0, 0.0, 0.0)
    );
}

/// J and F that NumPy and SciPy counted (`tests/reference/davis_metrics.py`).
#[test]
fn agrees_with_scipy() {
    #[derive(Deserialize)]
    struct Case {
        width: usize,
        height: usize,
        radius: usize,
        predicted: String,
        truth: String,
        j: f64,
        f: f64,
    }
    #[derive(Deserialize)]
    struct Reference {
        masks: Vec<Case>,
    }
    let reference: Reference =
        serde_json::from_str(include_str!("../../../../tests/reference/davis_metrics.json")).unwrap();
    assert!(reference.masks.len() >= 12);
    for case in reference.masks {
        let mask = |text: &str| text.chars().map(|c| c == '1').collect::<Vec<bool>>();
        let (predicted, truth) = (mask(&case.predicted), mask(&case.truth));
        let boundary = |mask: &[bool]| Boundary::of(mask, case.width, case.height, case.radius);
        let f = f_measure(&boundary(&predicted), &boundary(&truth));
        assert!(
            (f - case.f).abs() < 1e-12,
            "F {f}, expected {}: {}",
            case.f,
            case.predicted
        );
        let known: Vec<Truth> = truth.iter().map(|inside| Truth::from(*inside)).collect();
        let j = Scores::of(predicted.iter().copied(), &known).iou;
        assert!(
            (j - case.j).abs() < 1e-12,
            "J {j}, expected {}: {}",
            case.j,
            case.predicted
        );
    }
}
