//! Flushes, seeks, ends and state changes, most of them while an inference is under way.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

fn segment() -> gst::Event {
    gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())
}

#[test]
fn an_end_before_the_first_frame_ends_the_stream() {
    let mut bench = Bench::new(&Fake::new(Behaviour::Whole));
    assert!(bench.harness.push_event(gst::event::Eos::new()));
    let mut ended = false;
    while let Some(event) = bench.harness.try_pull_event() {
        ended |= event.type_() == gst::EventType::Eos;
    }
    assert!(ended);
    let mut bench = Bench::new(&Fake::new(Behaviour::Whole));
    bench.set_caps(VideoFormat::I420, 64, 48);
    assert!(bench.harness.push_event(gst::event::Eos::new()));
}

#[test]
fn a_flush_frees_a_waiting_frame_at_once() {
    let fake = Fake::slow(Behaviour::Brightness, 400);
    let mut bench = Bench::new(&fake);
    bench.element.set_property_from_str("mode", "every-frame");
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    let sinkpad = bench.element.static_pad("sink").unwrap();

    let pushing = std::thread::spawn({
        let sinkpad = sinkpad.clone();
        let info = info.clone();
        move || {
            // Two are taken in, the third waits.
            let flows = [0, 1, 2].map(|index| sinkpad.chain(flat_frame(&info, index, 255)));
            (flows, Instant::now())
        }
    });
    std::thread::sleep(Duration::from_millis(50));
    let flushed = Instant::now();
    assert!(sinkpad.send_event(gst::event::FlushStart::new()));
    let (flows, returned) = pushing.join().unwrap();
    let taken = Ok(gst::FlowSuccess::Ok);
    assert_eq!(flows, [taken, taken, Err(gst::FlowError::Flushing)]);
    assert!(returned - flushed < Duration::from_millis(200));
    assert!(sinkpad.send_event(gst::event::FlushStop::new(true)));
    assert!(sinkpad.send_event(segment()));

    // The frame after the flush has its own mask, not the bright one's.
    *fake.delay.lock().unwrap() = Duration::ZERO;
    let output = bench.harness.push_and_pull(flat_frame(&info, 7, 0)).unwrap();
    let report = FrameReport::from_buffer(&output).unwrap();
    assert_eq!(report.mask_pts, output.pts());
    assert_eq!(report.regions[0].area, 0.0);
}

#[test]
fn no_mask_of_before_a_seek_is_drawn_after_it() {
    let fake = Fake::slow(Behaviour::Whole, 30);
    let element = fake.element();
    element.set_property_from_str("mode", "latest");
    let mut bench = Bench::with(element);
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    until("there is a mask", || {
        bench.harness.push(flat_frame(&info, 0, 5)).unwrap();
        bench.stat("inferred") > 1
    });
    // One inference is under way now.
    let sinkpad = bench.element.static_pad("sink").unwrap();
    assert!(sinkpad.send_event(gst::event::FlushStart::new()));
    assert!(sinkpad.send_event(gst::event::FlushStop::new(true)));
    assert!(sinkpad.send_event(segment()));
    while bench.harness.try_pull().is_some() {}
    std::thread::sleep(Duration::from_millis(100));
    let output = bench.harness.push_and_pull(flat_frame(&info, 100, 5)).unwrap();
    assert_eq!(FrameReport::from_buffer(&output), None);
}

