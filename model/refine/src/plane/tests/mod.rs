use super::*;

fn ramp(width: usize, height: usize) -> Plane {
    Plane::from_fn(width, height, |x, y| x as f32 + 10.0 * y as f32)
}

#[test]
fn halving_takes_means_and_resizing_keeps_a_ramp() {
    let plane = ramp(7, 5);
    let half = plane.halved();
    assert_eq!(half.size(), (3, 2));
    assert_eq!(half.values, [5.5, 7.5, 9.5, 25.5, 27.5, 29.5]);
    let double = ramp(4, 3).resized(8, 6);
    for y in 1..5 {
        for x in 1..7 {
            let expected = (x as f32 + 0.5) / 2.0 - 0.5 + 10.0 * ((y as f32 + 0.5) / 2.0 - 0.5);
            assert!((double.row(y)[x] - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn positions_between_pixels_are_interpolated_and_clamped() {
    let plane = ramp(4, 3);
    assert_eq!(plane.at(1.5, 0.25), 4.0);
    assert_eq!(plane.at(-3.0, 9.0), 20.0);
}

#[test]
fn blurs_and_windows_keep_what_is_constant_and_window_means_are_means() {
    let plane = Plane::filled(9, 6, 3.5);
    for filtered in [plane.blurred(1.5), plane.window_means(2), plane.window_means(20)] {
        assert!(filtered.values.iter().all(|value| (value - 3.5).abs() < 1e-5));
    }
    let means = ramp(9, 6).window_means(1);
    assert!((means.row(2)[4] - 24.0).abs() < 1e-5);
    // The corner's window has four pixels.
    assert!((means.row(0)[0] - (0.0 + 1.0 + 10.0 + 11.0) / 4.0).abs() < 1e-5);
    let spike = Plane::from_fn(21, 21, |x, y| f32::from(x == 10 && y == 10));
    let blurred = spike.blurred(2.0);
    assert!((blurred.values.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    let ratio = blurred.row(10)[12] / blurred.row(10)[10];
    assert!((ratio - (-0.5f32).exp()).abs() < 1e-4, "{ratio}");
}

#[test]
fn quantiles_are_of_the_sorted_values() {
    let mut values = vec![5.0, 1.0, 4.0, 2.0, 3.0];
    assert_eq!(quantile(&mut values, 0.5), 3.0);
    assert_eq!(quantile(&mut values, 1.0), 5.0);
    assert_eq!(quantile(&mut [], 0.5), 0.0);
}
