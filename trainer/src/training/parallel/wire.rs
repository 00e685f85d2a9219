//! How a trainer and a worker talk to each other over TCP; what they say is in [`super::message`].
//!
//! Everything is a frame: `fseg`, the kind in a byte, three zero bytes, the length of what follows in eight (little-endian).
//! A trainer opens with a hello and is answered with ready; then each job is answered with a share. A worker that
//! refuses says why in a frame of its own, and closes.
//!
//! What comes from the other side is not trusted: a frame's length is held against what may come before anything is
//! allocated, and memory grows with what has arrived.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use thiserror::Error;

/// Version of the protocol.
pub const VERSION: u32 = 2;
/// Longest frame that is described by JSON alone.
pub const MAXIMUM_JSON: u64 = 1 << 20;
const MAGIC: [u8; 4] = *b"fseg";
const HEADER: usize = 16;
/// Bytes that a frame's memory grows by.
const BLOCK: u64 = 1 << 20;

/// Kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// See [`super::message::Hello`].
    Hello = 1,
    /// See [`super::message::Ready`].
    Ready = 2,
    /// See [`super::Job`].
    Job = 3,
    /// See [`super::Share`].
    Share = 4,
    /// Why the worker does not go on, as text.
    Refusal = 5,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Hello, Self::Ready, Self::Job, Self::Share, Self::Refusal]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// What goes wrong between a trainer and a worker.
#[derive(Debug, Error)]
pub enum WireError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::Error),
    /// The other side closed the connection.
    #[error("the other side closed the connection")]
    Closed,
    /// The other side took too long.
    #[error("the other side took too long")]
    Slow,
    /// What came is not the protocol.
    #[error("what came is not from factorseg {0}")]
    Foreign(&'static str),
    /// A frame is longer than it may be.
    #[error("a frame of {length} bytes came, at most {limit} were expected")]
    TooLong {
        /// Its length.
        length: u64,
        /// What was expected at most.
        limit: u64,
    },
    /// A frame of another kind was expected.
    #[error("{found:?} came, {expected:?} was expected")]
    Unexpected {
        /// What came.
        found: Kind,
        /// What was expected.
        expected: Kind,
    },
    /// The other side speaks another version.
    #[error(
        "the other side speaks version {theirs} of the protocol, this one version {VERSION}: use the same version of factorseg"
    )]
    Version {
        /// Theirs.
        theirs: u32,
    },
    /// A frame's content is not what it has to be.
    #[error("a frame is not valid: {0}")]
    Invalid(String),
    /// The worker refuses.
    #[error("it refuses: {0}")]
    Refused(String),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Slow,
            _ => Self::Io(error),
        }
    }
}

/// A connection that has to be done with a frame by a given moment, however slowly its bytes come.
#[derive(Debug)]
pub struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl<'a> Timed<'a> {
    /// With `time` from now.
    pub fn new(stream: &'a TcpStream, time: Duration) -> Self {
        Self {
            stream,
            deadline: Instant::now() + time,
        }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(Some(left)),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Sends a frame.
///
/// # Errors
/// If the connection breaks.
pub fn write(stream: &mut impl Write, kind: Kind, payload: &[u8]) -> Result<(), WireError> {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&MAGIC);
    header[4] = kind as u8;
    header[8..].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    stream.write_all(&header)?;
    stream.write_all(payload)?;
    Ok(stream.flush()?)
}

/// Receives a frame of the expected kind, of at most `limit` bytes.
///
/// # Errors
/// If another frame comes, or none.
pub fn read(stream: &mut impl Read, expected: Kind, limit: u64) -> Result<Vec<u8>, WireError> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    if header[..4] != MAGIC || header[5..8] != [0; 3] {
        return Err(WireError::Foreign("(no frame)"));
    }
    let kind = Kind::of(header[4]).ok_or(WireError::Foreign("of this version (unknown frame)"))?;
    let length = u64::from_le_bytes(std::array::from_fn(|index| header[8 + index]));
    let limit = if kind == Kind::Refusal { MAXIMUM_JSON } else { limit };
    if kind != expected && kind != Kind::Refusal {
        return Err(WireError::Unexpected { found: kind, expected });
    }
    if length > limit {
        return Err(WireError::TooLong { length, limit });
    }
    let mut payload = Vec::new();
    while (payload.len() as u64) < length {
        let start = payload.len();
        let block = (length - start as u64).min(BLOCK) as usize;
        payload.resize(start + block, 0);
        stream.read_exact(&mut payload[start..])?;
    }
    if kind == Kind::Refusal {
        return Err(WireError::Refused(String::from_utf8_lossy(&payload).into_owned()));
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(bytes: &[u8], limit: u64) -> Result<Vec<u8>, WireError> {
        read(&mut &bytes[..], Kind::Job, limit)
    }

    fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, kind, payload).unwrap();
        bytes
    }

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let long: Vec<u8> = (0..3_000_000u32).map(|value| value as u8).collect();
        for payload in [&[][..], b"x", &long] {
            assert_eq!(received(&frame(Kind::Job, payload), 3_000_000).unwrap(), payload);
        }
        let refused = received(&frame(Kind::Refusal, b"busy"), 0).unwrap_err();
        assert_eq!(refused.to_string(), "it refuses: busy");
    }

    #[test]
    fn hostile_frames_are_errors_before_memory_is_taken() {
        let whole = frame(Kind::Job, b"content");
        for cut in 0..whole.len() {
            assert!(matches!(received(&whole[..cut], 100), Err(WireError::Closed)), "{cut}");
        }
        let changed = |place: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[place] = byte;
            received(&bytes, 100).unwrap_err()
        };
        for place in [0, 3, 5, 7] {
            assert!(matches!(changed(place, 9), WireError::Foreign(_)), "{place}");
        }
        assert!(matches!(changed(4, 77), WireError::Foreign(_)));
        assert!(matches!(changed(4, Kind::Share as u8), WireError::Unexpected { .. }));
        // A length of 2^63 and more.
        assert!(matches!(changed(15, 255), WireError::TooLong { limit: 100, .. }));
        assert!(matches!(changed(4, Kind::Refusal as u8), WireError::Refused(_)));
        // Within the limit, but nothing comes: only as much as a block is taken.
        let mut promised = whole[..HEADER].to_vec();
        promised[8..].copy_from_slice(&(1u64 << 50).to_le_bytes());
        assert!(matches!(received(&promised, u64::MAX), Err(WireError::Closed)));
        assert!(matches!(
            received(b"GET / HTTP/1.1\r\n\r\n", 100),
            Err(WireError::Foreign(_))
        ));
    }
}
