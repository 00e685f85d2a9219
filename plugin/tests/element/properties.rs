//! Properties while the element plays, and what the buffers tell.

use factorseg_model::SegmenterOptions;
use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

#[test]
fn options_reach_the_engine_when_they_change() {
    let fake = Fake::new(Behaviour::Whole);
    let mut bench = Bench::new(&fake);
    // With it colours are the motion model's to ask.
    bench.element.set_property("motion-model", false);
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let mut frames = 0..;
    let mut push = |bench: &mut Bench| {
        let frame = flat_frame(&info, frames.next().unwrap(), 1);
        let output = bench.harness.push_and_pull(frame).unwrap();
        FrameReport::from_buffer(&output).unwrap()
    };
    push(&mut bench);
    push(&mut bench);
    bench.element.set_property("class", "Tractor");
    bench.element.set_property("timestep", 200u32);
    let report = push(&mut bench);
    assert_eq!((report.class.as_str(), report.timestep), ("tractor", 200));
    bench.element.set_property("seed", u64::MAX);
    bench.element.set_property("samples", 4u32);
    bench.element.set_property_from_str("fill-holes", "none");
    bench.element.set_property("class", "none");
    push(&mut bench);
    push(&mut bench);
    bench.element.set_property("motion-model", true);
    push(&mut bench);
    bench.element.set_property("motion-model", false);
    push(&mut bench);
    bench.element.set_property("color-model", false);
    push(&mut bench);
    let default = SegmenterOptions::default();
    let changed = SegmenterOptions {
        class: Some(1),
        timestep: 200,
        ..default.clone()
    };
    let again = SegmenterOptions {
        class: None,
        seed: u64::MAX,
        samples: 4,
        fill_holes: factorseg_refine::FillHoles::None,
        ..changed.clone()
    };
    let alone = SegmenterOptions {
        color_model: false,
        ..again.clone()
    };
    let expected = [default, changed, again.clone(), alone.clone(), again, alone];
    assert_eq!(*fake.options.lock().unwrap(), expected);
}

#[test]
fn another_class_while_playing_leaves_no_frame_without_a_mask() {
    for mode in ["every-frame", "latest"] {
        let fake = Fake::slow(Behaviour::Whole, 10);
        let mut bench = Bench::new(&fake);
        bench.element.set_property_from_str("mode", mode);
        bench.set_caps(VideoFormat::I420, 64, 48);
        let info = video_info(VideoFormat::I420, 64, 48);
        let mut frames = 0..;
        let mut class = |bench: &mut Bench| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            let frame = flat_frame(&info, frames.next().unwrap(), 1);
            let output = bench.harness.push_and_pull(frame).unwrap();
            FrameReport::from_buffer(&output).map(|report| report.class)
        };
        until("there is a mask", || class(&mut bench).is_some());
        for name in ["tabby", "tractor", "none", "tabby"] {
            let before = class(&mut bench).expect("a mask");
            bench.element.set_property("class", name);
            let mut old = 0;
            until("the class counts", || {
                let class = class(&mut bench).expect("a gap");
                assert!(class == name || class == before, "{class}");
                old += usize::from(class != name);
                class == name
            });
            // In `every-frame` it counts with the next frame.
            assert!(mode == "latest" || old == 0, "{old}");
        }
    }
}

