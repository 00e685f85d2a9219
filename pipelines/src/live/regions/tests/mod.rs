use super::*;
use gst::prelude::*;

fn seconds(seconds: u64) -> gst::ClockTime {
    gst::ClockTime::from_seconds(seconds)
}

#[test]
fn a_place_is_looked_up_in_the_frame_that_was_shown() {
    let regions = Regions::default();
    assert_eq!(regions.at(0.5, 0.5, None), None);
    regions.push(seconds(1), vec![1, 1, 2, 1, 1, 1], 3);
    regions.push(seconds(2), vec![1, 1, 1, 1, 3, 0], 3);
    let right_above = |time| regions.at(0.99, 0.1, time);
    assert_eq!(right_above(Some(seconds(1))), Some(2));
    assert_eq!(right_above(Some(seconds(2) - gst::ClockTime::NSECOND)), Some(2));
    assert_eq!(right_above(Some(seconds(2))), Some(1));
    assert_eq!(right_above(Some(seconds(9))), Some(1));
    assert_eq!(right_above(None), Some(1));
    assert_eq!(right_above(Some(seconds(0))), None, "before the first");
    assert_eq!(regions.at(0.5, 1.0, None), Some(3), "the lower edge");
    assert_eq!(regions.at(1.0, 1.0, None), None, "no mask there");
    // The oldest go.
    regions.push(seconds(33), vec![1], 1);
    assert_eq!(right_above(Some(seconds(2))), None);
}

#[test]
fn masks_of_a_pipeline_are_kept_small_with_their_running_times() {
    gst::init().unwrap();
    // Wider than what is kept, with padded rows; a bright bar on the left, a dark one on the right.
    let pipeline = gst::parse::launch(
        "videotestsrc num-buffers=3 pattern=smpte \
         ! video/x-raw,format=GRAY8,width=323,height=101,framerate=1/1 ! appsink name=sink sync=false",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let sink = pipeline
        .by_name("sink")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    let regions = Regions::watch(&sink);
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    bus.timed_pop_filtered(seconds(30), &[gst::MessageType::Eos, gst::MessageType::Error])
        .unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    let last = |x| regions.at(x, 0.3, None).unwrap();
    assert!(last(0.02) > 150 && last(0.98) < 60, "{} {}", last(0.02), last(0.98));
    let kept = regions.lock();
    let times: Vec<_> = kept.iter().map(|labels| labels.time).collect();
    assert_eq!(times, [seconds(0), seconds(1), seconds(2)]);
    assert_eq!((kept[0].columns, kept[0].numbers.len()), (108, 108 * 34));
}
