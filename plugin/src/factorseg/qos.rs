//! What clocked sinks say of their frames, and who acts on it.

use std::collections::BTreeMap;

use gst::glib;
use gstreamer as gst;

/// By the last QoS event of each sink, of video and masks.
#[derive(Debug, Default)]
pub(super) struct Qos {
    /// By the name of the pad that leads there.
    sinks: BTreeMap<glib::GString, Sink>,
    /// Frames that have waited for their own masks.
    waits: u64,
}

#[derive(Debug, Default)]
struct Sink {
    /// The running time that it wants frames from.
    earliest: Option<gst::ClockTime>,
    /// How late its frame was, in ns.
    late: i64,
    /// [`Qos::waits`] at that time.
    waits: u64,
}

impl Qos {
    /// A frame waits for its own mask.
    pub(super) fn wait(&mut self) {
        self.waits += 1;
    }

    /// The running time that all sinks want frames from: the latest sink counts. None if none has said so.
    pub(super) fn earliest(&self) -> Option<gst::ClockTime> {
        self.sinks.values().filter_map(|sink| sink.earliest).max()
    }

    /// A pad is gone.
    pub(super) fn forget(&mut self, pad: &str) {
        self.sinks.remove(pad);
    }

    /// Takes note of an event at a pad. Returns whether upstream is to know of it: that would drop frames, where this element
    /// only has to stop segmenting them. If frames stay late while none has waited for a mask, it is not the masks.
    pub(super) fn observe(&mut self, pad: &str, timestamp: Option<gst::ClockTime>, late: i64) -> bool {
        let sink = self.sinks.entry(pad.into()).or_default();
        let shrinks = late < sink.late;
        let waited = self.waits > sink.waits;
        *sink = Sink {
            earliest: timestamp.and_then(|timestamp| earliest(timestamp, late)),
            late,
            waits: self.waits,
        };
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
mod tests;