#[test]
fn still_frames_cost_no_inference() {
    let fake = Fake::new(Behaviour::Brightness);
    let mut bench = Bench::new(&fake);
    bench.element.set_property_from_str("on-error", "passthrough");
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    let mut frames = 0..;
    // How many inferences a frame of this brightness costs, and whether it has a mask.
    let mut push = |bench: &mut Bench, byte| {
        let before = fake.segmented();
        let frame = flat_frame(&info, frames.next().unwrap(), byte);
        let output = bench.harness.push_and_pull(frame).unwrap();
        (fake.segmented() - before, FrameReport::from_buffer(&output).is_some())
    };
    let segmented = (1, true);
    let skipped = (0, true);
    assert_eq!([50, 50].map(|byte| push(&mut bench, byte)), [segmented; 2]);
    bench.element.set_property("skip-still", 1u32);
    assert_eq!(
        [50, 50, 50].map(|byte| push(&mut bench, byte)),
        [segmented, skipped, skipped]
    );
    assert_eq!([51, 51].map(|byte| push(&mut bench, byte)), [segmented, skipped]);
    bench.element.set_property("skip-still", 5u32);
    // What creeps is compared with what was segmented.
    let creeping = [51, 54, 57, 60, 63].map(|byte| push(&mut bench, byte));
    assert_eq!(creeping, [segmented, skipped, segmented, skipped, segmented]);
    bench.element.set_property("timestep", 40u32);
    assert_eq!([63, 63].map(|byte| push(&mut bench, byte)), [segmented, skipped]);
    // After a failure there is no mask to go on with.
    fake.behave(Behaviour::Fails);
    assert_eq!(
        [63, 90, 90].map(|byte| push(&mut bench, byte)),
        [skipped, (1, false), (1, false)]
    );
    fake.behave(Behaviour::Brightness);
    assert_eq!([90, 90].map(|byte| push(&mut bench, byte)), [segmented, skipped]);
    bench.element.set_property_from_str("mode", "latest");
    let inferred = bench.stat("inferred");
    push(&mut bench, 90);
    until("the first mask of this plan is there", || {
        bench.stat("inferred") == inferred + 1
    });
    assert_eq!([90, 90].map(|byte| push(&mut bench, byte)), [skipped; 2]);
}

#[test]
fn drawing_changes_with_the_next_frame() {
    let fake = Fake::new(Behaviour::Whole);
    let mut bench = Bench::new(&fake);
    bench.set_caps(VideoFormat::Rgb, 16, 8);
    let info = video_info(VideoFormat::Rgb, 16, 8);
    let pixel = |bench: &mut Bench| {
        let output = bench.harness.push_and_pull(flat_frame(&info, 0, 100)).unwrap();
        bytes(&output)[..3].to_vec()
    };
    bench.element.set_property("motion-model", false);
    bench.element.set_property("colors", "ff0000");
    assert_eq!(pixel(&mut bench), [178, 50, 50]);
    bench.element.set_property("alpha", 1.0);
    assert_eq!(pixel(&mut bench), [255, 0, 0]);
    bench.element.set_property("foreground-regions", "2");
    assert_eq!(pixel(&mut bench), [100, 100, 100]);
    bench.element.set_property_from_str("overlay", "foreground");
    bench.element.set_property("background-color", 0x0a0b0cu32);
    assert_eq!(pixel(&mut bench), [10, 11, 12]);
    bench.element.set_property_from_str("overlay", "none");
    assert_eq!(pixel(&mut bench), [100, 100, 100]);
}

