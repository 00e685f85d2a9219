use super::*;

#[test]
fn upstream_learns_of_what_is_not_the_masks_fault() {
    let time = Some(gst::ClockTime::SECOND);
    let mut qos = Qos::default();
    qos.wait();
    assert!(!qos.observe("src", time, 50), "a frame has waited");
    assert_eq!(qos.earliest().map(|time| time.nseconds()), Some(1_000_000_100));
    assert!(!qos.observe("src", time, 40), "it catches up");
    assert!(qos.observe("src", time, 40), "no less late");
    assert!(qos.observe("src", time, 60), "later and later");
    assert!(qos.observe("src", time, -10), "in time");
}

#[test]
fn each_sink_is_late_for_itself_and_the_latest_counts() {
    let time = Some(gst::ClockTime::SECOND);
    let mut qos = Qos::default();
    qos.wait();
    let earliest = |qos: &Qos| qos.earliest().map(|time| time.nseconds());
    assert!(!qos.observe("src", time, 50), "a frame has waited");
    assert!(!qos.observe("mask_0", time, 10), "that frame's mask, too");
    assert_eq!(earliest(&qos), Some(1_000_000_100));
    assert!(
        qos.observe("mask_0", time, 20),
        "later, though no other frame has waited"
    );
    assert!(!qos.observe("src", time, 40), "it catches up, whatever the other does");
    assert_eq!(earliest(&qos), Some(1_000_000_080));
    qos.forget("src");
    assert_eq!(earliest(&qos), Some(1_000_000_040));
}
