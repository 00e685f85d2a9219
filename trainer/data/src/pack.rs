//! Packed pictures: one file of 8-bit pixels that is mapped into memory, never loaded.
//!
//! All numbers are little-endian. A file is a header of 4096 bytes, then pixels, index, names and description:
//!
//! | part | content |
//! |---|---|
//! | header | `FSEGPACK`, then as `u64`: version 1, number of images, offset and length of pixels, index, names and description (8 numbers); as `u32`: CRC-32 of index, names and description, and of the header so far |
//! | pixels | the images' RGB bytes, row by row, one image after the other |
//! | index | 32 bytes for each image: offset among the pixels (`u64`), offset among the names (`u64`), length of the name (`u16`), 1 if an object follows the pixels (`u16`), width, height (`u16`), class (`u32`, all ones for none), CRC-32 of its pixels (`u32`) |
//! | names | where each image came from, UTF-8 |
//! | description | JSON: [`Description`] |
//!
//! A file is untrusted: every offset, length and class is checked when it is opened, before anything is allocated by
//! it; an image's checksum is checked whenever it is read.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap};
use serde::{Deserialize, Serialize};

use crate::decode::{DecodeError, Pixels};
use crate::error::{DataError, io_error};

pub(crate) const MAGIC: &[u8; 8] = b"FSEGPACK";
pub(crate) const VERSION: u64 = 1;
/// Bytes before the pixels: a page, so that they are aligned.
pub(crate) const HEADER: usize = 4096;
/// Bytes of the header that say something, the checksum at their end included.
pub(crate) const HEADER_USED: usize = 8 + 10 * 8 + 4 * 4;
pub(crate) const ENTRY: usize = 32;
pub(crate) const NO_CLASS: u32 = u32::MAX;
/// Order, and the index of an image in it, are 32 bits wide.
const MAXIMUM_IMAGES: u64 = u32::MAX as u64;
const MAXIMUM_DESCRIPTION: u64 = 64 << 20;

/// What a pack says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Shorter side of the images, in pixels.
    pub side: usize,
    /// Whether only the middle square was kept.
    pub square: bool,
    /// Class names, in the order of their indices; empty without classes.
    pub classes: Vec<String>,
    /// What was packed.
    pub source: String,
    /// How many broken pictures and videos were left out.
    pub broken: usize,
    /// Version of the program that packed.
    pub version: String,
}

/// An opened pack.
pub struct Pack {
    path: PathBuf,
    map: Mmap,
    images: usize,
    pixels: Range,
    index: Range,
    names: Range,
    description: Description,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    start: usize,
    length: usize,
}

impl Range {
    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.start + self.length]
    }
}

/// An image in the index.
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) name: u64,
    pub(crate) name_length: u16,
    /// Whether a byte for each pixel follows its colours: [`Pixels::object`].
    pub(crate) has_object: bool,
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) class: u32,
    pub(crate) crc: u32,
}

impl Entry {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            offset: u64::from_le_bytes(number(bytes, 0)),
            name: u64::from_le_bytes(number(bytes, 8)),
            name_length: u16::from_le_bytes(number(bytes, 16)),
            has_object: u16::from_le_bytes(number(bytes, 18)) != 0,
            width: u16::from_le_bytes(number(bytes, 20)),
            height: u16::from_le_bytes(number(bytes, 22)),
            class: u32::from_le_bytes(number(bytes, 24)),
            crc: u32::from_le_bytes(number(bytes, 28)),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [
            &self.offset.to_le_bytes()[..],
            &self.name.to_le_bytes(),
            &self.name_length.to_le_bytes(),
            &u16::from(self.has_object).to_le_bytes(),
            &self.width.to_le_bytes(),
            &self.height.to_le_bytes(),
            &self.class.to_le_bytes(),
            &self.crc.to_le_bytes(),
        ]
        .concat()
    }

    /// Bytes of its pixels.
    fn length(&self) -> u64 {
        let bytes = if self.has_object { 4 } else { 3 };
        bytes * u64::from(self.width) * u64::from(self.height)
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pack")
            .field("path", &self.path)
            .field("images", &self.images)
            .field("side", &self.description.side)
            .finish_non_exhaustive()
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut number = [0; N];
    number.copy_from_slice(&bytes[at..at + N]);
    number
}

impl Pack {
    /// Whether a file begins as a pack does.
    pub fn is_one(path: &Path) -> bool {
        use std::io::Read;
        let mut start = [0; 8];
        File::open(path)
            .and_then(|mut file| file.read_exact(&mut start))
            .is_ok()
            && &start == MAGIC
    }

