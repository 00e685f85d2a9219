//! The members of a zip archive that are stored as they are: how PyTorch writes its files.
//!
//! `rawzip` reads the directory entry by entry in a buffer of ours, so what an archive says of itself allocates nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;

use rawzip::{
    CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, RangeReader, ZipArchive, ZipArchiveEntryWayfinder,
};

/// More members than any checkpoint has.
const MAXIMUM_MEMBERS: usize = 1 << 20;

/// An archive whose directory was read.
pub(crate) struct Archive {
    archive: ZipArchive<FileReader>,
    members: BTreeMap<String, Member>,
}

struct Member {
    stored: bool,
    length: u64,
    entry: ZipArchiveEntryWayfinder,
}

fn damaged(reason: impl std::fmt::Display) -> String {
    format!("not a usable zip archive: {reason}")
}

impl Archive {
    /// Lists the members.
    pub(crate) fn open(file: &File) -> Result<Self, String> {
        let file = file.try_clone().map_err(damaged)?;
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let archive = ZipArchive::from_file(file, &mut buffer)
            .map_err(|error| damaged(format!("{error}; it may be cut short")))?;
        let mut members = BTreeMap::new();
        let mut entries = archive.entries(&mut buffer);
        while let Some(entry) = entries.next_entry().map_err(damaged)? {
            let (length, packed) = (entry.uncompressed_size_hint(), entry.compressed_size_hint());
            let member = Member {
                stored: entry.compression_method() == CompressionMethod::STORE && packed == length,
                length,
                entry: entry.wayfinder(),
            };
            members.insert(String::from_utf8_lossy(entry.file_path().as_ref()).into_owned(), member);
            if members.len() > MAXIMUM_MEMBERS {
                return Err(damaged(format!("more than {MAXIMUM_MEMBERS} members")));
            }
        }
        Ok(Self { archive, members })
    }

    /// Names of all members, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Which bytes of the file a member's are, if there is one of that name. They may lie beyond the file's end.
    pub(crate) fn place(&self, name: &str) -> Result<Option<Range<u64>>, String> {
        let Some(member) = self.members.get(name) else {
            return Ok(None);
        };
        if !member.stored {
            return Err(damaged(format!("{name} is compressed")));
        }
        let entry = self.archive.get_entry(member.entry);
        let (start, _) = entry
            .map_err(|error| damaged(format!("{name}: {error}")))?
            .compressed_data_range();
        Ok(Some(start..start.saturating_add(member.length)))
    }

    /// The bytes of a member that has at most `longest`, if there is one of that name.
    pub(crate) fn read(&self, name: &str, longest: u64) -> Result<Option<Vec<u8>>, String> {
        let Some(place) = self.place(name)? else {
            return Ok(None);
        };
        let length = place.end - place.start;
        if length > longest {
            return Err(format!("{name} has {length} bytes"));
        }
        let mut bytes = Vec::new();
        RangeReader::new(self.archive.get_ref(), place)
            .read_to_end(&mut bytes)
            .map_err(damaged)?;
        Ok(Some(bytes))
    }
}
