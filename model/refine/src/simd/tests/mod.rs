use super::*;

#[test]
fn exponentials_and_logarithms_are_those_of_the_standard_library() {
    let off = |value: f32, exact: f64| (f64::from(value) - exact).abs() / exact.abs().max(0.1);
    for step in -870..870 {
        let x = step as f32 / 10.0 + 0.013;
        let exact = f64::from(x).exp();
        assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2.4e-7, "exp {x}");
        let power = exact as f32;
        assert!(off(ln(power), f64::from(power).ln()) < 2.4e-7, "ln {power}");
    }
    for near_one in [0.7, 0.999_999, 1.0, 1.000_001, 1.4, 1.42] {
        assert!(off(ln(near_one), f64::from(near_one).ln()) < 2.4e-7, "ln {near_one}");
    }
    assert!(exp(-200.0) < 1e-37 && exp(200.0) > 1e38 && exp(200.0).is_finite());
    assert!(exp(f32::NAN).is_nan() && ln(f32::NAN).is_nan());
    assert!((ln(f32::MIN_POSITIVE) + 87.336_54).abs() < 1e-4);
}

vectorised! {
    fn sums_of(lanes; values: &[[f32; 8]; 4], sums: &mut [f32; 4]) {
        *sums = L::sums(values.map(|values| lanes.load(&values)));
    }
}

#[test]
fn sums_of_lanes_have_one_order() {
    let values = std::array::from_fn(|k| std::array::from_fn(|lane| (0.1 + k as f32).powi(lane as i32 % 5) / 3.0));
    let (mut sums, mut portable) = ([0.0; 4], [0.0; 4]);
    sums_of(&values, &mut sums);
    use_portable(true);
    sums_of(&values, &mut portable);
    use_portable(false);
    assert_eq!(sums, portable);
    let expected = values.map(|values: [f32; 8]| values[1..].iter().fold(values[0], |sum, value| sum + value));
    assert_eq!(sums, expected);
}