    /// Maps a pack and checks everything but the pixels.
    ///
    /// # Errors
    /// If it cannot be read, or a part of it is not as the format says.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let wrong = |field, reason: String| DataError::Pack {
            path: path.to_owned(),
            field,
            reason,
        };
        let file = File::open(path).map_err(io_error("open", path))?;
        let length = file.metadata().map_err(io_error("read", path))?.len();
        if length < HEADER as u64 {
            return Err(wrong("header", format!("is cut short: the file has {length} bytes")));
        }
        // SAFETY: the map is read-only. A pack appears under its name by a rename and is never written again by this
        // program; another program that cuts the file while it is mapped ends this one with SIGBUS, as with any map.
        let map = unsafe { Mmap::map(&file) }.map_err(io_error("map", path))?;
        if &map[..8] != MAGIC {
            return Err(wrong("header", "does not begin with FSEGPACK".into()));
        }
        let crc = u32::from_le_bytes(number(&map, HEADER_USED - 4));
        if crc != crc32fast::hash(&map[..HEADER_USED - 4]) {
            return Err(wrong("header", "has another checksum than it says".into()));
        }
        let field = |index: usize| u64::from_le_bytes(number(&map, 8 + 8 * index));
        if field(0) != VERSION {
            return Err(wrong(
                "version",
                format!("is {}, this program reads {VERSION}", field(0)),
            ));
        }
        let images = field(1);
        if images == 0 || images > MAXIMUM_IMAGES {
            return Err(wrong("images", format!("is {images}, expected 1 to {MAXIMUM_IMAGES}")));
        }
        let mut next = HEADER as u64;
        let mut part = |field_name, at: usize| {
            let (start, size) = (field(at), field(at + 1));
            let end = start.checked_add(size);
            if start != next || end.is_none_or(|end| end > length) {
                return Err(wrong(
                    field_name,
                    format!("is {size} bytes at {start} of {length}; the file may be cut short"),
                ));
            }
            next = start + size;
            // Within the map, whose length is a usize.
            Ok(Range {
                start: start as usize,
                length: size as usize,
            })
        };
        let pixels = part("pixels", 2)?;
        let index = part("index", 4)?;
        let names = part("names", 6)?;
        let description = part("description", 8)?;
        if next != length {
            return Err(wrong("file", format!("has {length} bytes, expected {next}")));
        }
        if images.checked_mul(ENTRY as u64) != Some(index.length as u64) {
            return Err(wrong(
                "index",
                format!("has {} bytes for {images} images", index.length),
            ));
        }
        if description.length as u64 > MAXIMUM_DESCRIPTION {
            return Err(wrong("description", format!("has {} bytes", description.length)));
        }
        for (position, (name, range)) in [("index", index), ("names", names), ("description", description)]
            .into_iter()
            .enumerate()
        {
            let stored = u32::from_le_bytes(number(&map, 88 + 4 * position));
            if stored != crc32fast::hash(range.of(&map)) {
                return Err(wrong(name, "has another checksum than the header says".into()));
            }
        }
        let description: Description =
            serde_json::from_slice(description.of(&map)).map_err(|error| wrong("description", error.to_string()))?;
        let pack = Self {
            path: path.to_owned(),
            images: images as usize,
            pixels,
            index,
            names,
            description,
            map,
        };
        pack.check_entries()?;
        // Only a hint: pictures are read in random order, and reading ahead would read others.
        let _ = pack.map.advise_range(Advice::Random, pixels.start, pixels.length);
        Ok(pack)
    }

    fn check_entries(&self) -> Result<(), DataError> {
        let classes = self.description.classes.len() as u64;
        for image in 0..self.images {
            let entry = self.entry(image);
            let bytes = entry.length();
            let inside = |start: u64, length: u64, whole: usize| {
                start.checked_add(length).is_some_and(|end| end <= whole as u64)
            };
            let shorter = usize::from(entry.width.min(entry.height));
            let reason = if bytes == 0 || !inside(entry.offset, bytes, self.pixels.length) {
                "has pixels outside the file"
            } else if !inside(entry.name, u64::from(entry.name_length), self.names.length) {
                "has a name outside the file"
            } else if entry.class != NO_CLASS && u64::from(entry.class) >= classes {
                "has a class that is not listed"
            } else if shorter != self.description.side {
                "is not as large as the description says"
            } else {
                continue;
            };
            return Err(DataError::Pack {
                path: self.path.clone(),
                field: "index",
                reason: format!("entry {image} {reason}"),
            });
        }
        Ok(())
    }

    fn entry(&self, image: usize) -> Entry {
        Entry::from_bytes(&self.index.of(&self.map)[image * ENTRY..(image + 1) * ENTRY])
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Number of images, at least 1.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Class of image `image`.
    pub fn class(&self, image: usize) -> Option<usize> {
        let class = self.entry(image).class;
        (class != NO_CLASS).then_some(class as usize)
    }

    /// Whether image `image` comes with its object: [`Pixels::object`].
    pub fn has_object(&self, image: usize) -> bool {
        self.entry(image).has_object
    }

    /// Where image `image` came from.
    pub fn name(&self, image: usize) -> Cow<'_, str> {
        let entry = self.entry(image);
        let start = entry.name as usize;
        String::from_utf8_lossy(&self.names.of(&self.map)[start..start + entry.name_length as usize])
    }

    /// The pixels of image `image`.
    ///
    /// # Errors
    /// If they are not those that were written.
    pub fn read(&self, image: usize) -> Result<Pixels, DecodeError> {
        let entry = self.entry(image);
        let (width, height) = (usize::from(entry.width), usize::from(entry.height));
        let start = entry.offset as usize;
        let data = &self.pixels.of(&self.map)[start..start + entry.length() as usize];
        if crc32fast::hash(data) != entry.crc {
            return Err(DecodeError::Damaged(format!(
                "the pixels in {} have another checksum than the index says",
                self.path.display()
            )));
        }
        let (colours, object) = data.split_at(3 * width * height);
        Ok(Pixels {
            width,
            height,
            data: colours.into(),
            object: entry.has_object.then(|| object.into()),
        })
    }
}
