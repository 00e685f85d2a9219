use super::*;

/// A picture `[3, height, width]` of a grey level from 0 to 1 for each pixel.
fn grey(width: usize, height: usize, level: impl Fn(usize, usize) -> f32) -> InputImage {
    let plane: Vec<f32> = (0..width * height)
        .map(|at| 2.0 * level(at % width, at / width) - 1.0)
        .collect();
    InputImage {
        width,
        height,
        data: plane.repeat(3),
    }
}

#[test]
fn what_is_surrounded_stands_apart_and_what_reaches_the_frame_does_not() {
    // A sky that brightens upwards, a small dark thing in it, and a dark tower from the lower edge.
    let is_thing = |x, y| (10..13).contains(&x) && (8..11).contains(&y);
    let is_tower = |x, y| (22..27).contains(&x) && y > 10;
    let image = grey(32, 24, |x, y| match () {
        () if is_thing(x, y) || is_tower(x, y) => 0.1,
        () => 0.9 - 0.02 * y as f32,
    });
    let found = evidence(&image);
    for at in 0..32 * 24 {
        let (x, y) = (at % 32, at / 32);
        assert_eq!(found.values[at] > 0.0, is_thing(x, y), "{x} {y}: {}", found.values[at]);
    }
}

/// What the definition says, by trying every lower bound of a path's levels: from the frame through what is not below it, the least
/// that a path's brightest pixel can be (Dijkstra). For one channel.
fn exact(levels: &[f32], width: usize, height: usize) -> Vec<f32> {
    let mut best = vec![f32::INFINITY; levels.len()];
    for bound in levels {
        let mut most = vec![f32::INFINITY; levels.len()];
        let edge = |at: usize| {
            at.is_multiple_of(width) || (at + 1).is_multiple_of(width) || at < width || at + width >= levels.len()
        };
        let allowed = |at: usize| levels[at] >= *bound;
        let mut open: Vec<usize> = (0..levels.len()).filter(|at| edge(*at) && allowed(*at)).collect();
        open.iter().for_each(|at| most[*at] = levels[*at]);
        while let Some(at) = open.pop() {
            let (x, y) = (at % width, at / width);
            let near = [
                (x > 0).then(|| at - 1),
                (x + 1 < width).then(|| at + 1),
                (y > 0).then(|| at - width),
                (y + 1 < height).then(|| at + width),
            ];
            for next in near.into_iter().flatten().filter(|next| allowed(*next)) {
                let reached = most[at].max(levels[next]);
                if reached < most[next] {
                    most[next] = reached;
                    open.push(next);
                }
            }
        }
        for (best, most) in best.iter_mut().zip(&most) {
            *best = best.min(most - bound);
        }
    }
    best
}

#[test]
fn distances_are_never_short_of_the_exact_ones_and_little_longer() {
    let (width, height) = (24, 18);
    let mut state = 1u32;
    let noise: Vec<f32> = (0..width * height)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        })
        .collect();
    let smooth = Plane {
        width,
        height,
        values: noise,
    }
    .blurred(1.5);
    let image = grey(width, height, |x, y| {
        (4.0 * (smooth.values[y * width + x] - 0.5) + 0.5).clamp(0.0, 1.0)
    });
    let found = distances(&image);
    let levels = &lab(&image)[0].values;
    let exact = exact(levels, width, height);
    for (found, exact) in found.values.iter().zip(&exact) {
        assert!(*found > exact - 0.1, "{found} {exact}");
    }
    let sum = |values: &[f32]| values.iter().sum::<f32>();
    let ratio = sum(&found.values) / sum(&exact);
    assert!(ratio < 1.2, "{ratio}");
}

#[test]
fn noise_on_an_even_picture_says_little() {
    let image = grey(40, 30, |x, y| {
        0.5 + ((x * 7919 + y * 104_729) % 97) as f32 / 97.0 * 0.01
    });
    let found = evidence(&image);
    assert!(found.values.iter().all(|far| far.abs() < 0.2), "{:?}", found.values);
    // Where all is frame, nothing stands apart from it.
    for (width, height) in [(1, 1), (2, 2), (1, 9), (0, 0)] {
        let found = evidence(&grey(width, height, |x, y| (x + y) as f32 / 9.0));
        assert!(found.values.iter().all(|far| *far == 0.0));
    }
}

#[test]
fn the_threshold_divides_two_groups() {
    assert_eq!(threshold(&[0.0; 9]), 0.0);
    assert_eq!(threshold(&[0.0, f32::INFINITY, 3.0]), 0.0);
    assert_eq!(threshold(&[]), 0.0);
    assert!((threshold(&[1.0, 1.0, 1.0, 5.0]) - 3.0).abs() < 0.1);
    // Two bells of different size around -4 and 1.
    let bell = |center: f32, count: usize| (0..count).map(move |i| center + ((i * 37 % 101) as f32 / 50.0 - 1.0));
    let found = threshold(&bell(-4.0, 900).chain(bell(1.0, 100)).collect::<Vec<f32>>());
    assert!((-3.0..0.0).contains(&found), "{found}");
}
