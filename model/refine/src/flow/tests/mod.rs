use super::*;

/// Smooth noise of three sizes: texture everywhere, known between pixels too, and nowhere the same.
fn texture(x: f32, y: f32) -> f32 {
    let grain = |size: f32, seed: u32| {
        let value = |x: f32, y: f32| {
            let mixed =
                (x as i32 as u32).wrapping_mul(0x9E37_79B1) ^ (y as i32 as u32).wrapping_mul(0x85EB_CA77) ^ seed;
            let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2C1B_3C6D);
            ((mixed ^ (mixed >> 13)) & 0xFFFF) as f32 / 65535.0 - 0.5
        };
        let (x, y) = (x / size, y / size);
        let (left, top) = (x.floor(), y.floor());
        let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
        let (across, down) = (smooth(x - left), smooth(y - top));
        let line = |y: f32| value(left, y) + (value(left + 1.0, y) - value(left, y)) * across;
        line(top) + (line(top + 1.0) - line(top)) * down
    };
    128.0 + 60.0 * grain(5.0, 1) + 60.0 * grain(11.0, 2) + 60.0 * grain(31.0, 3)
}

/// The picture of a texture, whose place is told for each pixel.
fn picture(width: usize, height: usize, place: impl Fn(f32, f32) -> (f32, f32)) -> Plane {
    Plane::from_fn(width, height, |x, y| {
        let (x, y) = place(x as f32, y as f32);
        texture(x, y)
    })
}

fn flow(current: &Plane, previous: &Plane) -> Flow {
    let mut search = Search::default();
    search.flow(&Pyramid::new(current), &Pyramid::new(previous)).clone()
}

/// Mean error inside a margin, in pixels.
fn error(flow: &Flow, margin: usize, expected: impl Fn(f32, f32) -> (f32, f32)) -> f32 {
    let (width, height) = flow.size();
    Plane::from_fn(width - 2 * margin, height - 2 * margin, |x, y| {
        let (x, y) = (x + margin, y + margin);
        let (u, v) = expected(x as f32, y as f32);
        let [fx, fy] = flow.at(x, y);
        (fx - u).hypot(fy - v)
    })
    .mean()
}

#[test]
fn displacements_are_found_whole_and_in_parts_of_pixels() {
    let current = picture(96, 64, |x, y| (x, y));
    for (dx, dy) in [(0.0, 0.0), (0.4, -0.3), (3.7, 2.2), (-9.0, 6.5)] {
        // What is at (x, y) now was at (x + dx, y + dy).
        let previous = picture(96, 64, |x, y| (x - dx, y - dy));
        let flow = flow(&current, &previous);
        let error = error(&flow, 14, |_, _| (dx, dy));
        assert!(error < 0.05, "{dx} {dy}: off by {error}");
    }
}

#[test]
fn zoom_and_turn_are_found() {
    let current = picture(96, 64, |x, y| (x, y));
    let to = |x: f32, y: f32| {
        (
            0.04 * (x - 48.0) - 0.03 * (y - 32.0),
            0.03 * (x - 48.0) + 0.04 * (y - 32.0),
        )
    };
    // The place p moves to p + to(p): its inverse is close to p - to(p) with the second order.
    let back = |x: f32, y: f32| {
        let (mut px, mut py) = (x, y);
        for _ in 0..20 {
            let (u, v) = to(px, py);
            (px, py) = (x - u, y - v);
        }
        (px, py)
    };
    let flow = flow(&current, &picture(96, 64, back));
    let error = error(&flow, 10, to);
    // Within a patch the motion varies by up to 0.3 pixels, and a patch has one displacement.
    assert!(error < 0.2, "off by {error}");
}

#[test]
fn a_change_of_light_is_no_motion() {
    let current = picture(64, 48, |x, y| (x, y));
    let brighter = current.map(|value| value + 20.0);
    assert!(error(&flow(&current, &brighter), 0, |_, _| (0.0, 0.0)) < 1e-3);
}

#[test]
fn both_ways_of_computing_agree_and_odd_sizes_work() {
    for (width, height) in [(1, 1), (5, 40), (8, 8), (17, 33), (63, 41)] {
        let current = picture(width, height, |x, y| (x, y));
        let previous = picture(width, height, |x, y| (x - 1.3, y + 0.6));
        let fast = flow(&current, &previous);
        assert_eq!(fast.size(), (width, height));
        assert!(
            fast.x
                .values
                .iter()
                .chain(&fast.y.values)
                .all(|value| value.is_finite())
        );
        crate::simd::use_portable(true);
        let portable = flow(&current, &previous);
        crate::simd::use_portable(false);
        assert_eq!(fast, portable);
    }
}

#[test]
fn warping_brings_the_previous_picture_onto_the_current_one() {
    let current = picture(96, 64, |x, y| (x, y));
    let previous = picture(96, 64, |x, y| (x - 2.5, y + 1.5));
    let [warped] = flow(&current, &previous).warp([&previous]);
    let inside = |plane: &Plane| Plane::from_fn(70, 40, |x, y| plane.row(y + 12)[x + 13]);
    let difference = inside(&warped).zip(&inside(&current), |a, b| (a - b).abs());
    assert!(difference.mean() < 1.0, "{}", difference.mean());
}