#[test]
fn five_hundred_flushes_with_inference_under_way() {
    for mode in ["every-frame", "latest"] {
        let fake = Fake::slow(Behaviour::Whole, 1);
        let element = fake.element();
        element.set_property_from_str("mode", mode);
        let mut bench = Bench::with(element);
        bench.set_caps(VideoFormat::I420, 64, 48);
        let info = video_info(VideoFormat::I420, 64, 48);
        bench.harness.set_drop_buffers(true);
        let sinkpad = bench.element.static_pad("sink").unwrap();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        // No frame comes between the end of a flush and its segment.
        let gate = std::sync::Arc::new(std::sync::Mutex::new(()));
        let pushing = std::thread::spawn({
            let (sinkpad, stop, gate) = (sinkpad.clone(), stop.clone(), gate.clone());
            move || {
                let mut passed = 0;
                for index in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let passing = gate.lock().unwrap();
                    let flow = sinkpad.chain(flat_frame(&info, index, 3));
                    drop(passing);
                    match flow {
                        Ok(_) => passed += 1,
                        Err(gst::FlowError::Flushing) => std::thread::sleep(Duration::from_micros(20)),
                        Err(error) => panic!("{error:?}"),
                    }
                }
                passed
            }
        });
        for round in 0..250u64 {
            assert!(sinkpad.send_event(gst::event::FlushStart::new()));
            {
                let _quiet = gate.lock().unwrap();
                assert!(sinkpad.send_event(gst::event::FlushStop::new(true)));
                assert!(sinkpad.send_event(segment()));
            }
            std::thread::sleep(Duration::from_micros(round % 5 * 900));
        }
        stop.store(true, Ordering::SeqCst);
        assert!(pushing.join().unwrap() > 10, "{mode}");
        assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
    }
}

#[test]
fn two_hundred_starts_leave_nothing_behind() {
    let fake = Fake::new(Behaviour::Whole);
    let element = fake.element();
    for round in 0..200 {
        element.set_state(gst::State::Playing).unwrap();
        if round % 2 == 0 {
            element.set_state(gst::State::Ready).unwrap();
            element.set_state(gst::State::Paused).unwrap();
        }
        element.set_state(gst::State::Null).unwrap();
        assert_eq!(fake.alive.load(Ordering::SeqCst), 0, "round {round}");
    }
    // READY and back does not load again.
    assert_eq!(fake.loaded.load(Ordering::SeqCst), 200);
    let weak = element.downgrade();
    drop(element);
    assert!(weak.upgrade().is_none());
}

#[test]
fn pipelines_start_and_stop_with_frames_under_way() {
    init();
    let fake = Fake::slow(Behaviour::Whole, 3);
    for mode in ["every-frame", "latest"] {
        let element = fake.element();
        element.set_property_from_str("mode", mode);
        let pipeline = gst::Pipeline::new();
        let source = gst::ElementFactory::make("videotestsrc").build().unwrap();
        let sink = gst::ElementFactory::make("fakesink").build().unwrap();
        let elements = [&source, element.upcast_ref(), &sink];
        pipeline.add_many(elements).unwrap();
        gst::Element::link_many(elements).unwrap();
        for round in 0..50u64 {
            pipeline.set_state(gst::State::Playing).unwrap();
            std::thread::sleep(Duration::from_micros(round * 200));
            if round % 3 == 0 {
                pipeline.set_state(gst::State::Ready).unwrap();
                pipeline.set_state(gst::State::Playing).unwrap();
            }
            pipeline.set_state(gst::State::Null).unwrap();
        }
        let errors = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
        assert!(errors.is_none(), "{errors:?}");
    }
    assert_eq!(fake.alive.load(Ordering::SeqCst), 0);
}

