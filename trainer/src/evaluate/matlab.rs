//! Vectors of numbers in files of MATLAB 5, in which Oxford flowers tells its sets.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::ZlibDecoder;

/// Largest content of a compressed element.
const LARGEST: u64 = 16 << 20;

/// The numeric arrays of a file by name, each as one vector.
///
/// # Errors
/// If it is no such file, or breaks off.
pub fn vectors(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u64>>, String> {
    if !bytes.starts_with(b"MATLAB 5.0") || bytes.get(126..128) != Some(b"IM") {
        return Err("no file of MATLAB 5 in the order of this machine's bytes".into());
    }
    let (mut found, mut rest) = (BTreeMap::new(), &bytes[128..]);
    while !rest.is_empty() {
        let (kind, content) = element(&mut rest)?;
        let mut unpacked = Vec::new();
        let array = match kind {
            // Compressed: an element of its own.
            15 => {
                let read = ZlibDecoder::new(content).take(LARGEST).read_to_end(&mut unpacked);
                read.map_err(|error| format!("a compressed array: {error}"))?;
                element(&mut unpacked.as_slice())?.1
            }
            _ => content,
        };
        if kind != 14 && kind != 15 {
            continue;
        }
        // Flags, dimensions, name, values.
        let mut parts = array;
        let (_, (_, name), (kind, values)) = (
            (element(&mut parts)?, element(&mut parts)?),
            element(&mut parts)?,
            element(&mut parts)?,
        );
        if let Some(values) = numbers(kind, values) {
            found.insert(String::from_utf8_lossy(name).into_owned(), values);
        }
    }
    Ok(found)
}

/// Takes an element off: its type and its content.
fn element<'a>(rest: &mut &'a [u8]) -> Result<(u32, &'a [u8]), String> {
    let word = |at: usize| -> Option<u32> { Some(u32::from_le_bytes(rest.get(at..at + 4)?.try_into().ok()?)) };
    let cut = || "it breaks off".to_owned();
    let first = word(0).ok_or_else(cut)?;
    // Up to four bytes of content have their length in the upper half of the type.
    let (kind, start, length): (u32, usize, usize) = match first >> 16 {
        0 => (first, 8, word(4).ok_or_else(cut)? as usize),
        length => (first & 0xffff, 4, length as usize),
    };
    let content = rest.get(start..start.saturating_add(length)).ok_or_else(cut)?;
    let end = start + length;
    // All but compressed ones end at a multiple of 8.
    let next = if kind == 15 { end } else { end.next_multiple_of(8) };
    *rest = rest.get(next..).unwrap_or_default();
    Ok((kind, content))
}

fn numbers(kind: u32, bytes: &[u8]) -> Option<Vec<u64>> {
    Some(match kind {
        2 => bytes.iter().map(|byte| u64::from(*byte)).collect(),
        4 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|two| u64::from(u16::from_le_bytes(*two)))
            .collect(),
        6 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|four| u64::from(u32::from_le_bytes(*four)))
            .collect(),
        9 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|eight| f64::from_le_bytes(*eight) as u64)
            .collect(),
        _ => return None,
    })
}
