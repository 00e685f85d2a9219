//! The decoder of pictures of the whole program: training, packing, segmentation and scores read through it, so that a
//! file is the same picture, or broken, for all of them.
//!
//! The content says what a file is, whatever its name. A picture is turned as its EXIF orientation says, of an animation
//! the first frame is taken, and a file that breaks off is broken.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use thiserror::Error;

/// Largest file that is read.
pub const LARGEST_FILE: u64 = 512 << 20;
/// Memory one decoder may ask for: stops a small file that claims to be enormous.
const DECODER_MEMORY: u64 = 512 << 20;

/// Why one image was not decoded.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The file cannot be opened or read.
    #[error("cannot read: {0}")]
    Read(#[from] io::Error),
    /// The content is not an image that the decoder accepts.
    #[error("cannot decode: {0}")]
    Decode(ImageError),
    /// The content is none of the formats that are read.
    #[error("cannot decode: no JPEG, PNG, BMP or WebP picture{0}")]
    Format(&'static str),
    /// There is more of it than memory is given for.
    #[error("cannot decode: too large, {0}: more than 512 MiB")]
    TooLarge(String),
    /// The file ends before its picture does.
    #[error("cannot decode: it breaks off, the file ends before the picture does")]
    BreaksOff,
    /// A picture that holds no labels.
    #[error("holds no labels: {0}")]
    NoLabels(&'static str),
    /// Packed pixels are not those that were written.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl From<ImageError> for DecodeError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => DecodeError::BreaksOff,
            ImageError::Limits(error) => DecodeError::TooLarge(error.to_string()),
            error => DecodeError::Decode(error),
        }
    }
}

/// The bytes of a file, at most [`LARGEST_FILE`].
///
/// # Errors
/// If it cannot be read, is no file, or is larger.
pub fn read_file(path: &Path) -> Result<Vec<u8>, DecodeError> {
    // A pipe would be waited for.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file").into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(DecodeError::TooLarge(format!("{} bytes", metadata.len())));
    }
    Ok(bytes)
}

/// Reads a picture of a file, upright, in whatever colours it has.
///
/// # Errors
/// If the file cannot be read, is no picture of a format that is read, is damaged or cut short, or would need more than
/// 512 MiB to decode.
pub fn open_picture(path: &Path) -> Result<DynamicImage, DecodeError> {
    decode_picture(&read_file(path)?)
}

/// As [`open_picture`], from the bytes of a file.
///
/// # Errors
/// As [`open_picture`].
pub fn decode_picture(bytes: &[u8]) -> Result<DynamicImage, DecodeError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    match reader.format() {
        Some(ImageFormat::Jpeg) if !jpeg_is_whole(bytes) => return Err(DecodeError::BreaksOff),
        Some(ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::Bmp | ImageFormat::WebP) => {}
        other => return Err(DecodeError::Format(looks_like(bytes, other))),
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODER_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > DECODER_MEMORY {
        return Err(DecodeError::TooLarge(format!("{width} x {height} pixels")));
    }
    // A picture whose EXIF data is broken is a picture all the same.
    let orientation = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder)?;
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    Ok(picture)
}

/// What a file seems to be that is not read, as the end of a sentence.
fn looks_like(bytes: &[u8], format: Option<ImageFormat>) -> &'static str {
    match format {
        Some(ImageFormat::Gif) => ", but a GIF",
        Some(ImageFormat::Tiff) => ", but a TIFF",
        Some(ImageFormat::Avif) => ", but an AVIF",
        _ if bytes.is_empty() => "; it is empty",
        _ if bytes.get(4..8) == Some(b"ftyp") => ", but HEIC, AVIF or a video",
        _ if bytes.starts_with(b"\xff\x0a") || bytes.get(4..8) == Some(b"JXL ") => ", but JPEG XL",
        _ if bytes.trim_ascii_start().starts_with(b"<") => ", but a web page or SVG",
        _ => "",
    }
}

/// Whether the end marker comes after the last scan of a JPEG. The decoder fills what is missing with grey.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    // Behind the marker of the start.
    let mut at = 2;
    loop {
        // The next marker: not a byte of a scan that is 0xff (written as 0xff 0x00), not fill.
        let Some(found) = bytes
            .get(at..)
            .and_then(|rest| rest.iter().position(|byte| *byte == 0xff))
        else {
            return false;
        };
        at += found + 1;
        match bytes.get(at) {
            Some(&END) => return true,
            // Markers that stand alone: restarts within a scan, and TEM.
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(0xff) => {}
            // A segment behind its length; a scan's data is searched for the marker that follows.
            Some(_) => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else {
                    return false;
                };
                at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
            None => return false,
        }
    }
}
