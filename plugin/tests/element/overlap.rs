//! Frames that wait for their own masks are in the engine while the one before them is pushed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

/// `downstream` takes its time for each buffer.
fn pipeline(fake: &Fake, frames: i32, downstream: Duration) -> gst::Pipeline {
    let text = format!(
        "videotestsrc num-buffers={frames} pattern=black ! factorseg name=s ! identity name=slow sleep-time={} ! fakesink name=sink",
        downstream.as_micros()
    );
    launch(&text, &[("s", fake)])
}

fn play(pipeline: &gst::Pipeline) -> Duration {
    let start = Instant::now();
    play_to_the_end(pipeline);
    let duration = start.elapsed();
    pipeline.set_state(gst::State::Null).unwrap();
    duration
}

#[test]
fn a_slow_downstream_and_a_slow_engine_work_at_the_same_time() {
    let (frames, each) = (30, Duration::from_millis(20));
    let fake = Fake::slow(Behaviour::Whole, each.as_millis() as u64);
    let pipeline = pipeline(&fake, frames, each);
    let buffers = record(&pipeline.by_name("sink").unwrap());
    let duration = play(&pipeline);
    println!("{frames} frames, {each:?} in the engine and {each:?} downstream: {duration:?}");
    // One after the other, they would take at least this long.
    let serial = 2 * frames as u32 * each;
    assert!(duration < serial * 3 / 4, "{duration:?} of {serial:?}");
    let buffers = buffers.lock().unwrap();
    assert_eq!(buffers.len(), frames as usize);
    assert!(buffers.is_sorted_by_key(|buffer| buffer.pts()));
    for buffer in &*buffers {
        assert_eq!(FrameReport::from_buffer(buffer).unwrap().mask_pts, buffer.pts());
    }
}

#[test]
fn a_single_frame_needs_no_other_to_leave() {
    let mut bench = Bench::new(&Fake::slow(Behaviour::Whole, 20));
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    for index in 0..5 {
        let output = bench.harness.push_and_pull(flat_frame(&info, index, 1)).unwrap();
        assert_eq!(output.pts(), Some(index * FRAME_DURATION));
    }
}

#[test]
fn nothing_overtakes_the_frames_under_way() {
    let fake = Fake::slow(Behaviour::Whole, 30);
    let mut bench = Bench::new(&fake);
    let mut sent = Vec::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    bench.element.static_pad("src").unwrap().add_probe(kinds, {
        let seen = seen.clone();
        move |_, probe| {
            let what = match (&probe.data, probe.buffer()) {
                (_, Some(buffer)) => format!("{}", buffer.pts().unwrap()),
                (Some(gst::PadProbeData::Event(event)), _) => format!("{:?}", event.type_()),
                _ => "?".into(),
            };
            seen.lock().unwrap().push(what);
            gst::PadProbeReturn::Ok
        }
    });
    for index in 0..6u64 {
        if index % 2 == 0 {
            // Two frames are under way.
            bench.set_caps(VideoFormat::I420, 64 + index as u32, 48);
            sent.push("Caps".to_owned());
        }
        let info = video_info(VideoFormat::I420, 64 + index as u32 / 2 * 2, 48);
        bench.harness.push(flat_frame(&info, index, 1)).unwrap();
        sent.push((index * FRAME_DURATION).to_string());
    }
    let mut tags = gst::TagList::new();
    tags.get_mut()
        .unwrap()
        .add::<gst::tags::Title>(&"title", gst::TagMergeMode::Append);
    assert!(bench.harness.push_event(gst::event::Tag::new(tags)));
    assert!(bench.harness.push_event(gst::event::Eos::new()));
    sent.extend(["Tag".to_owned(), "Eos".to_owned()]);
    let seen: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .filter(|what| !["StreamStart", "Segment"].contains(&what.as_str()))
        .cloned()
        .collect();
    assert_eq!(seen, sent);
    assert_eq!(fake.segmented(), 6);
}

#[test]
fn an_error_downstream_stops_the_source_and_is_told() {
    // `identity` fails after some buffers, with frames in the engine; the element must not hang.
    for mode in ["every-frame", "latest"] {
        let fake = Fake::slow(Behaviour::Whole, 5);
        let pipeline = pipeline(&fake, -1, Duration::ZERO);
        segmenter(&pipeline, "s").set_property_from_str("mode", mode);
        pipeline.by_name("slow").unwrap().set_property("error-after", 4i32);
        pipeline.set_state(gst::State::Playing).unwrap();
        let error = pipeline
            .bus()
            .unwrap()
            .timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Error])
            .expect("an error");
        assert_eq!(error.src().unwrap().name(), "slow", "{mode}");
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(fake.alive.load(std::sync::atomic::Ordering::SeqCst), 0);
    }
}

#[test]
fn the_last_frame_s_error_is_told_at_the_end() {
    // Downstream refuses the only frame: no frame follows that could return it.
    let mut bench = Bench::new(&Fake::slow(Behaviour::Whole, 20));
    bench.set_caps(VideoFormat::I420, 64, 48);
    bench
        .element
        .static_pad("src")
        .unwrap()
        .add_probe(gst::PadProbeType::BUFFER, |_, probe| {
            probe.flow_res = Err(gst::FlowError::NotNegotiated);
            gst::PadProbeReturn::Handled
        });
    let info = video_info(VideoFormat::I420, 64, 48);
    bench.harness.push(flat_frame(&info, 0, 1)).unwrap();
    bench.harness.push_event(gst::event::Eos::new());
    let errors = bench.messages(gst::MessageType::Error);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("NotNegotiated"), "{errors:?}");
}

#[test]
fn an_error_upstream_and_an_end_in_the_middle_leave_nothing_behind() {
    for (property, value) in [("error-after", 7i32), ("eos-after", 7)] {
        for mode in ["every-frame", "latest"] {
            let fake = Fake::slow(Behaviour::Whole, 5);
            let text = format!(
                "videotestsrc ! identity {property}={value} ! factorseg name=s mode={mode} ! fakesink name=sink"
            );
            let pipeline = launch(&text, &[("s", &fake)]);
            let message = play_until_told(&pipeline);
            let ends = message.type_() == gst::MessageType::Eos;
            assert_eq!(ends, property == "eos-after", "{message:?}");
            let stats = pipeline.by_name("sink").unwrap().property::<gst::Structure>("stats");
            if ends {
                // Identity passes what comes before the seventh; each leaves before the end does.
                assert_eq!(stats.get::<u64>("rendered").unwrap(), 6, "{mode}");
            }
            pipeline.set_state(gst::State::Null).unwrap();
            assert_eq!(fake.alive.load(std::sync::atomic::Ordering::SeqCst), 0);
        }
    }
}
