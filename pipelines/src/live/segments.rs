//! The segments of the video that HLS cuts: when they begin, and playlists that begin with one of them.

use std::fmt::Write;

use gstreamer as gst;

/// When segments begin. A player's time counts from the first segment that it is given.
#[derive(Debug, Default)]
pub struct Segments {
    /// Running times, by the segment's number.
    starts: Vec<gst::ClockTime>,
    finished: usize,
}

impl Segments {
    /// Takes note of a message of `hlssink2`: whether a segment is finished.
    pub fn note(&mut self, message: &gst::message::Element) -> bool {
        let Some(structure) = message.structure() else {
            return false;
        };
        match structure.name().as_str() {
            "splitmuxsink-fragment-opened" => {
                self.starts.push(structure.get("running-time").unwrap_or_default());
                false
            }
            "splitmuxsink-fragment-closed" => {
                self.finished += 1;
                true
            }
            _ => false,
        }
    }

    /// Number and start of the segment that a player begins with: it wants three (RFC 8216, 6.3.3), the third of which comes
    /// while it waits for its first playlist.
    pub fn begin(&self) -> Option<(usize, gst::ClockTime)> {
        let number = self.finished.checked_sub(2)?;
        Some((number, *self.starts.get(number)?))
    }
}

/// A playlist without the segments before the number `from`, so that who comes late is not late forever.
pub fn playlist_from(playlist: &str, from: usize) -> String {
    const SEQUENCE: &str = "#EXT-X-MEDIA-SEQUENCE:";
    let first = playlist
        .lines()
        .find_map(|line| line.strip_prefix(SEQUENCE)?.trim().parse().ok());
    let mut next: usize = first.unwrap_or(0);
    let mut kept = String::new();
    for line in playlist.lines() {
        let written = if line.starts_with(SEQUENCE) {
            writeln!(kept, "{SEQUENCE}{}", from.max(next))
        } else if line.starts_with("#EXTINF") {
            next += 1;
            if next > from { writeln!(kept, "{line}") } else { Ok(()) }
        } else if !line.starts_with('#') && !line.is_empty() && next <= from {
            Ok(())
        } else {
            writeln!(kept, "{line}")
        };
        debug_assert!(written.is_ok(), "a string takes all");
    }
    kept
}

#[cfg(test)]
mod tests;
