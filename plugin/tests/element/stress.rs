//! Random changes of properties and models, flushes, gaps and links, while frames pass. `FACTORSEG_CHANGES` and `FACTORSEG_SEED`
//! make them more, and others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

/// A number from the environment.
fn given(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// SplitMix64, below `end`.
fn random(state: &mut u64, end: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % end as u64) as usize
}

/// Valid and wrong values.
const VALUES: [(&str, [&str; 4]); 19] = [
    ("model", ["first", "second", "third", "missing"]),
    ("mode", ["latest", "every-frame", "auto", "every-frame"]),
    ("foreground-regions", ["1", "2", "all", "4"]),
    ("class", ["none", "tabby", "unicorn", "Tractor"]),
    ("colors", ["", "ff0000", "rouge", "00ff00,0000ff"]),
    ("timestep", ["30", "1001", "200", "1"]),
    ("motion-model", ["true", "false", "true", "false"]),
    ("smoothing", ["0", "0.5", "0.9", "0.99"]),
    ("sharpness", ["1", "4", "100", "1.5"]),
    ("interval", ["1", "2", "7", "1"]),
    ("overlay", ["contour", "foreground", "blur-background", "tint"]),
    ("refine", ["guided", "none", "guided", "none"]),
    ("qos", ["true", "false", "true", "true"]),
    ("seed", ["1", "2", "3", "4"]),
    ("fill-holes", ["all", "none", "auto", "all"]),
    ("skip-still", ["0", "1", "255", "0"]),
    ("threshold", ["0.5", "0.01", "0.99", "0.5"]),
    ("min-area", ["0", "0.5", "1", "0"]),
    ("blur-strength", ["1", "2", "64", "7"]),
];

#[test]
fn ten_thousand_changes_under_load_leave_a_stream_that_plays() {
    let fakes = [("first", 3), ("second", 2), ("third", 4)].map(|(name, regions)| Fake {
        name,
        regions,
        ..Fake::new(Behaviour::Brightness)
    });
    let element = fakes[0].element();
    element.set_engine_factory(Arc::new({
        let fakes = fakes.clone();
        move |request| match request.model.to_string() {
            name if name.ends_with("missing") => Err("no such file".into()),
            name => Ok(fakes
                .iter()
                .find(|fake| name.ends_with(fake.name))
                .unwrap_or(&fakes[0])
                .engine()),
        }
    }));
    let mut bench = Bench::with(element);
    bench.harness.set_drop_buffers(true);
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let sinkpad = bench.element.static_pad("sink").unwrap();
    let srcpad = bench.element.static_pad("src").unwrap();
    let peer = srcpad.peer().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // No frame comes between the end of a flush and its segment.
    let gate = Arc::new(Mutex::new(()));
    let came = Arc::new(AtomicUsize::new(0));
    let pushing = std::thread::spawn({
        let (sinkpad, stop, gate, info) = (sinkpad.clone(), stop.clone(), gate.clone(), info.clone());
        let came = came.clone();
        move || {
            let mut passed = 0;
            for index in 0u64.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let passing = gate.lock().unwrap();
                // A gap now and then.
                let flow = sinkpad.chain(flat_frame(&info, index + index / 50 * 100, (index % 251) as u8));
                drop(passing);
                came.fetch_add(1, Ordering::SeqCst);
                match flow {
                    Ok(_) => passed += 1,
                    Err(gst::FlowError::Flushing | gst::FlowError::NotLinked) => std::thread::yield_now(),
                    Err(error) => panic!("{error:?}"),
                }
            }
            passed
        }
    });
    let (changes, mut state) = (given("FACTORSEG_CHANGES", 10_000), given("FACTORSEG_SEED", 2026));
    let mut pads: Vec<gst::Pad> = Vec::new();
    for _ in 0..changes {
        let before = came.load(Ordering::SeqCst);
        match random(&mut state, 40) {
            0 => {
                assert!(sinkpad.send_event(gst::event::FlushStart::new()));
                let _quiet = gate.lock().unwrap();
                assert!(sinkpad.send_event(gst::event::FlushStop::new(true)));
                let segment = gst::FormattedSegment::<gst::ClockTime>::new();
                assert!(sinkpad.send_event(gst::event::Segment::new(&segment)));
            }
            1 => {
                // The harness's own pad is linked at the end.
                let _ = srcpad.unlink(&peer);
                let _ = srcpad.link(&peer);
            }
            2 if pads.len() < 3 => {
                let pad = bench.element.request_pad_simple("mask_%u").unwrap();
                pad.set_property_from_str("format", ["labels", "regions", "foreground"][random(&mut state, 3)]);
                pads.push(pad);
            }
            2 => bench.element.release_request_pad(&pads.remove(random(&mut state, 3))),
            3 => {
                let late = random(&mut state, 100_000_000) as i64 - 50_000_000;
                let time = gst::ClockTime::from_mseconds(random(&mut state, 100_000) as u64);
                srcpad.send_event(gst::event::Qos::new(gst::QOSType::Underflow, 1.0, late, time));
            }
            _ => {
                let (name, values) = VALUES[random(&mut state, VALUES.len())];
                bench.element.set_property_from_str(name, values[random(&mut state, 4)]);
            }
        }
        // A frame for each change, and now and then several changes for a frame.
        while random(&mut state, 4) > 0 && came.load(Ordering::SeqCst) == before {
            assert!(!pushing.is_finished(), "the stream has ended");
            std::thread::yield_now();
        }
    }
    if srcpad.peer().is_none() {
        srcpad.link(&peer).unwrap();
    }
    for (name, value) in [
        ("model", "third"),
        ("mode", "every-frame"),
        ("interval", "1"),
        ("qos", "false"),
    ] {
        bench.element.set_property_from_str(name, value);
    }
    let model = |bench: &Bench| bench.element.property::<gst::Structure>("stats").get::<String>("model");
    until("the last model is there", || model(&bench).unwrap() == "third");
    let inferred = bench.stat("inferred");
    until("frames are segmented", || bench.stat("inferred") > inferred + 5);
    stop.store(true, Ordering::SeqCst);
    let passed = pushing.join().unwrap();
    println!("{changes} changes while {passed} frames passed");
    assert!(passed > 100, "{passed}");
    assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
    bench.element.set_state(gst::State::Null).unwrap();
    let alive = || {
        fakes
            .iter()
            .map(|fake| fake.alive.load(Ordering::SeqCst))
            .sum::<usize>()
    };
    until("no engine is left", || alive() == 0);
}
