use super::*;

/// A zoom and a turn, and a square of a fifth of the picture that goes its own way.
fn flow(noise: impl Fn(usize, usize) -> f32) -> Flow {
    let value = |x: usize, y: usize, own: f32, slope: (f32, f32)| {
        let square = (10..40).contains(&x) && (8..34).contains(&y);
        let camera = slope.0 * x as f32 + slope.1 * y as f32 - 0.7;
        camera + noise(x, y) + if square { own } else { 0.0 }
    };
    Flow {
        x: Plane::from_fn(80, 48, |x, y| value(x, y, 3.0, (0.02, -0.01))),
        y: Plane::from_fn(80, 48, |x, y| value(x, y, -4.0, (0.01, 0.02))),
    }
}

#[test]
fn what_goes_its_own_way_remains_and_the_camera_does_not() {
    let residual = residual(&flow(|_, _| 0.0), &[true; 80 * 48], false);
    assert_eq!(residual.scale, LEAST_SCALE);
    for (x, y, expected) in [(20, 20, 5.0), (39, 33, 5.0), (60, 40, 0.0), (0, 0, 0.0), (79, 47, 0.0)] {
        let length = residual.length.row(y)[x];
        assert!((length - expected).abs() < 0.02, "{x} {y}: {length}");
    }
}

#[test]
fn the_scale_is_what_flow_is_uncertain_by() {
    // Errors spread evenly from -0.3 to 0.3, the same in both components: of the picture's still four fifths the
    // median of all is the 62 % quantile.
    let noise = |x: usize, y: usize| ((x * 7919 + y * 104_729) % 61) as f32 / 100.0 - 0.3;
    let residual = residual(&flow(noise), &[true; 80 * 48], false);
    let expected = 0.62 * 0.3 * 2.0f32.sqrt();
    assert!((residual.scale - expected).abs() < 0.04, "{}", residual.scale);
}

/// Of the upper two thirds of the picture, a plain sky, flow knows nothing.
#[test]
fn noise_where_nothing_can_be_followed_is_not_the_cameras() {
    let sky = |y: usize| y < 32;
    let noise = |x: usize, y: usize| {
        if sky(y) {
            ((x * 7919 + y * 104_729) % 61) as f32 / 5.0
        } else {
            0.0
        }
    };
    let followable: Vec<bool> = (0..48).flat_map(|y| [!sky(y); 80]).collect();
    let residual = residual(&flow(noise), &followable, false);
    assert_eq!(residual.scale, LEAST_SCALE);
    assert!(residual.length.row(44).iter().all(|length| *length < 0.02));
}

#[test]
fn without_anything_to_follow_the_camera_stands_still() {
    let residual = residual(&flow(|_, _| 0.0), &[false; 80 * 48], false);
    assert_eq!(residual.scale, LEAST_SCALE);
    assert!((residual.length.row(0)[0] - 0.7 * 2.0f32.sqrt()).abs() < 1e-5);
}

#[test]
fn tiny_pictures_have_no_residual() {
    for (width, height) in [(1, 1), (1, 9), (9, 1)] {
        let flow = Flow {
            x: Plane::filled(width, height, 2.0),
            y: Plane::filled(width, height, -1.0),
        };
        let residual = residual(&flow, &vec![true; width * height], false);
        assert!(residual.length.values.iter().all(|length| *length < 1e-3));
    }
}

/// A person fills most of what can be followed, in front of a plain wall.
#[test]
fn a_camera_that_stood_goes_on_standing() {
    let person = |x: usize| (12..68).contains(&x);
    let flow = Flow {
        x: Plane::from_fn(80, 48, |x, _| if person(x) { 0.8 } else { 0.0 }),
        y: Plane::filled(80, 48, 0.0),
    };
    let all = [true; 80 * 48];
    let moved = residual(&flow, &all, false);
    assert!(moved.length.row(20)[20] < 0.05 && moved.length.row(20)[74] > 0.5);
    assert!(moved.shift() > 0.5, "{}", moved.shift());
    let stood = residual(&flow, &all, true);
    assert_eq!(
        (stood.length.row(20)[20], stood.length.row(20)[74], stood.shift()),
        (0.8, 0.0, 0.0)
    );
    assert!(stood.scale <= STANDING_SCALE);
    // Where next to nothing stands still it moves after all.
    let pan = Flow {
        x: Plane::from_fn(80, 48, |x, _| if (8..72).contains(&x) { 0.8 } else { 0.0 }),
        ..flow
    };
    assert_eq!(residual(&pan, &all, true).length, residual(&pan, &all, false).length);
}

#[test]
fn what_remains_of_a_coarser_flow_is_its_own() {
    let flow = flow(|_, _| 0.0);
    let own = residual(&flow, &[true; 80 * 48], false).of(&flow.halved());
    for (x, y, expected) in [(12, 10, [1.5, -2.0]), (30, 20, [0.0, 0.0])] {
        let [u, v] = own.at(x, y);
        assert!(
            (u - expected[0]).abs() < 0.02 && (v - expected[1]).abs() < 0.02,
            "{u} {v}"
        );
    }
}
