//! What the color model and the motion model cost for a frame of 16:9 seen by a network of 64 pixels:
//! `cargo run --release -p factorseg-refine --example models [-- SECONDS]`.

use std::time::{Duration, Instant};

use factorseg_refine::{ColorModel, InputImage, MotionModel, RegionMap};

/// A textured square that moves over a textured ground, which moves too.
fn frame((width, height): (usize, usize), index: usize) -> InputImage {
    let scale = width as f32 / 112.0;
    let plane = |tint: f32| {
        (0..width * height).map(move |at| {
            let (x, y) = ((at % width) as f32 / scale, (at / width) as f32 / scale);
            let left = 30.0 + (index % 20) as f32;
            let inside = (left..left + 24.0).contains(&x) && (20.0..44.0).contains(&y);
            let place = if inside { x - left } else { x + 0.4 * index as f32 };
            0.3 * (0.7 * place + 0.3 * y).sin() + 0.3 * (0.4 * y - 0.2 * place).sin() + if inside { tint } else { 0.0 }
        })
    };
    InputImage {
        width,
        height,
        data: plane(0.3).chain(plane(-0.2)).chain(plane(0.1)).collect(),
    }
}

fn measure(what: &str, seconds: f64, mut run: impl FnMut(usize) -> Duration) {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    // The first frame has none before it.
    run(0);
    let mut times = Vec::new();
    while times.len() < 30 || Instant::now() < end {
        times.push(run(times.len() + 1).as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    println!(
        "{what}: {:.2} ms least, {:.2} ms median",
        times[0],
        times[times.len() / 2]
    );
}

fn main() {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(2.0);
    let input = (112, 64);
    let (width, height) = input;
    let second: Vec<f32> = (0..width * height)
        .map(|at| 0.2 + 0.5 * (at % width) as f32 / width as f32)
        .collect();
    let map = RegionMap {
        regions: 2,
        width,
        height,
        probabilities: second.iter().map(|p| 1.0 - p).chain(second.iter().copied()).collect(),
    };
    let mut colors = ColorModel::default();
    let image = frame(input, 0);
    measure("color model, 112x64", seconds, |_| {
        let mut map = map.clone();
        let start = Instant::now();
        colors.refine(&image, &mut map);
        start.elapsed()
    });
    let mut motion = MotionModel::default();
    measure("motion model, 448x256", seconds, |index| {
        let image = frame(MotionModel::frame_size(input), index);
        let start = Instant::now();
        motion.refine(&image, &map, &[false, true]);
        start.elapsed()
    });
}
