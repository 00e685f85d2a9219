//! What a frame owes to the one before it, played forwards, backwards, in loops, with gaps and without timestamps.

use std::sync::atomic::{AtomicUsize, Ordering};

use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstfactorseg::factorseg::Mode;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

fn segment(rate: f64, seconds: u64) -> gst::Event {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(rate);
    segment.set_stop(gst::ClockTime::from_seconds(seconds));
    gst::event::Segment::new(&segment)
}

/// A smoothed stream of which a bright frame has passed: one a little darker is bright with it, and dark without.
fn smoothed(mode: &str) -> (Fake, Bench) {
    let fake = Fake::new(Behaviour::Brightness);
    let element = fake.element();
    element.set_property_from_str("mode", mode);
    element.set_property("smoothing", 0.99);
    let mut bench = Bench::with(element);
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    (fake, bench)
}

fn gray(index: u64, byte: u8) -> gst::Buffer {
    flat_frame(&video_info(VideoFormat::Gray8, 32, 16), index, byte)
}

fn is_bright(buffer: &gst::Buffer) -> bool {
    FrameReport::from_buffer(buffer).unwrap().regions[0].area == 1.0
}

#[test]
fn a_scene_begins_even_if_its_first_frame_is_never_segmented() {
    for flush in [false, true] {
        let (fake, mut bench) = smoothed("latest");
        bench.harness.push_and_pull(gray(0, 140)).unwrap();
        until("the bright one is segmented", || bench.stat("inferred") == 1);
        let gate = fake.delay.lock().unwrap();
        bench.harness.push_and_pull(gray(1, 140)).unwrap();
        let sinkpad = bench.element.static_pad("sink").unwrap();
        if flush {
            assert!(sinkpad.send_event(gst::event::FlushStart::new()));
            assert!(sinkpad.send_event(gst::event::FlushStop::new(true)));
            assert!(sinkpad.send_event(segment(1.0, 1000)));
        }
        // The first of these is replaced by the second while the engine is busy.
        bench.harness.push_and_pull(gray(100, 120)).unwrap();
        bench.harness.push_and_pull(gray(101, 120)).unwrap();
        drop(gate);
        // Whether the engine had begun with the second one or not.
        until("the last one is segmented", || {
            bench.stat("inferred") + bench.stat("dropped") == 4
        });
        let output = bench.harness.push_and_pull(gray(102, 120)).unwrap();
        assert!(!is_bright(&output), "flush: {flush}");
    }
}

#[test]
fn loops_and_jumps_begin_anew_and_what_goes_on_does_not() {
    for (what, first, event, second, goes_on) in [
        ("a loop", 20, Some(segment(1.0, 1)), 0, false),
        ("a segment that goes on", 20, Some(segment(1.0, 9)), 21, true),
        ("a small gap", 20, None, 40, true),
        ("a large gap", 20, None, 60, false),
        ("a small step back", 20, None, 10, true),
        ("a large step back", 60, None, 20, false),
        (
            "another stream",
            20,
            Some(gst::event::StreamStart::new("other")),
            21,
            false,
        ),
    ] {
        for mode in ["every-frame", "latest"] {
            let (_, mut bench) = smoothed(mode);
            bench.harness.push_and_pull(gray(first, 140)).unwrap();
            until("it is segmented", || bench.stat("inferred") == 1);
            if let Some(event) = event.clone() {
                assert!(bench.harness.push_event(event));
            }
            let output = bench.harness.push_and_pull(gray(second, 120)).unwrap();
            if mode == "every-frame" {
                assert_eq!(is_bright(&output), goes_on, "{what}");
            } else if !goes_on {
                // Its own, if the engine was fast, or none.
                let report = FrameReport::from_buffer(&output);
                let own = |report: &FrameReport| report.mask_pts == output.pts() && report.regions[0].area == 0.0;
                assert!(report.as_ref().is_none_or(own), "{what}: {report:?}");
            }
        }
    }
}

