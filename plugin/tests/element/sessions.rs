//! Frames that meet another model than the one they came for.

use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

/// An element whose property `model` chooses among fake engines, the first one by default.
fn choosing(fakes: &[Fake]) -> Bench {
    let element = fakes[0].element();
    let fakes = fakes.to_vec();
    element.set_engine_factory(Arc::new(move |request| {
        let named = |fake: &&Fake| request.model.to_string().ends_with(fake.name);
        Ok(fakes.iter().find(named).unwrap_or(&fakes[0]).engine())
    }));
    Bench::with(element)
}

fn model(bench: &Bench) -> String {
    bench.element.property::<gst::Structure>("stats").get("model").unwrap()
}

fn swap(bench: &Bench, name: &str) {
    bench.element.set_property("model", name);
    until("the model is swapped", || model(bench) == name);
}

/// With 3, 2 and 4 regions, of which the first, second and third is the object.
fn three() -> [Fake; 3] {
    [("first", 3, 0), ("second", 2, 1), ("third", 4, 2)].map(|(name, regions, object)| Fake {
        name,
        regions,
        object,
        ..Fake::new(Behaviour::Halves)
    })
}

#[test]
fn frames_that_wait_keep_the_regions_of_the_model_that_they_came_for() {
    for refine in ["none", "guided"] {
        let fakes = three();
        let mut bench = choosing(&fakes);
        bench.element.set_property_from_str("mode", "every-frame");
        bench.element.set_property_from_str("refine", refine);
        let (_pad, mut masks) = mask_harness(&bench, "mask_0", "regions");
        bench.set_caps(VideoFormat::Gray8, 32, 16);
        let info = video_info(VideoFormat::Gray8, 32, 16);
        let mut index = 0;
        for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2)] {
            let gate = fakes[from].delay.lock().unwrap();
            for _ in 0..2 {
                bench.harness.push(flat_frame(&info, index, 50)).unwrap();
                index += 1;
            }
            swap(&bench, fakes[to].name);
            drop(gate);
            bench.harness.push(flat_frame(&info, index, 50)).unwrap();
            index += 1;
            for fake in [&fakes[from], &fakes[from], &fakes[to]] {
                let report = FrameReport::from_buffer(&bench.harness.pull().unwrap()).unwrap();
                assert_eq!(report.regions.len(), fake.regions);
                assert!(report.regions[fake.object].foreground);
                assert_eq!(masks.pull().unwrap().size(), 32 * 16 * fake.regions);
            }
        }
        assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
    }
}

#[test]
fn a_mask_of_the_model_before_is_drawn_as_the_object_that_it_is() {
    let fakes = three();
    let mut bench = choosing(&fakes);
    bench.element.set_property_from_str("mode", "latest");
    bench.element.set_property_from_str("overlay", "foreground");
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    let mut index = 0..;
    let mut next = |bench: &mut Bench| {
        let output = bench
            .harness
            .push_and_pull(flat_frame(&info, index.next().unwrap(), 90))
            .unwrap();
        let report = FrameReport::from_buffer(&output);
        let sides = [bytes(&output)[0], bytes(&output)[31]];
        (report.map(|report| (report.regions.len(), report.regions)), sides)
    };
    until("the first model works", || next(&mut bench).0.is_some());
    let gate = fakes[1].delay.lock().unwrap();
    swap(&bench, "second");
    for _ in 0..5 {
        let (report, sides) = next(&mut bench);
        let (regions, facts) = report.expect("the mask before");
        assert!(regions == 3 && facts[0].foreground && !facts[1].foreground);
        // The left half is the first model's object, the right half the second one's.
        assert!(sides[0] > 80 && sides[1] < 10, "{sides:?}");
    }
    drop(gate);
    until("the second model works", || {
        let (report, sides) = next(&mut bench);
        report.is_some_and(|(regions, _)| regions == 2) && sides[0] < 10 && sides[1] > 80
    });
}

#[test]
fn two_swaps_end_while_frames_wait_for_the_first_model() {
    let fakes = three();
    let mut bench = choosing(&fakes);
    bench.element.set_property_from_str("mode", "every-frame");
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    let gate = fakes[0].delay.lock().unwrap();
    bench.harness.push(flat_frame(&info, 0, 50)).unwrap();
    swap(&bench, "second");
    swap(&bench, "third");
    drop(gate);
    assert!(bench.harness.pull().is_ok());
    let alive = |fake: &Fake| fake.alive.load(std::sync::atomic::Ordering::SeqCst);
    until("the replaced engines are gone", || {
        alive(&fakes[0]) + alive(&fakes[1]) == 0
    });
    assert_eq!(alive(&fakes[2]), 1);
}

#[test]
fn frames_that_wait_for_a_model_that_was_replaced_count() {
    let fakes = three();
    let mut bench = choosing(&fakes);
    bench.element.set_property_from_str("mode", "every-frame");
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    bench.harness.push_and_pull(flat_frame(&info, 0, 50)).unwrap();
    let gate = fakes[0].delay.lock().unwrap();
    bench.harness.push(flat_frame(&info, 1, 50)).unwrap();
    swap(&bench, "second");
    assert_eq!(bench.stat("inferred"), 1);
    drop(gate);
    assert!(bench.harness.pull().is_ok());
    bench.harness.push_and_pull(flat_frame(&info, 2, 50)).unwrap();
    assert_eq!(
        ["frames", "inferred", "reused", "dropped"].map(|name| bench.stat(name)),
        [3, 3, 0, 0]
    );
}

