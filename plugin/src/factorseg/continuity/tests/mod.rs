use super::*;

fn frames(continuity: &mut Continuity, segment: &Segment, times: &[u64]) -> Vec<bool> {
    let milliseconds = gst::ClockTime::from_mseconds;
    let frame = |ms: &u64| continuity.follows(segment, Some(milliseconds(*ms)), Some(milliseconds(40)));
    times.iter().map(frame).collect()
}

#[test]
fn frames_follow_each_other_in_both_directions_and_across_small_gaps() {
    gst::init().unwrap();
    let segment = Segment::new();
    let mut continuity = Continuity::default();
    assert_eq!(
        frames(&mut continuity, &segment, &[0, 40, 400, 360, 320, 2000, 1900]),
        [true, true, true, true, true, false, true]
    );
    // A loop, and one that goes on.
    continuity.begin_segment();
    assert_eq!(frames(&mut continuity, &segment, &[0, 40]), [false, true]);
    continuity.begin_segment();
    assert_eq!(frames(&mut continuity, &segment, &[80, 120]), [true, true]);
    // Files one after the other, each from 0, in one stream time.
    let mut second = Segment::new();
    second.set_time(gst::ClockTime::from_mseconds(160));
    continuity.begin_segment();
    assert_eq!(frames(&mut continuity, &second, &[0, 40]), [true, true]);
}

#[test]
fn without_timestamps_a_segment_begins_anew() {
    gst::init().unwrap();
    let segment = Segment::new();
    let mut continuity = Continuity::default();
    let next = |continuity: &mut Continuity| continuity.follows(&segment, None, None);
    assert!(next(&mut continuity) && next(&mut continuity));
    continuity.begin_segment();
    assert!(!next(&mut continuity) && next(&mut continuity));
}
