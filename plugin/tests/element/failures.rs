//! Engines, models and settings that are wrong.

use std::sync::Arc;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

const BROKEN: [(Behaviour, &str); 10] = [
    (Behaviour::Fails, "out of luck"),
    (Behaviour::Panics, "a bug in the engine"),
    (Behaviour::PanicsOnSize, "no size for 64x48"),
    (Behaviour::NotANumber, "NaN"),
    (Behaviour::WrongSize, "15x8"),
    (Behaviour::Transposed, "8x16"),
    (Behaviour::WrongRegions, "4 regions"),
    (Behaviour::NoMaps, "0 region maps"),
    (Behaviour::EmptyInput, "0x8"),
    (Behaviour::HugeInput, "1048576x1048576"),
];

#[test]
fn a_broken_engine_is_one_error_and_the_next_start_works() {
    for (behaviour, text) in BROKEN {
        for mode in ["every-frame", "latest"] {
            let fake = Fake::new(behaviour);
            let element = fake.element();
            element.set_property_from_str("mode", mode);
            let mut bench = Bench::with(element);
            bench.set_caps(VideoFormat::I420, 64, 48);
            let info = video_info(VideoFormat::I420, 64, 48);
            let mut index = 0;
            until("the stream fails", || {
                index += 1;
                let flow = bench.harness.push(flat_frame(&info, index, 1));
                flow == Err(gst::FlowError::Error)
            });
            // Two frames may be under way.
            assert!(mode == "latest" || index <= 3, "{behaviour:?}: {index}");
            assert!(bench.harness.push(flat_frame(&info, index + 1, 1)).is_err());
            // In `latest` the inference thread posts it, just after the stream has begun to fail.
            let mut errors = Vec::new();
            until("the error is posted", || {
                errors.extend(bench.messages(gst::MessageType::Error));
                !errors.is_empty()
            });
            assert_eq!(errors.len(), 1, "{behaviour:?} {mode}: {errors:?}");
            assert!(errors[0].contains(text), "{behaviour:?}: {errors:?}");

            fake.behave(Behaviour::Whole);
            let element = bench.element.clone();
            drop(bench);
            element.set_state(gst::State::Null).unwrap();
            element.set_property_from_str("mode", "every-frame");
            let mut bench = Bench::with(element);
            bench.set_caps(VideoFormat::I420, 64, 48);
            bench.harness.push_and_pull(flat_frame(&info, 0, 1)).unwrap();
            assert_eq!(bench.stat("inferred"), 1);
        }
    }
}

#[test]
fn passthrough_is_one_warning_and_frames_as_they_came() {
    for (behaviour, text) in BROKEN {
        for mode in ["every-frame", "latest"] {
            let element = Fake::new(behaviour).element();
            element.set_property_from_str("mode", mode);
            element.set_property_from_str("on-error", "passthrough");
            let mut bench = Bench::with(element);
            bench.set_caps(VideoFormat::I420, 64, 48);
            let info = video_info(VideoFormat::I420, 64, 48);
            let mut warnings = Vec::new();
            let mut index = 0;
            until("there is a warning", || {
                index += 1;
                let input = flat_frame(&info, index, 77);
                let output = bench.harness.push_and_pull(input).unwrap();
                assert!(bytes(&output).iter().all(|&byte| byte == 77));
                warnings.extend(bench.messages(gst::MessageType::Warning));
                !warnings.is_empty() && index >= 10
            });
            assert_eq!(warnings.len(), 1, "{behaviour:?}: {warnings:?}");
            assert!(warnings[0].contains(text), "{behaviour:?}: {warnings:?}");
            assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
        }
    }
}

#[test]
fn an_engine_that_recovers_is_used_again() {
    let fake = Fake::new(Behaviour::Fails);
    let element = fake.element();
    element.set_property_from_str("on-error", "passthrough");
    let mut bench = Bench::with(element);
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    bench.harness.push_and_pull(flat_frame(&info, 0, 77)).unwrap();
    fake.behave(Behaviour::Whole);
    let output = bench.harness.push_and_pull(flat_frame(&info, 1, 77)).unwrap();
    assert!(bytes(&output).iter().any(|&byte| byte != 77));
}

#[test]
fn a_model_that_does_not_load_is_one_error() {
    init();
    let mut factories: Vec<(gstfactorseg::factorseg::EngineFactory, &str)> = vec![
        (Arc::new(|_| Err("the file is torn".into())), "the file is torn"),
        (Arc::new(|_| panic!("a bug in the loader")), "a bug in the loader"),
    ];
    for (factory, text) in factories.drain(..) {
        let element = Fake::new(Behaviour::Whole).element();
        element.set_engine_factory(factory);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        assert!(element.set_state(gst::State::Playing).is_err());
        let error = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let error = error_text(&error);
        assert!(error.contains(text), "{error}");
        assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
        element.set_state(gst::State::Null).unwrap();
        element.set_bus(None);
    }
}