#[test]
fn played_backwards_and_faster_frames_tell_how_far_their_masks_are() {
    for rate in [-1.0, -2.0, 0.5, 4.0] {
        let (_, mut bench) = smoothed("every-frame");
        bench.element.set_property("interval", 5u32);
        bench.element.set_property("motion-model", false);
        assert!(bench.harness.push_event(segment(rate, 4)));
        for step in 0..75u64 {
            let index = if rate < 0.0 { 99 - step } else { step };
            let output = bench
                .harness
                .push_and_pull(gray(index, if step == 0 { 140 } else { 120 }))
                .unwrap();
            let report = FrameReport::from_buffer(&output).unwrap();
            assert_eq!(report.mask_age, Some(step % 5 * FRAME_DURATION), "{rate} {step}");
            assert_eq!(bench.stat("mask-age"), (step % 5 * FRAME_DURATION).nseconds());
            // One scene, in either direction.
            assert!(step > 9 || is_bright(&output), "{rate} {step}");
        }
        assert_eq!(bench.stat("inferred"), 15, "{rate}");
    }
}

#[test]
fn frames_without_timestamps_and_rate_are_one_scene() {
    let (_, mut bench) = smoothed("every-frame");
    let caps = "video/x-raw,format=GRAY8,width=32,height=16,framerate=0/1";
    bench.harness.set_src_caps_str(caps);
    for step in 0..5 {
        let mut frame = gray(0, if step == 0 { 140 } else { 120 });
        frame.get_mut().unwrap().set_pts(None);
        frame.get_mut().unwrap().set_duration(None);
        let output = bench.harness.push_and_pull(frame).unwrap();
        let report = FrameReport::from_buffer(&output).unwrap();
        assert!(is_bright(&output), "{step}");
        assert_eq!((report.mask_pts, report.mask_age), (None, None));
    }
}

#[test]
fn downstream_that_is_linked_again_gets_frames_again() {
    for mode in ["every-frame", "latest"] {
        let (_, mut bench) = smoothed(mode);
        bench.harness.push_and_pull(gray(0, 50)).unwrap();
        let srcpad = bench.element.static_pad("src").unwrap();
        let peer = srcpad.peer().unwrap();
        srcpad.unlink(&peer).unwrap();
        let mut index = 0;
        let mut refused = 0;
        until("upstream is told, again and again", || {
            index += 1;
            let flow = bench.harness.push(gray(index, 50));
            assert!(flow.is_ok() || flow == Err(gst::FlowError::NotLinked), "{flow:?}");
            refused += usize::from(flow.is_err());
            refused > 3
        });
        srcpad.link(&peer).unwrap();
        let last = index + 20;
        for index in index..=last {
            let flow = bench.harness.push(gray(index, 50));
            // What was under way when it was linked may still be told of.
            assert!(flow.is_ok() || index < last - 15, "{mode} {flow:?}");
        }
        until("the last frame comes", || {
            let output = bench.harness.pull().unwrap();
            output.pts() == Some(last * FRAME_DURATION)
        });
        assert!(bench.harness.push_event(gst::event::Eos::new()));
        assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
    }
}

#[test]
fn a_latency_query_that_fails_is_asked_again() {
    let fake = Fake::new(Behaviour::Whole);
    let element = fake.element();
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let source = gst::Pad::builder(gst::PadDirection::Src)
        .query_function({
            let asked = asked.clone();
            move |_, _, query| match query.view_mut() {
                gst::QueryViewMut::Latency(latency) => {
                    latency.set(true, gst::ClockTime::ZERO, None);
                    asked.fetch_add(1, Ordering::SeqCst) >= 2
                }
                _ => false,
            }
        })
        .build();
    source.link(&element.static_pad("sink").unwrap()).unwrap();
    let sink = gst::Pad::builder(gst::PadDirection::Sink)
        .chain_function(|_, _, _| Ok(gst::FlowSuccess::Ok))
        .build();
    element.static_pad("src").unwrap().link(&sink).unwrap();
    element.set_state(gst::State::Playing).unwrap();
    for pad in [&sink, &source] {
        pad.set_active(true).unwrap();
    }
    assert!(source.push_event(gst::event::StreamStart::new("test")));
    let info = video_info(VideoFormat::Gray8, 32, 16);
    assert!(source.push_event(gst::event::Caps::new(&info.to_caps().unwrap())));
    assert!(source.push_event(segment(1.0, 10)));
    let mode = || element.property::<gst::Structure>("stats").get::<Mode>("mode").unwrap();
    for index in 0..2 {
        source.push(gray(index, 50)).unwrap();
        assert_eq!(mode(), Mode::Auto, "not known yet");
    }
    for index in 2..5 {
        source.push(gray(index, 50)).unwrap();
        assert_eq!(mode(), Mode::Latest);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    element.set_state(gst::State::Null).unwrap();
    source.set_active(false).unwrap();
    sink.set_active(false).unwrap();
}
