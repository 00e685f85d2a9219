//! What everything except the network costs: milliseconds of one core's time a frame, the median of many. The time is the
//! thread's own, so that other work on the machine counts little.
//!
//! ```text
//! cargo run --release -p gst-plugin-factorseg --example cost
//! cargo run --release -p gst-plugin-factorseg --example cost -- all         # every format, not five alone
//! cargo run --release -p gst-plugin-factorseg --example cost -- portable    # without AVX2
//! ```

use std::time::{Duration, Instant};

use factorseg_model::RegionMap;
use factorseg_refine::MotionModel;
use factorseg_refine::simd;
use gstfactorseg::factorseg::MaskFormat;
use gstfactorseg::parts::blend::Blender;
use gstfactorseg::parts::guided::{self, Refiner};
use gstfactorseg::parts::layers::Painter;
use gstfactorseg::parts::layout::{FORMATS, Layout, OwnedFrame};
use gstfactorseg::parts::render::render;
use gstfactorseg::parts::sampling::Sampler;
use gstfactorseg::parts::{contour, mask, overlay};
use gstreamer_video::{VideoFormat, VideoInfo};

const SIZES: [(&str, u32, u32); 3] = [("480p", 854, 480), ("1080p", 1920, 1080), ("4K", 3840, 2160)];
/// One of each kind.
const KINDS: [VideoFormat; 5] = [
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Rgb,
    VideoFormat::Bgrx,
    VideoFormat::Gray8,
];

/// What `probabilities` says of each column and row.
fn map<const K: usize>(width: usize, height: usize, probabilities: impl Fn(f32, f32) -> [f32; K]) -> RegionMap {
    let cells = (0..width * height).map(|cell| ((cell % width) as f32, (cell / width) as f32));
    let values: Vec<[f32; K]> = cells.map(|(x, y)| probabilities(x, y)).collect();
    RegionMap {
        regions: K,
        width,
        height,
        probabilities: (0..K)
            .flat_map(|region| values.iter().map(move |p| p[region]))
            .collect(),
    }
}

fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<Duration> = Vec::new();
    let begin = Instant::now();
    while times.len() < 5 || (begin.elapsed() < Duration::from_millis(400) && times.len() < 200) {
        let start = thread_time();
        run();
        times.push(thread_time() - start);
    }
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// Time that this thread has spent on a core.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "every Linux has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    gstreamer::init()?;
    let mut formats = &KINDS[..];
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "all" => formats = &FORMATS,
            "portable" => simd::use_portable(true),
            other => return Err(format!("`{other}` is neither `all` nor `portable`").into()),
        }
    }
    println!(
        "| size | format | sample | tint, all | tint, object | foreground | blur-background | contour | guided tint, object | mask: labels | mask: foreground |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let colors = [[0.9, 0.6, 0.0], [0.3, 0.7, 0.9], [0.0, 0.6, 0.5]];
    for (name, width, height) in SIZES {
        // What the motion model makes of a network of 64 pixels for a frame of 16:9, half as fine as what it samples.
        let (grid_width, grid_height) = (224, 128);
        let (sample_width, sample_height) = MotionModel::frame_size((112, 64));
        // Soft regions that fill the picture: the most expensive case, as nothing is skipped.
        let full = map(grid_width, grid_height, |x, y| {
            let first = 0.5 + 0.3 * (x / 9.0 + y / 7.0).sin();
            [first, (1.0 - first) * 0.6, (1.0 - first) * 0.4]
        });
        // A disc over a sixth of it.
        let object = map(grid_width, grid_height, |x, y| {
            let (columns, rows) = (grid_width as f32, grid_height as f32);
            let distance = (x - columns / 2.0).hypot(y - rows / 2.0);
            let inside = (rows * 0.3 - distance + 0.5).clamp(0.0, 1.0);
            [inside, 1.0 - inside]
        });
        for &format in formats {
            let info = VideoInfo::builder(format, width, height).build()?;
            let layout = Layout::new(&info);
            let mut frame = OwnedFrame::new(&layout, 0, || 100);
            let mut sampler = Sampler::new(&layout, grid_width, grid_height);
            let mut sampled = Sampler::new(&layout, sample_width, sample_height);
            let mut painter = Painter::default();
            let sample = median(|| {
                std::hint::black_box(sampled.sample(&layout, &frame.read()));
            });
            let mut draw =
                |run: &mut dyn FnMut(&mut Painter, &mut OwnedFrame)| median(|| run(&mut painter, &mut frame));
            let tint = |map: &RegionMap, chosen: &[bool]| overlay::tint(map, chosen, &colors, 0.5, &layout);
            let tint_all = draw(&mut |painter, frame| {
                painter.paint(&layout, &tint(&full, &[true; 3]), &mut frame.write());
            });
            let tint_object = draw(&mut |painter, frame| {
                painter.paint(&layout, &tint(&object, &[true, false]), &mut frame.write());
            });
            let cut_out = draw(&mut |painter, frame| {
                let layer = overlay::cut_out(&object, &[true, false], ([0.0; 3], 0.0), &layout);
                painter.paint(&layout, &layer, &mut frame.write());
            });
            let blur = draw(&mut |painter, frame| {
                let averages = sampler.average(&frame.read());
                let layer = overlay::blur_background(&object, &[true, false], averages, 2, &layout);
                painter.paint(&layout, &layer, &mut frame.write());
            });
            let lines = draw(&mut |_, frame| {
                contour::paint(&layout, &object, &[true, false], &colors, 0.5, &mut frame.write());
            });
            let mut refiner = Refiner::default();
            let mut blender = Blender::default();
            let mut foreground = Vec::new();
            let refined = draw(&mut |_, frame| {
                let coarse = mask::foreground(&object, &[true, false]);
                let fit = guided::fit(&coarse, sampler.average(&frame.read()), grid_width, grid_height);
                refiner.refine(&layout, &frame.read(), &fit, &mut foreground);
                let blend = overlay::tint_blend(&object, &[true, false], &colors, 0.5, &layout);
                blender.paint(&layout, &foreground, &blend, &mut frame.write());
            });
            let mut picture = vec![0; (width * height) as usize];
            let [labels, soft] = [MaskFormat::Labels, MaskFormat::Foreground].map(|format| {
                median(|| {
                    let size = (width as usize, height as usize);
                    render(&object, format, &[true, false], size, size.0, &mut picture);
                })
            });
            println!(
                "| {name} | {format} | {sample:.2} | {tint_all:.2} | {tint_object:.2} | {cut_out:.2} | {blur:.2} | {lines:.2} | {refined:.2} | {labels:.2} | {soft:.2} |"
            );
        }
    }
    Ok(())
}
