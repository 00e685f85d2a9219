//! A long life in short: streams that start, seek, change size, mode, class, model and drawing, and stop, over and over,
//! while the process must not grow.
//!
//! What counts is the memory in use after each life, when all that worked for it has ended. Runs for
//! `FACTORSEG_SOAK_SECONDS`, 30 unless told; `scripts/soak.sh` runs it for an hour.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;

/// What may come to be in use between the middle third of the time and the last. Caches of the allocator, one for each thread, and
/// names that GStreamer keeps for good make up for that; a frame of the motion model that is lost in each life would be 50 MiB.
const ALLOWED: u64 = 512 << 10;

/// Bytes that were allocated and not freed, of the whole process. What the process holds of the system is another matter: pages of
/// memory and of libraries go and come as the machine needs them, 10 MiB and more from life to life.
fn in_use() -> u64 {
    // SAFETY: may be called at any time; it only reads the allocator's counts.
    let counts = unsafe { libc::mallinfo2() };
    (counts.uordblks + counts.hblkhd) as u64
}

/// Two elements with one model, three mask pads, and a size that can be changed: the filter lets frames of the size before
/// through that are under way, which it calls "not negotiated" by default.
fn pipeline() -> gst::Pipeline {
    gst::parse::launch(
        "videotestsrc name=source is-live=false pattern=ball ! capsfilter name=caps caps-change-mode=delayed \
         caps=video/x-raw,format=I420,width=320,height=180 ! tee name=t \
         t. ! queue ! factorseg name=a device=cpu threads=1 mask_0::format=regions mask_1::format=foreground \
         a.src ! queue ! fakesink name=sink sync=false a.mask_0 ! queue ! fakesink sync=false \
         a.mask_1 ! queue ! videoconvert ! fakesink sync=false \
         t. ! queue ! factorseg name=b device=cpu threads=1 mode=latest refine=guided ! queue ! fakesink sync=false",
    )
    .unwrap()
    .downcast()
    .unwrap()
}

/// Lets frames pass for a moment; an error ends the test.
fn play(pipeline: &gst::Pipeline, duration: Duration) {
    let bus = pipeline.bus().unwrap();
    let nanoseconds = gst::ClockTime::from_nseconds(duration.as_nanos() as u64);
    if let Some(message) = bus.timed_pop_filtered(nanoseconds, &[gst::MessageType::Error]) {
        panic!("{message:?}");
    }
    // What nobody reads must not pile up.
    while bus.pop().is_some() {}
}

/// One life; returns the frames that passed.
fn live(round: usize) -> u64 {
    const CAPS: [&str; 4] = [
        "video/x-raw,format=I420,width=320,height=180",
        "video/x-raw,format=RGB,width=321,height=181",
        "video/x-raw,format=NV12,width=180,height=320",
        "video/x-raw,format=GRAY8,width=64,height=64",
    ];
    const CHANGES: [(&str, &[&str]); 9] = [
        ("overlay", &["tint", "contour", "foreground", "blur-background", "none"]),
        ("refine", &["none", "guided"]),
        ("mode", &["every-frame", "latest"]),
        ("smoothing", &["0", "0.5", "0.9"]),
        ("sharpness", &["1", "4"]),
        ("timestep", &["30", "60"]),
        ("seed", &["0", "1", "2"]),
        ("interval", &["1", "2", "5"]),
        // Loads another engine, and gives the old one back.
        ("threads", &["1", "2"]),
    ];
    let pipeline = pipeline();
    let element = |name: &str| pipeline.by_name(name).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for step in 0..8 {
        play(&pipeline, Duration::from_millis(60));
        let (name, values) = CHANGES[(round + step) % CHANGES.len()];
        for which in ["a", "b"] {
            element(which).set_property_from_str(name, values[(round + step) % values.len()]);
        }
        match step % 4 {
            1 => element("caps").set_property_from_str("caps", CAPS[(round + step / 4) % CAPS.len()]),
            3 => pipeline
                .seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::from_mseconds(40 * round as u64))
                .unwrap(),
            _ => {}
        }
    }
    let frames = element("a").property::<gst::Structure>("stats").get("frames").unwrap();
    let elements = ["a", "b"].map(|name| element(name).downgrade());
    pipeline.set_state(gst::State::Null).unwrap();
    drop(pipeline);
    // A model that was being loaded goes with the element that it was for.
    while elements.iter().any(|element| element.upgrade().is_some()) || working_threads() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    frames
}

/// Threads that hold an engine, or load one.
fn working_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.flat_map(|task| std::fs::read_to_string(task.path().join("comm")));
    let ours = ["factorseg", "factorseg-load"];
    names.filter(|name| ours.contains(&name.trim())).count()
}

#[test]
fn memory_stays_flat() {
    gst::init().unwrap();
    gstfactorseg::plugin_register_static().unwrap();
    let seconds = std::env::var("FACTORSEG_SOAK_SECONDS").map_or(30, |text| text.parse().unwrap());
    let total = Duration::from_secs(seconds);
    let start = Instant::now();
    let (mut rounds, mut frames) = (0, 0);
    let mut samples = Vec::new();
    let mut report = Duration::ZERO;
    while start.elapsed() < total {
        frames += live(rounds);
        rounds += 1;
        samples.push((start.elapsed(), in_use()));
        if start.elapsed() >= report {
            println!(
                "{:>5.0} s {rounds:>6} lives {frames:>9} frames {:>8} KiB in use",
                start.elapsed().as_secs_f64(),
                in_use() >> 10
            );
            report += (total / 10).max(Duration::from_secs(1));
        }
    }
    // One life needs more than another, so the least of many is compared. Pools are filled in the first third.
    let least = |third: u32| {
        let within = |time: Duration| time > total * (third - 1) / 3 && time <= total * third / 3;
        let values = samples.iter().filter(|(time, _)| within(*time)).map(|(_, bytes)| bytes);
        *values.min().expect("a life in each third")
    };
    let (middle, last) = (least(2), least(3));
    println!(
        "{rounds} lives, {frames} frames: at least {:.2} MiB in use in the middle third, {:.2} MiB in the last",
        middle as f64 / f64::from(1 << 20),
        last as f64 / f64::from(1 << 20)
    );
    assert!(frames > 0);
    assert!(
        last <= middle + ALLOWED,
        "grew from {} to {} MiB",
        middle >> 20,
        last >> 20
    );
}