#[test]
fn a_failure_of_a_replaced_model_counts_if_a_frame_waits_for_it() {
    for (mode, ends) in [("latest", false), ("every-frame", true)] {
        let fakes = three();
        let mut bench = choosing(&fakes);
        bench.element.set_property_from_str("mode", mode);
        bench.set_caps(VideoFormat::Gray8, 32, 16);
        let info = video_info(VideoFormat::Gray8, 32, 16);
        // Its size is known, and a mask of it is there.
        bench.harness.push(flat_frame(&info, 0, 50)).unwrap();
        until("the first mask is there", || bench.stat("inferred") == 1);
        let gate = fakes[0].delay.lock().unwrap();
        bench.harness.push(flat_frame(&info, 1, 50)).unwrap();
        swap(&bench, "second");
        fakes[0].behave(Behaviour::Fails);
        drop(gate);
        if !ends {
            until("the first engine is gone", || {
                fakes[0].alive.load(std::sync::atomic::Ordering::SeqCst) == 0
            });
            bench.harness.push(flat_frame(&info, 2, 50)).unwrap();
            until("the second engine is at work", || fakes[1].segmented() == 1);
            assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
        } else {
            let error = bench
                .bus
                .timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Error]);
            assert!(error_text(&error.unwrap()).contains("out of luck"));
        }
    }
}

#[test]
fn a_flush_frees_frames_that_wait_for_a_model_that_was_replaced() {
    let fakes = three();
    let mut bench = choosing(&fakes);
    bench.element.set_property_from_str("mode", "every-frame");
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    let gate = fakes[0].delay.lock().unwrap();
    for index in 0..2 {
        bench.harness.push(flat_frame(&info, index, 50)).unwrap();
    }
    swap(&bench, "second");
    let sinkpad = bench.element.static_pad("sink").unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn({
        let sinkpad = sinkpad.clone();
        move || sender.send(sinkpad.send_event(gst::event::FlushStart::new()))
    });
    let flushed = receiver.recv_timeout(Duration::from_secs(20));
    drop(gate);
    assert_eq!(flushed, Ok(true));
    assert!(sinkpad.send_event(gst::event::FlushStop::new(true)));
    assert!(sinkpad.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    let output = bench.harness.push_and_pull(flat_frame(&info, 5, 50)).unwrap();
    assert_eq!(FrameReport::from_buffer(&output).unwrap().regions.len(), 2);
}

#[test]
fn a_model_that_is_set_on_the_way_to_paused_is_loaded() {
    let fakes = three();
    let bench = choosing(&fakes);
    bench.element.set_state(gst::State::Null).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let (reply, go) = std::sync::mpsc::channel();
    // The first load, for READY, and what is set while the second one runs, for PAUSED.
    let (go, loads) = (std::sync::Mutex::new(go), std::sync::atomic::AtomicUsize::new(0));
    bench.element.set_engine_factory(Arc::new({
        let fakes = fakes.clone();
        move |request| {
            if loads.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 {
                sender.send(()).unwrap();
                go.lock().unwrap().recv().unwrap();
            }
            let named = |fake: &&Fake| request.model.to_string().ends_with(fake.name);
            Ok(fakes.iter().find(named).unwrap_or(&fakes[0]).engine())
        }
    }));
    bench.element.set_state(gst::State::Ready).unwrap();
    bench.element.set_property("model", "second");
    let starting = std::thread::spawn({
        let element = bench.element.clone();
        move || element.set_state(gst::State::Paused)
    });
    receiver.recv().unwrap();
    bench.element.set_property("model", "third");
    reply.send(()).unwrap();
    starting.join().unwrap().unwrap();
    until("the model that was set last is there", || model(&bench) == "third");
}

#[test]
fn regions_may_be_chosen_before_the_model_that_has_them() {
    let fakes = three();
    let mut bench = choosing(&fakes);
    bench.element.set_state(gst::State::Ready).unwrap();
    bench.element.set_property("model", "second");
    bench.element.set_property("foreground-regions", "4");
    bench.element.set_property("model", "third");
    bench.element.set_state(gst::State::Playing).unwrap();
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    let chosen = |bench: &mut Bench, index| {
        let output = bench.harness.push_and_pull(flat_frame(&info, index, 50)).unwrap();
        let report = FrameReport::from_buffer(&output).unwrap();
        report.regions.iter().position(|region| region.foreground)
    };
    assert_eq!(chosen(&mut bench, 0), Some(3));
    // The second has no such region: its own, and one warning.
    swap(&bench, "second");
    assert_eq!(chosen(&mut bench, 1), Some(1));
    assert_eq!(chosen(&mut bench, 2), Some(1));
    let warnings = bench.messages(gst::MessageType::Warning);
    assert!(
        warnings.len() == 1 && warnings[0].contains("foreground-regions"),
        "{warnings:?}"
    );
    swap(&bench, "third");
    assert_eq!(chosen(&mut bench, 3), Some(3));
    assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
}