#[test]
fn stopping_does_not_wait_for_more_than_the_inference_under_way() {
    let fake = Fake::slow(Behaviour::Whole, 100);
    let element = fake.element();
    element.set_property_from_str("mode", "latest");
    let mut bench = Bench::with(element);
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    for index in 0..20 {
        bench.harness.push(flat_frame(&info, index, 1)).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    let start = Instant::now();
    bench.element.set_state(gst::State::Null).unwrap();
    assert!(start.elapsed() < Duration::from_millis(300));
    assert_eq!(fake.alive.load(Ordering::SeqCst), 0);
}

#[test]
fn an_error_handler_may_stop_the_element() {
    // The handler runs in the inference thread, which the element waits for when it stops.
    let fake = Fake::new(Behaviour::Panics);
    let element = fake.element();
    element.set_property_from_str("mode", "latest");
    let bus = gst::Bus::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    bus.set_sync_handler({
        let element = element.downgrade();
        move |_, message| {
            if message.type_() == gst::MessageType::Error
                && let Some(element) = element.upgrade()
            {
                let stopped = element.set_state(gst::State::Null).is_ok();
                sender.send(stopped).unwrap();
            }
            gst::BusSyncReply::Drop
        }
    });
    element.set_bus(Some(&bus));
    element.set_state(gst::State::Playing).unwrap();
    let sinkpad = element.static_pad("sink").unwrap();
    let info = video_info(VideoFormat::Gray8, 16, 8);
    sinkpad.send_event(gst::event::StreamStart::new("test"));
    sinkpad.send_event(gst::event::Caps::new(&info.to_caps().unwrap()));
    sinkpad.send_event(segment());
    for index in 0..100 {
        let _ = sinkpad.chain(flat_frame(&info, index, 1));
        if receiver.try_recv() == Ok(true) {
            element.set_bus(None);
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the handler was not called");
}

#[test]
fn another_model_is_swapped_in_without_a_gap() {
    for mode in ["every-frame", "latest"] {
        let (first, second) = (Fake::slow(Behaviour::Whole, 5), Fake::slow(Behaviour::Halves, 5));
        let element = first.element();
        let (go_on, waits) = std::sync::mpsc::channel();
        let waits = std::sync::Mutex::new(waits);
        element.set_engine_factory(std::sync::Arc::new({
            let (first, second) = (first.clone(), second.clone());
            move |request| match request.model.to_string().as_str() {
                "second" => {
                    waits.lock().unwrap().recv().unwrap();
                    Ok(second.engine())
                }
                "broken" => Err("this file is broken".into()),
                _ => Ok(first.engine()),
            }
        }));
        element.set_property_from_str("mode", mode);
        element.set_property_from_str("on-error", "passthrough");
        let mut bench = Bench::with(element);
        bench.set_caps(VideoFormat::Gray8, 32, 16);
        let info = video_info(VideoFormat::Gray8, 32, 16);
        let mut frames = 0..;
        let mut area = |bench: &mut Bench| {
            let frame = flat_frame(&info, frames.next().unwrap(), 50);
            let output = bench.harness.push_and_pull(frame).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            FrameReport::from_buffer(&output).map(|report| report.regions[0].area)
        };
        until("the first model works", || area(&mut bench) == Some(1.0));

        // A model that does not load leaves the old one at work.
        bench.element.set_property("model", "broken");
        let mut warnings = Vec::new();
        until("the failure is reported", || {
            assert_eq!(area(&mut bench), Some(1.0));
            warnings.extend(bench.messages(gst::MessageType::Warning));
            !warnings.is_empty()
        });
        assert!(warnings[0].contains("this file is broken"), "{warnings:?}");

        // The old one works on for as long as the second one is being loaded.
        bench.element.set_property("model", "second");
        for _ in 0..8 {
            assert_eq!(area(&mut bench), Some(1.0), "{mode}");
        }
        go_on.send(()).unwrap();
        until("the second model works", || match area(&mut bench) {
            Some(1.0) => false,
            Some(0.5) => true,
            other => panic!("a gap: {other:?}"),
        });
        until("the first engine is gone", || first.alive.load(Ordering::SeqCst) == 0);
        assert_eq!(second.loaded.load(Ordering::SeqCst), 1);
        bench.element.set_state(gst::State::Null).unwrap();
        assert_eq!(second.alive.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn downstream_decides_the_flow() {
    let fake = Fake::new(Behaviour::Whole);
    let element = fake.element();
    element.set_state(gst::State::Playing).unwrap();
    let sinkpad = element.static_pad("sink").unwrap();
    let info = video_info(VideoFormat::Gray8, 16, 8);
    sinkpad.send_event(gst::event::StreamStart::new("test"));
    sinkpad.send_event(gst::event::Caps::new(&info.to_caps().unwrap()));
    sinkpad.send_event(segment());
    // A frame that waits for its mask learns it for those that follow.
    let mut index = 0;
    until("downstream's flow returns", || {
        index += 1;
        sinkpad.chain(flat_frame(&info, index, 1)) == Err(gst::FlowError::NotLinked)
    });
    assert!(index <= 4, "{index}");
    element.set_state(gst::State::Null).unwrap();
}
