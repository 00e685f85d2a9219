//! The members of a zip archive that are stored as they are: how PyTorch writes its files.

use std::io::{self, Read, Seek, SeekFrom};

/// Longest list of members that is read.
const MAXIMUM_DIRECTORY: u64 = 64 << 20;
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

/// A stored member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where its local header begins.
    header: u64,
    pub(crate) length: u64,
    stored: bool,
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not a usable zip archive: {reason}"),
    )
}

fn at(bytes: &[u8], start: usize, length: usize) -> io::Result<&[u8]> {
    let end = start.checked_add(length);
    end.and_then(|end| bytes.get(start..end))
        .ok_or_else(|| damaged("its directory is cut short"))
}

fn number(bytes: &[u8], start: usize, length: usize) -> io::Result<u64> {
    let bytes = at(bytes, start, length)?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn read_at(source: &mut (impl Read + Seek), start: u64, length: u64) -> io::Result<Vec<u8>> {
    source.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    source.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(damaged("it is cut short"));
    }
    Ok(bytes)
}

/// Lists the members.
pub(crate) fn members(source: &mut (impl Read + Seek)) -> io::Result<Vec<Member>> {
    let length = source.seek(SeekFrom::End(0))?;
    // The end record, with a comment of at most 64 KiB, and before it what points to the 64-bit one.
    let tail_start = length.saturating_sub(22 + 65535 + 20);
    let tail = read_at(source, tail_start, length - tail_start)?;
    let end = (0..tail.len().saturating_sub(21))
        .rev()
        .find(|at| tail[*at..*at + 4] == END);
    let end = end.ok_or_else(|| damaged("its directory is missing; it may be cut short"))?;
    let (mut size, mut start) = (number(&tail, end + 12, 4)?, number(&tail, end + 16, 4)?);
    if end >= 20 && tail[end - 20..end - 16] == LOCATOR_64 {
        let record = read_at(source, number(&tail, end - 12, 8)?, 56)?;
        if record[..4] != END_64 {
            return Err(damaged("its 64-bit directory is missing"));
        }
        (size, start) = (number(&record, 40, 8)?, number(&record, 48, 8)?);
    }
    if size > MAXIMUM_DIRECTORY || start.checked_add(size).is_none_or(|end| end > length) {
        return Err(damaged(&format!("a directory of {size} bytes at {start} of {length}")));
    }
    let directory = read_at(source, start, size)?;
    let mut members = Vec::new();
    let mut position = 0;
    while position < directory.len() {
        if at(&directory, position, 4)? != ENTRY {
            return Err(damaged("an entry of its directory is none"));
        }
        let field = |offset, size| number(&directory, position + offset, size);
        let (name_length, extra_length, comment_length) =
            (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
        let name = String::from_utf8_lossy(at(&directory, position + 46, name_length)?).into_owned();
        let extra = at(&directory, position + 46 + name_length, extra_length)?;
        let (mut packed, mut whole, mut header) = (field(20, 4)?, field(24, 4)?, field(42, 4)?);
        // The 64-bit extra field holds those that do not fit, in this order.
        let mut rest = extra;
        while rest.len() >= 4 {
            let (id, size) = (number(rest, 0, 2)?, number(rest, 2, 2)? as usize);
            let mut values = at(rest, 4, size)?;
            if id == 1 {
                for value in [&mut whole, &mut packed, &mut header] {
                    if *value == u64::from(u32::MAX) {
                        *value = number(values, 0, 8)?;
                        values = &values[8..];
                    }
                }
            }
            rest = &rest[4 + size..];
        }
        if header.checked_add(packed).is_none_or(|end| end > length) {
            return Err(damaged(&format!("{name} lies outside the file")));
        }
        members.push(Member {
            name,
            header,
            length: whole,
            stored: field(10, 2)? == 0 && packed == whole,
        });
        position += 46 + name_length + extra_length + comment_length;
    }
    Ok(members)
}

/// Where the bytes of a member begin.
pub(crate) fn start(source: &mut (impl Read + Seek), member: &Member) -> io::Result<u64> {
    if !member.stored {
        return Err(damaged(&format!("{} is compressed", member.name)));
    }
    let header = read_at(source, member.header, 30)?;
    if header[..4] != LOCAL {
        return Err(damaged(&format!("{} is not where the directory says", member.name)));
    }
    Ok(member.header + 30 + number(&header, 26, 2)? + number(&header, 28, 2)?)
}