#[test]
fn a_missing_checkpoint_is_named() {
    init();
    let element = gst::ElementFactory::make("factorseg")
        .property("model", "/no/such/checkpoint.safetensors")
        .property("device", "cpu")
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    let error = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    assert!(error_text(&error).contains("/no/such/checkpoint.safetensors"));
    element.set_state(gst::State::Null).unwrap();
    element.set_bus(None);
}

#[test]
fn values_that_make_no_sense_are_errors_that_name_them() {
    let wrong = [
        ("class", "unicorn"),
        ("device", "abacus"),
        ("colors", "ff0000,rouge"),
        ("foreground-regions", "2,4"),
        ("timestep", "1001"),
    ];
    for (property, value) in wrong {
        // Before the start.
        let element = Fake::new(Behaviour::Whole).element();
        element.set_property_from_str(property, value);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        assert!(element.set_state(gst::State::Playing).is_err(), "{property}");
        let error = error_text(&bus.pop_filtered(&[gst::MessageType::Error]).unwrap());
        let part = value.rsplit(',').next().unwrap();
        assert!(error.contains(property) && error.contains(part), "{error}");
        assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
        element.set_state(gst::State::Null).unwrap();
        element.set_bus(None);
    }
    for (property, value) in wrong {
        if property == "device" {
            continue;
        }
        // While it plays: one warning, with the next frame, that leaves it as it was.
        for policy in ["fail", "passthrough"] {
            let element = Fake::new(Behaviour::Whole).element();
            element.set_property_from_str("on-error", policy);
            let mut bench = Bench::with(element);
            bench.set_caps(VideoFormat::I420, 64, 48);
            let info = video_info(VideoFormat::I420, 64, 48);
            bench.harness.push_and_pull(flat_frame(&info, 0, 77)).unwrap();
            let before = bench.harness.push_and_pull(flat_frame(&info, 1, 77)).unwrap();
            bench.element.set_property_from_str(property, value);
            let after = bench.harness.push_and_pull(flat_frame(&info, 2, 77)).unwrap();
            assert_eq!(bytes(&before), bytes(&after), "{property}");
            let messages = bench.messages(gst::MessageType::Warning);
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].contains(property), "{messages:?}");
            // The others still change, and nobody is told twice.
            bench.element.set_property("alpha", 1.0);
            let changed = bench.harness.push_and_pull(flat_frame(&info, 3, 77)).unwrap();
            assert_ne!(bytes(&changed), bytes(&after), "{property}");
            let told = [gst::MessageType::Warning, gst::MessageType::Error].map(|kind| bench.messages(kind));
            assert_eq!(told, [[""; 0]; 2], "{property}");
        }
    }
}

/// A GPU that is full after some frames, and works again later.
#[test]
fn a_device_that_fails_in_the_middle_is_an_error_or_a_pass_through() {
    let info = video_info(VideoFormat::I420, 64, 48);
    for (policy, mode) in [
        ("fail", "every-frame"),
        ("fail", "latest"),
        ("passthrough", "every-frame"),
        ("passthrough", "latest"),
    ] {
        let fake = Fake::new(Behaviour::Whole);
        let element = fake.element();
        element.set_property_from_str("on-error", policy);
        element.set_property_from_str("mode", mode);
        let mut bench = Bench::with(element);
        bench.harness.set_drop_buffers(true);
        bench.set_caps(VideoFormat::I420, 64, 48);
        let mut index = 0;
        let mut push = |bench: &mut Bench| {
            index += 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
            bench.harness.push(flat_frame(&info, index, 77))
        };
        until("it works", || {
            push(&mut bench).unwrap();
            bench.stat("inferred") > 3
        });
        fake.behave(Behaviour::Full);
        let (kind, other) = match policy {
            "fail" => (gst::MessageType::Error, gst::MessageType::Warning),
            _ => (gst::MessageType::Warning, gst::MessageType::Error),
        };
        let mut messages = Vec::new();
        until("it is told", || {
            let flow = push(&mut bench);
            assert!(policy == "fail" || flow.is_ok());
            messages.extend(bench.messages(kind));
            !messages.is_empty()
        });
        assert!(messages[0].contains("cuda:0: out of memory"), "{messages:?}");
        if policy == "fail" {
            until("the stream ends", || push(&mut bench).is_err());
        } else {
            let before = bench.stat("inferred");
            fake.behave(Behaviour::Whole);
            until("it works again", || {
                push(&mut bench).unwrap();
                bench.stat("inferred") > before + 3
            });
        }
        messages.extend(bench.messages(kind));
        assert_eq!((messages.len(), bench.messages(other).len()), (1, 0), "{messages:?}");
    }
}