#[test]
fn everything_may_change_at_any_time() {
    let fake = Fake::new(Behaviour::Brightness);
    let mut bench = Bench::new(&fake);
    bench.harness.set_drop_buffers(true);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let rounds = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let changing = std::thread::spawn({
        let (element, stop, rounds) = (bench.element.clone(), stop.clone(), rounds.clone());
        move || {
            let changes = [
                ("overlay", ["contour", "foreground", "blur-background", "tint"]),
                ("refine", ["guided", "none", "guided", "none"]),
                ("mode", ["latest", "every-frame", "auto", "latest"]),
                ("foreground-regions", ["1", "2,3", "all", "auto"]),
                ("interval", ["1", "3", "2", "7"]),
                ("class", ["none", "tabby", "1", "Tractor"]),
                ("smoothing", ["0", "0.5", "0.9", "0"]),
                ("sharpness", ["1", "4", "100", "1.5"]),
                ("colors", ["", "ff0000", "00ff00,0000ff", "ffffff"]),
            ];
            let mut round = 0;
            let mut pads = Vec::new();
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let (name, values) = changes[round % changes.len()];
                element.set_property_from_str(name, values[round / 3 % 4]);
                if round % 5 == 0 {
                    let pad = element.request_pad_simple("mask_%u").unwrap();
                    pad.set_property_from_str("format", ["labels", "regions", "foreground"][round % 3]);
                    pads.push(pad);
                }
                if pads.len() > 3 {
                    element.release_request_pad(&pads.remove(round % 4));
                }
                round += 1;
                rounds.store(round, std::sync::atomic::Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
        }
    });
    let formats = [
        VideoFormat::I420,
        VideoFormat::Rgba,
        VideoFormat::Yuy2,
        VideoFormat::Gray8,
    ];
    let mut frames = 0;
    while frames < 600 || rounds.load(std::sync::atomic::Ordering::SeqCst) < 300 {
        let index = frames;
        frames += 1;
        let (format, size) = (formats[index as usize / 20 % 4], 20 + index as u32 / 30 % 20);
        if index % 10 == 0 {
            bench.set_caps(format, size, 64 - size);
        }
        let info = video_info(format, size, 64 - size);
        assert!(
            bench.harness.push(flat_frame(&info, index, index as u8)).is_ok(),
            "frame {index}"
        );
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    changing.join().unwrap();
    assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
    assert_eq!(bench.stat("frames"), frames);
}

#[test]
fn every_property_reads_as_it_was_written() {
    let element = Fake::new(Behaviour::Whole).element();
    for (name, value) in [
        ("model", "x.safetensors"),
        ("device", "cuda:1"),
        ("precision", "bf16"),
        ("threads", "2"),
        ("class", "tabby"),
        ("target-class", "tractor"),
        ("post-messages", "true"),
        ("timestep", "77"),
        ("seed", "12345678901234567890"),
        ("samples", "3"),
        ("color-model", "false"),
        ("fill-holes", "all"),
        ("skip-still", "2"),
        ("blur-strength", "7"),
        ("threshold", "0.25"),
        ("min-area", "0.125"),
        ("motion-model", "false"),
        ("mode", "latest"),
        ("interval", "5"),
        ("qos", "false"),
        ("overlay", "blur-background"),
        ("alpha", "0.25"),
        ("colors", "112233"),
        ("background-color", "255"),
        ("foreground-regions", "all"),
        ("refine", "guided"),
        ("sharpness", "2.5"),
        ("smoothing", "0.5"),
        ("on-error", "passthrough"),
    ] {
        element.set_property_from_str(name, value);
        let read = element.property_value(name).serialize().unwrap();
        assert_eq!(read.trim_matches('"'), value, "{name}");
    }
    let writable = element
        .list_properties()
        .iter()
        .filter(|property| property.owner_type() == element.type_())
        .filter(|property| property.flags().contains(gst::glib::ParamFlags::WRITABLE))
        .count();
    assert_eq!(writable, 29, "a property is missing above");
}

#[test]
fn the_meta_survives_a_conversion_and_a_tee() {
    let text = "videotestsrc num-buffers=3 ! factorseg name=s motion-model=false ! tee name=t \
                t. ! queue ! videoconvert ! videoscale ! video/x-raw,format=RGB,width=33,height=77 ! fakesink name=sink \
                t. ! queue ! fakesink";
    let buffers = played(&launch(text, &[("s", &Fake::new(Behaviour::Halves))]));
    assert_eq!(buffers.len(), 3);
    for buffer in buffers {
        let report = FrameReport::from_buffer(&buffer).unwrap();
        assert_eq!(report.regions[0].bounds.unwrap().width, 0.5);
    }
}

#[test]
fn the_class_has_a_name_for_every_language_and_its_old_one() {
    let element = Fake::new(Behaviour::Whole).element();
    let deprecated = |name: &str| {
        let flags = element.find_property(name).unwrap().flags();
        flags.contains(gst::glib::ParamFlags::DEPRECATED)
    };
    assert!(deprecated("class") && !deprecated("target-class"));
    for (set, read) in [("class", "target-class"), ("target-class", "class")] {
        let told = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let heard = told.clone();
        let watch = element.connect_notify(Some(read), move |_, _| {
            heard.store(true, std::sync::atomic::Ordering::SeqCst)
        });
        element.set_property(set, set);
        assert_eq!(element.property::<String>(read), set);
        assert!(
            told.load(std::sync::atomic::Ordering::SeqCst),
            "{read} is not notified of"
        );
        element.disconnect(watch);
    }
}

#[test]
fn the_children_are_those_that_are_announced() {
    use std::sync::{Arc, Mutex};
    let element = Fake::new(Behaviour::Whole).element();
    let announced = Arc::new(Mutex::new(Vec::new()));
    let (added, removed) = (announced.clone(), announced.clone());
    element.connect_child_added(move |_, _, name| added.lock().unwrap().push(name.to_owned()));
    element.connect_child_removed(move |_, _, name| removed.lock().unwrap().retain(|old| old != name));
    let listed = || {
        let children = (0..element.children_count()).map(|index| element.child_by_index(index).unwrap());
        children
            .map(|child| child.downcast::<gst::Pad>().unwrap().name().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(), *announced.lock().unwrap());
    let pads = ["mask_%u", "mask_9", "mask_%u"].map(|name| element.request_pad_simple(name).unwrap());
    assert_eq!(listed(), ["mask_0", "mask_9", "mask_1"]);
    assert_eq!(listed(), *announced.lock().unwrap());
    assert!(element.child_by_name("mask_9").is_some() && element.child_by_name("mask_2").is_none());
    assert!(element.child_by_index(3).is_none());
    element.release_request_pad(&pads[1]);
    assert_eq!(listed(), ["mask_0", "mask_1"]);
    assert_eq!(listed(), *announced.lock().unwrap());
}

#[test]
fn statistics_begin_anew_with_each_run() {
    let fake = Fake::new(Behaviour::Whole);
    let mut bench = Bench::new(&fake);
    for _ in 0..2 {
        bench.harness.play();
        bench.set_caps(VideoFormat::I420, 64, 48);
        let info = video_info(VideoFormat::I420, 64, 48);
        for index in 0..3 {
            bench.harness.push_and_pull(flat_frame(&info, index, 1)).unwrap();
        }
        let counts = ["frames", "inferred", "reused", "dropped"].map(|name| bench.stat(name));
        assert_eq!(counts, [3, 3, 0, 0]);
        // The engine stays, the counts do not.
        bench.element.set_state(gst::State::Ready).unwrap();
        bench.element.set_state(gst::State::Playing).unwrap();
        let counts = ["frames", "inferred", "reused", "dropped", "latency-p50"].map(|name| bench.stat(name));
        assert_eq!(counts, [0; 5]);
        let sink = bench.element.static_pad("sink").unwrap();
        sink.send_event(gst::event::StreamStart::new("again"));
        sink.send_event(gst::event::Caps::new(&info.to_caps().unwrap()));
        sink.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    }
}

#[test]
fn a_late_frame_costs_no_whole_interval() {
    for motion in [false, true] {
        let fake = Fake::new(Behaviour::Whole);
        let mut bench = Bench::new(&fake);
        bench.element.set_property_from_str("mode", "every-frame");
        bench.element.set_property("interval", 4u32);
        bench.element.set_property("motion-model", motion);
        bench.set_caps(VideoFormat::I420, 64, 48);
        let info = video_info(VideoFormat::I420, 64, 48);
        let mut seen = Vec::new();
        for index in 0..12 {
            if index == 4 {
                // Frame 3 was late by one: frame 4 is not segmented, though it is due.
                let event = gst::event::Qos::new(
                    gst::QOSType::Underflow,
                    1.0,
                    FRAME_DURATION.nseconds() as i64,
                    3 * FRAME_DURATION,
                );
                assert!(bench.harness.push_upstream_event(event));
            }
            let before = fake.segmented();
            bench.harness.push_and_pull(flat_frame(&info, index, 1)).unwrap();
            if fake.segmented() > before {
                seen.push(index);
            }
        }
        assert_eq!(seen, [0, 5, 9]);
        // Motion spares no frame but the late one.
        assert_eq!(bench.stat("reused"), if motion { 1 } else { 9 });
    }
}

#[test]
fn messages_tell_of_each_mask_once() {
    let fake = Fake::new(Behaviour::Halves);
    let mut bench = Bench::new(&fake);
    bench.element.set_property("interval", 2u32);
    bench.element.set_property("motion-model", false);
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let told = |bench: &Bench| -> Vec<gst::Structure> {
        std::iter::from_fn(|| bench.bus.pop_filtered(&[gst::MessageType::Element]))
            .filter_map(|message| message.structure().map(|structure| structure.to_owned()))
            .collect()
    };
    bench.harness.push_and_pull(flat_frame(&info, 0, 1)).unwrap();
    assert!(told(&bench).is_empty(), "off by default");
    bench.element.set_property("post-messages", true);
    for index in 1..5 {
        bench.harness.push_and_pull(flat_frame(&info, index, 1)).unwrap();
    }
    let told = told(&bench);
    let times: Vec<_> = told
        .iter()
        .map(|facts| facts.get::<gst::ClockTime>("mask-pts").unwrap())
        .collect();
    assert_eq!(times, [2 * FRAME_DURATION, 4 * FRAME_DURATION]);
    for (facts, time) in told.iter().zip(times) {
        assert_eq!(facts.name(), "factorseg");
        assert_eq!(facts.get::<gst::ClockTime>("running-time"), Ok(time));
        assert_eq!(facts.get::<gst::Array>("regions").unwrap().len(), 3);
    }
}
