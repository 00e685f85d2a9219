//! What the element adds to the latency of a live stream.

use std::time::Duration;

use gstreamer as gst;

/// How long frames are held, as it is told to the pipeline.
#[derive(Debug, Default)]
pub(super) struct Latency {
    pub(super) reported: gst::ClockTime,
    /// Frames that were not counted.
    warm_up: u32,
    /// The longest of the frames since it was told last, and how many these are.
    longest: Duration,
    frames: u32,
}

impl Latency {
    /// First frames, for which a device may compile its kernels.
    const WARM_UP: u32 = 3;
    /// Frames after which a latency that was too long is corrected.
    const WINDOW: u32 = 250;

    /// Takes note of a frame's time. Returns whether the latency is another now.
    pub(super) fn observe(&mut self, waits: bool, duration: Duration) -> bool {
        if self.warm_up < Self::WARM_UP {
            self.warm_up += 1;
            return false;
        }
        // Drawing alone is done in time: a mode that does not wait adds nothing.
        let duration = if waits { duration } else { Duration::ZERO };
        self.longest = self.longest.max(duration);
        self.frames += 1;
        // A fifth more than what was seen, in whole milliseconds, so that it is not told for every frame.
        let wanted = gst::ClockTime::from_mseconds((self.longest.as_secs_f64() * 1200.0).ceil() as u64);
        let too_short = duration > Duration::from(self.reported);
        let too_long = self.frames >= Self::WINDOW && wanted < self.reported / 2;
        let changes = too_short || too_long;
        if changes {
            self.reported = wanted;
        }
        if changes || self.frames >= Self::WINDOW {
            self.longest = Duration::ZERO;
            self.frames = 0;
        }
        changes
    }
}
