use super::*;

fn flow(at: impl Fn(usize, usize) -> [f32; 2]) -> Flow {
    Flow {
        x: Plane::from_fn(24, 16, |x, y| at(x, y)[0]),
        y: Plane::from_fn(24, 16, |x, y| at(x, y)[1]),
    }
}

#[test]
fn what_moves_alike_is_not_rough_however_far_it_moves() {
    let alike = flow(|_, _| [300.0, -40.0]);
    assert_eq!(roughness(&alike), Plane::filled(12, 8, 0.0));
    assert_eq!(median(&alike, &[true; 24 * 16]), 0.0);
}

#[test]
fn roughness_is_the_deviation_in_a_window() {
    // Columns move by 1 and -1 in turn, rows by 2 and -2: in a window of 7x7 either sign is there three times or four.
    let sign = |at: usize| if at.is_multiple_of(2) { 1.0f32 } else { -1.0 };
    let waves = flow(|x, y| [50.0 + sign(x), 2.0 * sign(y)]);
    let expected = ((1.0f32 + 4.0) * (1.0 - 1.0 / 49.0)).sqrt();
    let rough = roughness(&waves);
    assert_eq!(rough.size(), (12, 8));
    for value in [rough.row(4)[5], rough.row(2)[8], median(&waves, &[true; 24 * 16])] {
        assert!((value - expected).abs() < 1e-4, "{value}, not {expected}");
    }
}

#[test]
fn the_median_is_of_what_can_be_followed() {
    let left = |x: usize| x < 8;
    let half = flow(|x, y| [0.0, if left(x) { 0.0 } else { ((x * 7 + y * 5) % 9) as f32 }]);
    let followable = |which: fn(bool) -> bool| -> Vec<bool> { (0..24 * 16).map(|at| which(left(at % 24))).collect() };
    assert_eq!(median(&half, &followable(|left| left)), 0.0);
    assert!(median(&half, &followable(|left| !left)) > 2.0);
    assert_eq!(median(&half, &followable(|_| false)), 0.0);
}

#[test]
fn a_flow_of_one_pixel_has_no_roughness() {
    let one = Flow {
        x: Plane::filled(1, 1, 3.0),
        y: Plane::filled(1, 1, 4.0),
    };
    assert_eq!(roughness(&one), Plane::filled(1, 1, 0.0));
    assert_eq!(median(&one, &[true]), 0.0);
}
