//! The element with the checkpoint that is built in.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstfactorseg::{FactorSeg, FrameReport};
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

fn element() -> FactorSeg {
    init();
    gst::ElementFactory::make("factorseg")
        .property("device", "cpu")
        .build()
        .unwrap()
        .downcast()
        .unwrap()
}

/// A frame with a bright disc.
fn disc(index: u64) -> gst::Buffer {
    let data: Vec<u8> = (0..96 * 64)
        .flat_map(|i| {
            let (x, y) = ((i % 96) as f32 - 48.0, (i / 96) as f32 - 32.0);
            if x.hypot(y) < 20.0 {
                [220, 180, 90]
            } else {
                [40, 90, 50]
            }
        })
        .collect();
    let mut frame = gst::Buffer::from_mut_slice(data);
    stamp(&mut frame, index);
    frame
}

/// A frame without flat areas.
fn texture(index: u64) -> gst::Buffer {
    let data: Vec<u8> = (0..3 * 96 * 64u32).map(|i| (i * 7919 % 251) as u8).collect();
    let mut frame = gst::Buffer::from_mut_slice(data);
    stamp(&mut frame, index);
    frame
}

#[test]
fn a_still_video_has_bit_identical_masks() {
    let mut bench = Bench::with(element());
    bench.set_caps(VideoFormat::Rgb, 96, 64);
    let first = bytes(&bench.harness.push_and_pull(disc(0)).unwrap());
    let second = bench.harness.push_and_pull(disc(1)).unwrap();
    assert_eq!(bytes(&second), first);
    let report = FrameReport::from_buffer(&second).unwrap();
    let area: f64 = report.regions.iter().map(|region| region.area).sum();
    assert!((area - 1.0).abs() < 1e-9);
    assert_eq!(report.mask_pts, second.pts());
    let stats = bench.element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<&str>("device").unwrap(), "cpu");
    let instructions = stats.get::<&str>("instructions").unwrap();
    #[cfg(target_arch = "x86_64")]
    let expected: &[&str] = match is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        true if is_x86_feature_detected!("avx512f") => &["avx512", "amx"],
        true => &["avx2"],
        false => &["portable"],
    };
    #[cfg(not(target_arch = "x86_64"))]
    let expected = ["portable"];
    assert!(expected.contains(&instructions), "{instructions}");
}

#[test]
fn two_elements_share_a_model_and_one_may_go() {
    let mut first = Bench::with(element());
    let mut second = Bench::with(element());
    second.element.set_property("seed", 5u64);
    for bench in [&mut first, &mut second] {
        bench.set_caps(VideoFormat::Rgb, 96, 64);
    }
    let before = bytes(&second.harness.push_and_pull(disc(0)).unwrap());
    first.harness.push_and_pull(disc(0)).unwrap();
    first.element.set_state(gst::State::Null).unwrap();
    drop(first);
    // The other one's options were not the first one's.
    let after = bytes(&second.harness.push_and_pull(disc(1)).unwrap());
    assert_eq!(before, after);
}

#[test]
fn others_that_come_and_go_change_no_mask() {
    let mut bench = Bench::with(element());
    bench.set_caps(VideoFormat::Rgb, 96, 64);
    let expected = bytes(&bench.harness.push_and_pull(disc(0)).unwrap());
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let others = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut lives = 0u64;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                // One frame in the engine when the element goes, sometimes with the same options.
                let other = element();
                other.set_property("seed", lives % 2);
                other.set_property_from_str("mode", "latest");
                let mut bench = Bench::with(other);
                bench.set_caps(VideoFormat::Rgb, 96, 64);
                bench.harness.push(disc(0)).unwrap();
                bench.element.set_state(gst::State::Null).unwrap();
                lives += 1;
            }
            lives
        }
    });
    for index in 1..60 {
        let masks = bytes(&bench.harness.push_and_pull(disc(index)).unwrap());
        let farthest = masks.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert_eq!(farthest, Some(0), "frame {index}");
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(others.join().unwrap() > 0);
}

#[test]
fn a_precision_that_the_device_has_not_is_an_error_that_says_where_it_is() {
    let element = element();
    element.set_property_from_str("device", "cpu");
    element.set_property_from_str("precision", "bf16");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    if factorseg_model::Precision::Bf16.runs_on_this_processor() {
        element.set_state(gst::State::Paused).unwrap();
        let stats = element.property::<gst::Structure>("stats");
        assert_eq!(stats.get::<&str>("precision").unwrap(), "bf16");
    } else {
        assert!(element.set_state(gst::State::Paused).is_err());
        let error = error_text(&bus.pop_filtered(&[gst::MessageType::Error]).unwrap());
        assert!(error.contains("bf16") && error.contains("CUDA"), "{error}");
    }
    element.set_state(gst::State::Null).unwrap();
    element.set_property_from_str("precision", "f32");
    element.set_state(gst::State::Paused).unwrap();
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<&str>("precision").unwrap(), "f32");
    element.set_state(gst::State::Null).unwrap();
    element.set_bus(None);
}

/// Threads of this process that belong to pools of the network.
fn pool_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    // `factorseg-0`, `factorseg-1`, ...: not the inference threads, which have no number.
    names
        .filter(|name| {
            let number = name.trim().strip_prefix("factorseg-");
            number.is_some_and(|number| number.parse::<usize>().is_ok())
        })
        .count()
}

#[test]
fn the_network_has_as_many_threads_as_it_was_given() {
    let masks = [1u32, 5].map(|threads| {
        let before = pool_threads();
        let frames = |precision: &str| {
            let element = element();
            element.set_property("threads", threads);
            element.set_property_from_str("precision", precision);
            let mut bench = Bench::with(element);
            bench.set_caps(VideoFormat::Rgb, 96, 64);
            [disc(0), texture(1)].map(|frame| bytes(&bench.harness.push_and_pull(frame).unwrap()))
        };
        let exact = frames("f32");
        // One is the inference thread itself; other tests may start a pool of the default size at the same time.
        let cores = std::thread::available_parallelism().unwrap().get();
        let own = if threads == 1 { 0 } else { threads as usize };
        // A thread has its name once it has run.
        let end = Instant::now() + Duration::from_secs(60);
        while pool_threads() < before + own && Instant::now() < end {
            std::thread::yield_now();
        }
        let started = pool_threads() - before;
        assert!((own..=own + cores).contains(&started), "{started} for {threads}");
        let rounds = factorseg_model::Precision::Bf16.runs_on_this_processor();
        (exact, rounds.then(|| frames("bf16")))
    });
    assert!(masks[0] == masks[1]);
}
