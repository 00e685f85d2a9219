//! Whatever a property means takes effect with the next mask, whatever is remembered of the masks before.

use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_check as gst_check;
use gstreamer_video::VideoFormat;

use crate::motion::{HEIGHT, WIDTH, frame};
use crate::support::*;

/// How many frames come before the change.
const BEFORE: u64 = 4;

/// What the first frame after a change is like.
enum Holds {
    /// As the first frame of an element that was started with it: nothing is left of what was.
    Anew,
    /// As in a stream that had it from the beginning.
    FromTheStart,
}

type Properties<'a> = &'a [(&'a str, &'a str)];

/// With everything on that remembers, judges or draws.
const EVERYTHING: [(&str, &str); 8] = [
    ("device", "cpu"),
    ("mode", "every-frame"),
    ("motion-model", "true"),
    ("color-model", "true"),
    ("smoothing", "0.5"),
    ("refine", "guided"),
    ("foreground-regions", "2"),
    ("overlay", "tint"),
];

struct Stream {
    bench: Bench,
    masks: gst_check::Harness,
    _pad: gst::Pad,
}

impl Stream {
    fn new(properties: &[(&str, &str)]) -> Self {
        init();
        let element = gst::ElementFactory::make("factorseg").build().unwrap();
        for (name, value) in EVERYTHING.iter().chain(properties) {
            element.set_property_from_str(name, value);
        }
        let mut bench = Bench::with(element.downcast().unwrap());
        let (pad, masks) = mask_harness(&bench, "mask_0", "foreground");
        bench.set_caps(VideoFormat::Rgb, WIDTH as u32, HEIGHT as u32);
        Self {
            bench,
            masks,
            _pad: pad,
        }
    }

    fn next(&mut self, index: u64) -> [Vec<u8>; 2] {
        let video = self.bench.harness.push_and_pull(frame(index)).unwrap();
        [bytes(&video), bytes(&self.masks.pull().unwrap())]
    }

    /// The frame after those that come before the change.
    fn changed(mut self, change: impl FnOnce(&mut Self)) -> [Vec<u8>; 2] {
        (0..BEFORE).for_each(|index| drop(self.next(index)));
        change(&mut self);
        self.next(BEFORE)
    }
}

#[test]
fn every_property_holds_from_the_next_frame() {
    use Holds::{Anew, FromTheStart};
    let cut_out = [("overlay", "foreground"), ("background-color", "255")];
    let table: [(&str, &str, Holds, Properties); 17] = [
        ("timestep", "300", Anew, &[]),
        ("seed", "7", Anew, &[]),
        ("samples", "2", Anew, &[]),
        ("color-model", "false", Anew, &[]),
        ("motion-model", "false", Anew, &[]),
        ("motion-model", "true", Anew, &[("motion-model", "false")]),
        ("foreground-regions", "1", Anew, &[]),
        ("overlay", "blur-background", FromTheStart, &[]),
        ("alpha", "1", FromTheStart, &[]),
        ("colors", "ff0000,00ff00", FromTheStart, &[]),
        ("background-color", "65280", FromTheStart, &cut_out),
        ("refine", "none", FromTheStart, &[]),
        ("blur-strength", "9", FromTheStart, &[("overlay", "blur-background")]),
        ("threshold", "0.8", FromTheStart, &[]),
        ("min-area", "0.9", FromTheStart, &[]),
        ("sharpness", "4", FromTheStart, &[]),
        ("smoothing", "0", FromTheStart, &[]),
    ];
    for (name, value, holds, before) in &table {
        let unchanged = Stream::new(before).changed(|_| {});
        let changed = Stream::new(before).changed(|stream| stream.bench.element.set_property_from_str(name, value));
        let with: Vec<_> = before.iter().copied().chain([(*name, *value)]).collect();
        let expected = match holds {
            Anew => Stream::new(&with).next(BEFORE),
            FromTheStart => Stream::new(&with).changed(|_| {}),
        };
        assert!(changed == expected, "{name}={value} does not hold yet");
        assert!(changed != unchanged, "{name}={value} changes nothing");
    }
    // Smoothing begins with the mask that is there.
    let off = [("smoothing", "0"), ("motion-model", "false")];
    let unchanged = Stream::new(&off).changed(|_| {});
    let changed = Stream::new(&off).changed(|stream| stream.bench.element.set_property("smoothing", 0.9));
    assert!(changed != unchanged, "smoothing=0.9 does not hold yet");

    // Those below, those of which sessions.rs tells (other models), and those of which properties.rs does.
    let others = [
        "interval",
        "mode",
        "qos",
        "on-error",
        "model",
        "device",
        "precision",
        "threads",
        "class",
        "target-class",
        "post-messages",
        "fill-holes",
        "skip-still",
    ];
    for property in Stream::new(&[]).bench.element.list_properties() {
        let known = table
            .iter()
            .map(|row| row.0)
            .chain(others)
            .any(|name| name == property.name());
        let own = property.owner_type() == gstfactorseg::FactorSeg::static_type();
        let writable = property.flags().contains(gst::glib::ParamFlags::WRITABLE);
        assert!(known || !own || !writable, "nobody has looked at {}", property.name());
    }
}

