//! Whether a frame follows the one before it.
//!
//! The flag DISCONT does not tell: a leaky queue sets it on every frame. What tells is the place in the stream.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

/// How long one frame lasts, if they come at a fixed rate.
pub(super) fn frame_duration(info: &gst_video::VideoInfo) -> Option<gst::ClockTime> {
    let rate = info.fps();
    let (frames, seconds) = (u64::try_from(rate.numer()).ok()?, u64::try_from(rate.denom()).ok()?);
    gst::ClockTime::SECOND
        .mul_div_floor(seconds, frames.max(1))
        .filter(|_| frames > 0)
}

type Segment = gst::FormattedSegment<gst::ClockTime>;

/// Frames that lie further apart are of different scenes.
const GAP: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// The same, where a segment begins between them.
const SEGMENT_GAP: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// The place of the last frame.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// Its begin and end, in stream time.
    last: Option<(gst::ClockTime, gst::ClockTime)>,
    /// A segment has begun since.
    begins: bool,
}

impl Continuity {
    /// Another segment begins.
    pub(super) fn begin_segment(&mut self) {
        self.begins = true;
    }

    /// Takes note of a frame that lasts `duration`. Returns whether it follows the one before, forwards or backwards.
    pub(super) fn follows(
        &mut self,
        segment: &Segment,
        pts: Option<gst::ClockTime>,
        duration: Option<gst::ClockTime>,
    ) -> bool {
        let begins = std::mem::take(&mut self.begins);
        // One outside of its segment has its timestamp.
        let begin = pts.map(|pts| segment.to_stream_time(pts).unwrap_or(pts));
        let current = begin.map(|begin| (begin, begin + duration.unwrap_or_default()));
        let last = std::mem::replace(&mut self.last, current);
        let (begin, end, last_begin, last_end) = match (current, last) {
            (Some((begin, end)), Some((last_begin, last_end))) => (begin, end, last_begin, last_end),
            (Some(_), None) => return true,
            // Without timestamps a segment is all there is to go by.
            (None, _) => return !begins,
        };
        // One of them is zero: frames come forwards or backwards.
        let gap = begin.saturating_sub(last_end).max(last_begin.saturating_sub(end));
        gap <= if begins { SEGMENT_GAP } else { GAP }
    }
}

#[cfg(test)]
mod tests;
