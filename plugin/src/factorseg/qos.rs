//! What a clocked sink says of its frames, and who acts on it.

use gstreamer as gst;

/// By the sink's last QoS event.
#[derive(Debug, Default)]
pub(super) struct Qos {
    /// The running time that the sink wants frames from.
    pub(super) earliest: Option<gst::ClockTime>,
    /// How late its frame was, in ns.
    late: i64,
    /// A frame has waited for its own mask since.
    pub(super) waited: bool,
}

impl Qos {
    /// Takes note of an event. Returns whether upstream is to know of it: that would drop frames, where this element only has
    /// to stop segmenting them. If frames stay late while none has waited for a mask, it is not the masks.
    pub(super) fn observe(&mut self, timestamp: Option<gst::ClockTime>, late: i64) -> bool {
        self.earliest = timestamp.and_then(|timestamp| earliest(timestamp, late));
        let shrinks = late < self.late;
        self.late = late;
        let waited = std::mem::take(&mut self.waited);
        late <= 0 || !waited && !shrinks
    }
}

/// The running time before which frames come too late, by the rule of GstBaseTransform.
fn earliest(timestamp: gst::ClockTime, late: i64) -> Option<gst::ClockTime> {
    // A sink that is late will be late again: twice what is missing is caught up.
    let ahead = if late > 0 { late.saturating_mul(2) } else { late };
    let time = i128::from(timestamp.nseconds()) + i128::from(ahead);
    u64::try_from(time).ok().map(gst::ClockTime::from_nseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_learns_of_what_is_not_the_masks_fault() {
        let time = Some(gst::ClockTime::SECOND);
        let mut qos = Qos {
            waited: true,
            ..Qos::default()
        };
        assert!(!qos.observe(time, 50), "a frame has waited");
        assert_eq!(qos.earliest.map(|time| time.nseconds()), Some(1_000_000_100));
        assert!(!qos.observe(time, 40), "it catches up");
        assert!(qos.observe(time, 40), "no less late");
        assert!(qos.observe(time, 60), "later and later");
        assert!(qos.observe(time, -10), "in time");
    }
}
