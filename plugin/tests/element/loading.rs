//! How a model comes: what is told of it, and who waits for it.

use std::sync::{Arc, Mutex, mpsc};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

/// The progress messages so far.
fn progress(bus: &gst::Bus) -> Vec<gst::ProgressType> {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Progress]))
        .map(|message| {
            // Not by `Progress::get`, which loses the memory of its texts.
            let told = message.structure().unwrap();
            assert_eq!(told.get::<&str>("code").unwrap(), "model");
            assert!(!told.get::<&str>("text").unwrap().is_empty());
            told.get::<gst::ProgressType>("type").unwrap()
        })
        .collect()
}

#[test]
fn loading_is_told_as_progress_and_no_frame_waits_for_it() {
    let fake = Fake::new(Behaviour::Whole);
    let element = fake.element();
    let threads = Arc::new(Mutex::new(Vec::new()));
    let (open, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    element.set_engine_factory(Arc::new({
        let (fake, threads) = (fake.clone(), threads.clone());
        move |request| {
            threads.lock().unwrap().push(std::thread::current().id());
            match request.model.to_string().as_str() {
                "broken" => return Err("this file is broken".into()),
                "slow" => gate.lock().unwrap().recv()?,
                _ => {}
            }
            Ok(fake.engine())
        }
    }));
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    element.set_state(gst::State::Ready).unwrap();
    let loaded = [gst::ProgressType::Start, gst::ProgressType::Complete];
    assert_eq!(progress(&bus), loaded);
    let mut bench = Bench::with(element);
    bench.element.set_property_from_str("on-error", "passthrough");
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    bench.harness.push_and_pull(flat_frame(&info, 0, 50)).unwrap();
    assert_eq!(progress(&bench.bus), [], "it was there");

    // This thread brings the frames, and sets the property.
    bench.element.set_property("model", "slow");
    for index in 1..=10 {
        bench.harness.push_and_pull(flat_frame(&info, index, 50)).unwrap();
    }
    let mut told = Vec::new();
    until("loading begins", || {
        told.extend(progress(&bench.bus));
        !told.is_empty()
    });
    open.send(()).unwrap();
    until("the model is loaded", || {
        told.extend(progress(&bench.bus));
        told.len() == 2
    });
    assert_eq!(told, loaded);
    assert_ne!(threads.lock().unwrap()[1], std::thread::current().id());

    bench.element.set_property("model", "broken");
    until("the failure is told", || {
        told.extend(progress(&bench.bus));
        told.len() == 4
    });
    assert_eq!(told[2..], [gst::ProgressType::Start, gst::ProgressType::Error]);
}

#[test]
fn the_device_is_told_in_the_statistics_and_once_in_the_log() {
    init();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let function = gst::log::add_log_function({
        let lines = lines.clone();
        move |category, _, _, _, _, object, message| {
            // Other tests log at the same time.
            let own = object.is_some_and(|object| object.to_string().contains("chooses"));
            if own && category.name() == "factorseg" {
                let text = message.get().unwrap_or_default();
                lines.lock().unwrap().push(text.to_string());
            }
        }
    });
    gst::log::set_threshold_for_name("factorseg", gst::DebugLevel::Info);
    let element = gst::ElementFactory::make("factorseg").name("chooses").build().unwrap();
    let mut bench = Bench::with(element.downcast().unwrap());
    bench.set_caps(VideoFormat::Gray8, 64, 64);
    let info = video_info(VideoFormat::Gray8, 64, 64);
    for index in 0..3 {
        bench.harness.push_and_pull(flat_frame(&info, index, 50)).unwrap();
    }
    let stats = bench.element.property::<gst::Structure>("stats");
    let device = stats.get::<&str>("device").unwrap();
    assert!(device == "cpu" || device == "cuda:0", "{device}");
    gst::log::set_threshold_for_name("factorseg", gst::DebugLevel::Error);
    gst::log::remove_log_function(function);
    let lines = lines.lock().unwrap();
    let telling = lines
        .iter()
        .filter(|line| line.contains(&format!("runs on {device} in f32")));
    assert_eq!(telling.count(), 1, "{lines:?}");
}
