use super::*;

fn noise(width: usize, height: usize, seed: u32) -> Plane {
    let mut state = seed;
    Plane::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    })
}

#[test]
fn the_solution_solves() {
    let solution = apply(&inverse([0.5, 0.1, -0.2, 0.4, 0.05, 0.3]), [1.0, 2.0, 3.0]);
    let matrix = [[0.5, 0.1, -0.2], [0.1, 0.4, 0.05], [-0.2, 0.05, 0.3]];
    for (row, right) in matrix.iter().zip([1.0, 2.0, 3.0]) {
        let value: f32 = (0..3).map(|i| row[i] * solution[i]).sum::<f32>() + EPSILON * solution[0];
        assert!((value - right).abs() < 5e-3, "{value} {right}");
    }
}

#[test]
fn a_blurred_step_goes_back_to_the_edge_of_the_colours() {
    let guide = [0.7, -0.4, 0.2].map(|height| Plane::from_fn(60, 40, |x, _| 0.5 + height * f32::from(x >= 30) / 2.0));
    let rough = Plane::from_fn(60, 40, |x, _| (((x as f32 - 26.0) / 4.0).clamp(-1.0, 1.0)) * 3.0);
    let out = Guide::halved(&guide, 4).follow(&guide, &rough);
    for y in 4..36 {
        assert!(
            out.row(y)[28] < 2.6 && out.row(y)[31] > 2.6,
            "{} {}",
            out.row(y)[28],
            out.row(y)[31]
        );
        let jump = out.row(y)[31] - out.row(y)[28];
        let before = out.row(y)[28] - out.row(y)[25];
        assert!(jump > 2.0 * before.abs(), "{jump} {before}");
    }
}

#[test]
fn what_is_a_function_of_the_colours_stays_and_what_is_not_is_smoothed() {
    let guide = [1, 2, 3].map(|seed| noise(64, 48, seed).blurred(3.0).map(|value| 8.0 * (value - 0.5) + 0.5));
    let linear = Plane::from_fn(64, 48, |x, y| {
        2.0 * guide[0].row(y)[x] - guide[1].row(y)[x] + 0.5 * guide[2].row(y)[x] - 0.25
    });
    let kept = Guide::halved(&guide, 4)
        .follow(&guide, &linear)
        .zip(&linear, |a, b| (a - b).abs());
    assert!(
        kept.mean() < 0.1 * linear.deviation(),
        "{} of {}",
        kept.mean(),
        linear.deviation()
    );
    let grey = [(); 3].map(|()| Plane::filled(64, 48, 0.5));
    let rough = noise(64, 48, 9);
    assert!(Guide::halved(&grey, 4).follow(&grey, &rough).deviation() < 0.2 * rough.deviation());
}
