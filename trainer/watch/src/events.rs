//! TensorBoard's event files: scalars in protobuf messages in TFRecords.
//!
//! No maintained crate writes them, and scalars need three messages of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::metrics::numbers;

/// An event file that is being written.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
}

/// CRC-32C (Castagnoli), bit by bit: the records are short.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

/// The checksum of a record: rotated and offset, so that checksums of checksums differ.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// A field of bytes: a string or a message.
fn field(number: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(number << 3 | 2);
    varint(bytes.len() as u64, into);
    into.extend(bytes);
}

fn wall_time() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

impl EventWriter {
    /// Starts a new event file in `folder`, which is made if it does not exist.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let seconds = wall_time();
        let mut number = 0;
        let file = loop {
            let name = format!("events.out.tfevents.{seconds:010.0}.factorseg.{number}");
            match File::create_new(folder.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                other => break other?,
            }
        };
        let mut writer = Self { file };
        let mut event = time();
        field(3, b"brain.Event:2", &mut event);
        writer.record(&event)?;
        Ok(writer)
    }

    /// Writes every number of a line of `metrics.jsonl` as a scalar.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&mut self, line: &Value) -> io::Result<()> {
        let (kind, step) = (
            line["kind"].as_str().unwrap_or("run"),
            line["step"].as_u64().unwrap_or(0),
        );
        let mut summary = Vec::new();
        numbers(kind, line, &mut |name, value| {
            let mut scalar = Vec::new();
            field(1, name.as_bytes(), &mut scalar);
            scalar.push(2 << 3 | 5);
            scalar.extend((value as f32).to_le_bytes());
            field(1, &scalar, &mut summary);
        });
        let mut event = time();
        event.push(2 << 3);
        varint(step, &mut event);
        field(5, &summary, &mut event);
        self.record(&event)
    }

    fn record(&mut self, event: &[u8]) -> io::Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(event.len() + 16);
        record.extend(length);
        record.extend(masked(&length));
        record.extend(event);
        record.extend(masked(event));
        self.file.write_all(&record)
    }
}

/// The beginning of an event: when it happened.
fn time() -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(wall_time().to_le_bytes());
    event
}

#[cfg(test)]
mod tests;
