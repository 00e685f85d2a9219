use std::sync::{Arc, Mutex};

use factorseg_model::{Engine, EngineInfo, InputImage, RegionMap, SegmentError, SegmenterOptions};

use super::*;
use crate::sync::lock;

/// The names of elements, where they panic at every call, and how often they have.
static PANICS: Mutex<Vec<(String, String, usize)>> = Mutex::new(Vec::new());

pub(super) fn panic_in(element: &FactorSeg, place: &str) {
    let name = element.obj().name();
    let mut panics = lock(&PANICS);
    if let Some((_, _, times)) = panics.iter_mut().find(|(of, at, _)| *of == name && at == place) {
        *times += 1;
        drop(panics);
        panic!("a bug");
    }
}

/// How often the element has panicked, which it stops to do.
fn recovers(name: &str) -> usize {
    let mut panics = lock(&PANICS);
    let of = panics.iter().position(|(of, _, _)| of == name).unwrap();
    panics.remove(of).2
}

struct Halves(EngineInfo);

impl Engine for Halves {
    fn input_size(&self, _: usize, _: usize) -> (usize, usize) {
        (8, 8)
    }

    fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        let map = RegionMap {
            regions: 2,
            width: 8,
            height: 8,
            probabilities: vec![0.5; 128],
        };
        Ok(vec![map; images.len()])
    }

    fn set_options(&mut self, _: &SegmenterOptions) -> Result<(), SegmentError> {
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.0
    }
}

fn pipeline(name: &str) -> (gst::Pipeline, super::super::FactorSeg) {
    gst::init().unwrap();
    crate::plugin_register_static().unwrap();
    let text =
        format!("videotestsrc ! video/x-raw,width=32,height=32 ! factorseg name={name} mode=every-frame ! fakesink");
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let element = pipeline
        .by_name(name)
        .unwrap()
        .downcast::<super::super::FactorSeg>()
        .unwrap();
    let info = EngineInfo {
        regions: 2,
        timesteps: 1000,
        ..EngineInfo::default()
    };
    element.set_engine_factory(Arc::new(move |_| Ok(Box::new(Halves(info.clone())))));
    (pipeline, element)
}

fn errors(bus: &gst::Bus) -> Vec<String> {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Error]))
        .filter_map(|message| match message.view() {
            gst::MessageView::Error(error) => {
                Some(format!("{:?} {}", error.src().map(|src| src.name()), error.error()))
            }
            _ => None,
        })
        .collect()
}

/// Frames until there are `wanted` more.
fn plays(element: &super::super::FactorSeg, wanted: u64) -> bool {
    let (sender, receiver) = std::sync::mpsc::channel();
    let pad = element.static_pad("src").unwrap();
    let probe = pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        // Nobody waits any more.
        let _ = sender.send(());
        gst::PadProbeReturn::Ok
    });
    let patience = std::time::Duration::from_secs(20);
    let plays = (0..wanted).all(|_| receiver.recv_timeout(patience).is_ok());
    probe.into_iter().for_each(|probe| pad.remove_probe(probe));
    plays
}

#[test]
fn a_panic_anywhere_is_one_error_and_the_element_plays_again() {
    for place in [
        "chain",
        "the task",
        "sink event",
        "src event",
        "src query",
        "a property",
        "loading a model",
        "the statistics",
        "the children",
    ] {
        let name = format!("panics-{}", place.replace(' ', "-"));
        let (pipeline, element) = pipeline(&name);
        let bus = pipeline.bus().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        assert!(plays(&element, 5), "{place}");
        lock(&PANICS).push((name.clone(), place.to_owned(), 0));
        match place {
            "sink event" => drop(
                element
                    .static_pad("sink")
                    .unwrap()
                    .send_event(gst::event::FlushStart::new()),
            ),
            "src event" => drop(
                element
                    .static_pad("src")
                    .unwrap()
                    .send_event(gst::event::Reconfigure::new()),
            ),
            "src query" => {
                let mut query = gst::query::Latency::new();
                assert!(!element.static_pad("src").unwrap().query(&mut query));
            }
            "a property" => element.set_property("alpha", 0.25),
            "the statistics" => assert_eq!(element.property::<gst::Structure>("stats").n_fields(), 0),
            "the children" => assert_eq!(element.children_count(), 0),
            "loading a model" => element.set_property("model", "other"),
            _ => {}
        }
        let error = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Error]);
        let gst::MessageView::Error(error) = error.as_ref().expect("an error").view() else {
            unreachable!("only errors were asked for");
        };
        let text = error.error().to_string();
        assert!(text.contains(place) && text.contains("a bug"), "{place}: {text}");
        pipeline.set_state(gst::State::Null).unwrap();
        let others = errors(&bus);
        assert!(others.iter().all(|error| !error.contains(&name)), "{place}: {others:?}");
        let times = recovers(&name);
        // The task has paused itself.
        assert!(times == 1 || place != "the task" && times < 20, "{place}: {times}");

        bus.set_flushing(true);
        bus.set_flushing(false);
        pipeline.set_state(gst::State::Playing).unwrap();
        assert!(plays(&element, 5), "{place}: again");
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(errors(&bus), [""; 0], "{place}: again");
    }
}

#[test]
fn a_panic_in_a_change_of_state_fails_the_way_up_and_never_the_way_down() {
    let name = "panics-in-states";
    let (pipeline, element) = pipeline(name);
    for after in [gst::State::Null, gst::State::Playing] {
        element.set_state(gst::State::Null).unwrap();
        pipeline.set_state(after).unwrap();
        lock(&PANICS).push((name.to_owned(), "a change of state".to_owned(), 0));
        if after == gst::State::Null {
            assert!(element.set_state(gst::State::Playing).is_err());
        } else {
            pipeline.set_state(gst::State::Null).unwrap();
        }
        assert!(recovers(name) > 0);
    }
    pipeline.set_state(gst::State::Playing).unwrap();
    assert!(plays(&element, 5));
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_start_that_answers_an_error_is_not_stopped_by_it() {
    let (pipeline, element) = pipeline("answered");
    pipeline.set_state(gst::State::Ready).unwrap();
    let bus = pipeline.bus().unwrap();
    let answered = element.downgrade();
    // Before the call that posts the message returns.
    bus.set_sync_handler(move |_, message| {
        if let (gst::MessageView::Error(_), Some(element)) = (message.view(), answered.upgrade()) {
            element.imp().open(false).unwrap();
        }
        gst::BusSyncReply::Pass
    });
    element.imp().fail(gst::CoreError::Failed, "a fault of the run before");
    bus.unset_sync_handler();
    assert_eq!(errors(&bus).len(), 1);
    assert!(!element.imp().has_failed());
    element.imp().fail(gst::CoreError::Failed, "a fault of this run");
    assert!(element.imp().has_failed());
    element.imp().fail(gst::CoreError::Failed, "the same");
    assert_eq!(errors(&bus).len(), 1);
    pipeline.set_state(gst::State::Null).unwrap();
}