fn started(fake: &Fake, mode: &str) -> (Bench, impl FnMut(&mut Bench) -> FrameReport + use<>) {
    let mut bench = Bench::new(fake);
    bench.element.set_property_from_str("mode", mode);
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    let mut index = 0..;
    let next = move |bench: &mut Bench| {
        let frame = flat_frame(&info, index.next().unwrap(), 50);
        FrameReport::from_buffer(&bench.harness.push_and_pull(frame).unwrap()).unwrap()
    };
    (bench, next)
}

#[test]
fn an_interval_holds_from_the_next_frame() {
    for (before, after, frames) in [(100u32, 3u32, 4), (100, 3, 50), (1, 5, 3), (7, 1, 2), (2, 7, 1)] {
        let (mut bench, mut next) = started(&Fake::new(Behaviour::Whole), "every-frame");
        bench.element.set_property("motion-model", false);
        bench.element.set_property("interval", before);
        let mut since = 0;
        for _ in 0..frames {
            since = if next(&mut bench).mask_age == Some(gst::ClockTime::ZERO) {
                1
            } else {
                since + 1
            };
        }
        bench.element.set_property("interval", after);
        for _ in 0..20 {
            let due = since >= after;
            assert_eq!(
                next(&mut bench).mask_age == Some(gst::ClockTime::ZERO),
                due,
                "{before} to {after}"
            );
            since = if due { 1 } else { since + 1 };
        }
    }
}

#[test]
fn a_mode_holds_from_the_next_frame() {
    let fake = Fake::new(Behaviour::Whole);
    let (mut bench, mut next) = started(&fake, "every-frame");
    assert_eq!(next(&mut bench).mask_age, Some(gst::ClockTime::ZERO));
    let gate = fake.delay.lock().unwrap();
    bench.element.set_property_from_str("mode", "latest");
    for age in 1..4 {
        assert_eq!(next(&mut bench).mask_age, Some(age * FRAME_DURATION));
    }
    drop(gate);
    bench.element.set_property_from_str("mode", "every-frame");
    assert_eq!(next(&mut bench).mask_age, Some(gst::ClockTime::ZERO));
}

#[test]
fn quality_of_service_and_the_policy_hold_from_the_next_frame() {
    let fake = Fake::new(Behaviour::Whole);
    let (mut bench, mut next) = started(&fake, "every-frame");
    next(&mut bench);
    let late = gst::event::Qos::new(gst::QOSType::Underflow, 1.0, 3_600_000_000_000, gst::ClockTime::ZERO);
    assert!(bench.harness.push_upstream_event(late));
    assert_eq!(next(&mut bench).mask_age, Some(FRAME_DURATION));
    bench.element.set_property("qos", false);
    assert_eq!(next(&mut bench).mask_age, Some(gst::ClockTime::ZERO));
    bench.element.set_property("qos", true);
    assert_eq!(next(&mut bench).mask_age, Some(FRAME_DURATION));

    bench.element.set_property("qos", false);
    bench.element.set_property_from_str("on-error", "passthrough");
    fake.behave(Behaviour::Fails);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    let output = bench.harness.push_and_pull(flat_frame(&info, 9, 50)).unwrap();
    assert_eq!(FrameReport::from_buffer(&output), None);
    assert_eq!(bench.messages(gst::MessageType::Warning).len(), 1);
    assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
}
