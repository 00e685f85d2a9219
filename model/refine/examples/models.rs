//! What the color model and the motion model cost for a frame of 16:9 seen by networks of 64 and of 96 pixels, in time of a core (by Linux;
//! elsewhere by the clock):
//! `cargo run --release -p factorseg-refine --example models [-- SECONDS]`.

use std::sync::LazyLock;
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

/// How long this thread has run.
fn spent() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|text| text.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

fn measure(what: &str, seconds: f64, mut run: impl FnMut(usize) -> Duration) {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    // The first frame has none before it.
    run(0);
    // The system counts in slices of some milliseconds: the mean of many is exact.
    let (mut total, mut count) = (Duration::ZERO, 0);
    while count < 30 || Instant::now() < end {
        count += 1;
        total += run(count);
    }
    println!(
        "{what}: {:.2} ms, the mean of {count}",
        total.as_secs_f64() * 1e3 / count as f64
    );
}

fn main() {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(2.0);
    // What networks of 64 and 96 pixels see of a frame of 16:9.
    for input in [(112, 64), (168, 96)] {
        models(input, seconds);
    }
}

fn models(input: (usize, usize), seconds: f64) {
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
    measure(&format!("color model, {width}x{height}"), seconds, |_| {
        let mut map = map.clone();
        let start = spent();
        colors.refine(&image, &mut map, &[false, true]);
        spent() - start
    });
    let mut motion = MotionModel::default();
    let frame_size = MotionModel::frame_size(input);
    measure(
        &format!("motion model, {}x{}", frame_size.0, frame_size.1),
        seconds,
        |index| {
            let image = frame(frame_size, index);
            let start = spent();
            motion.refine(&image, &map, &[false, true]);
            spent() - start
        },
    );
}
