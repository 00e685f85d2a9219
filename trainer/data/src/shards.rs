//! Tar archives of pictures: WebDataset's shards, or an ImageFolder that was packed up.
//!
//! A shard's samples are members that share a name up to the first dot: `0001.jpg` with `0001.cls` (a class, as a number
//! or a name) or `0001.json` (its field `class`, `label` or `cls`). Without those the first folder of the member's path
//! is the class.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tar::{Archive, Entries, Entry};

use crate::classes::Classes;
use crate::error::{DataError, io_error};
use crate::folder::Kind;
use crate::picture::LARGEST_FILE;

/// Longest class file that is read.
const MAXIMUM_CLASS_FILE: u64 = 1 << 20;

/// A picture in a local archive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    shard: u32,
    offset: u64,
    length: u64,
    class: Option<u32>,
    name: Box<str>,
}

/// Local archives whose pictures are read in any order.
#[derive(Debug)]
pub struct Shards {
    paths: Vec<PathBuf>,
    members: Vec<Member>,
    classes: Vec<String>,
}

/// A picture, or what stands for it, with its name and class.
pub(crate) struct Found<T> {
    pub(crate) name: String,
    pub(crate) class: Option<String>,
    pub(crate) picture: T,
}

/// A sample that may still get its class.
struct Group<T> {
    key: String,
    /// Whether the picture's ending is nothing but the format.
    plain: bool,
    picture: Option<(String, T)>,
    class: Option<String>,
}

impl<T> Group<T> {
    fn finish(self) -> Option<Found<T>> {
        let (name, picture) = self.picture?;
        let class = self.class.or_else(|| {
            let (folder, _) = name.split_once('/')?;
            Some(folder.to_owned())
        });
        Some(Found { name, class, picture })
    }
}

/// Walks an archive: `take` makes something of a picture's entry, `each` gets it with its name and class and may stop
/// the walk.
pub(crate) fn walk<R: Read, T>(
    entries: Entries<'_, R>,
    mut take: impl FnMut(&mut Entry<'_, R>) -> io::Result<T>,
    mut each: impl FnMut(Found<T>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut group: Option<Group<T>> = None;
    for entry in entries {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./").to_owned();
        let file_name = name.rsplit('/').next().unwrap_or(&name);
        if file_name.starts_with('.') {
            continue;
        }
        let Some((_, ending)) = file_name.split_once('.') else {
            continue;
        };
        let (ending, key) = (ending.to_lowercase(), &name[..name.len() - ending.len() - 1]);
        if group.as_ref().is_none_or(|group| group.key != key) {
            let begun = Group {
                key: key.to_owned(),
                plain: false,
                picture: None,
                class: None,
            };
            if let Some(found) = group.replace(begun).and_then(Group::finish)
                && each(found).is_break()
            {
                return Ok(());
            }
        }
        let Some(group) = &mut group else { continue };
        if Kind::of(&name) == Some(Kind::Image) {
            let plain = !ending.contains('.');
            if group.picture.is_none() || (plain && !group.plain) {
                group.picture = Some((name.clone(), take(&mut entry)?));
                group.plain = plain;
            }
        } else if (ending == "cls" || ending == "json") && entry.size() <= MAXIMUM_CLASS_FILE {
            let mut text = String::new();
            // Anything but text has no class for us.
            if entry.read_to_string(&mut text).is_ok() {
                group.class = match ending.as_str() {
                    "cls" => Some(text.trim().to_owned()).filter(|class| !class.is_empty()),
                    _ => json_class(&text).or(group.class.take()),
                };
            }
        }
    }
    if let Some(found) = group.and_then(Group::finish) {
        let _ = each(found);
    }
    Ok(())
}

fn json_class(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    ["class", "label", "cls"]
        .iter()
        .find_map(|field| match value.get(field)? {
            serde_json::Value::String(class) => Some(class.clone()),
            serde_json::Value::Number(class) => Some(class.to_string()),
            _ => None,
        })
}

impl Shards {
    /// Lists the pictures of archives, in the order given. Only headers are read.
    ///
    /// # Errors
    /// If an archive cannot be read, is damaged or cut short, or if there is no picture in any.
    pub fn open(paths: Vec<PathBuf>) -> Result<Self, DataError> {
        let mut members = Vec::new();
        let mut classes = Classes::default();
        for (shard, path) in paths.iter().enumerate() {
            let damaged = |error: io::Error| DataError::shard(path.display(), error);
            let file = File::open(path).map_err(io_error("open", path))?;
            let length = file.metadata().map_err(io_error("read", path))?.len();
            let mut archive = Archive::new(file);
            let mut beyond = None;
            let entries = archive.entries_with_seek().map_err(damaged)?;
            walk(
                entries,
                |entry| Ok((entry.raw_file_position(), entry.size())),
                |found| {
                    let (offset, size) = found.picture;
                    if offset.checked_add(size).is_none_or(|end| end > length) || size > LARGEST_FILE {
                        beyond = Some(found.name);
                        return ControlFlow::Break(());
                    }
                    members.push(Member {
                        shard: shard as u32,
                        offset,
                        length: size,
                        class: found.class.map(|class| classes.number(&class)),
                        name: found.name.into(),
                    });
                    ControlFlow::Continue(())
                },
            )
            .map_err(damaged)?;
            if let Some(name) = beyond {
                let reason = format!("{name} lies outside the file; it may be cut short");
                return Err(DataError::shard(path.display(), reason));
            }
        }
        if members.is_empty() {
            let all: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            return Err(DataError::Empty(all.join(", ")));
        }
        let (mut classes, places) = classes.sorted();
        // One folder around all pictures says nothing.
        if classes.len() == 1 {
            classes.clear();
        }
        for member in &mut members {
            let class = member.class.filter(|_| !classes.is_empty());
            member.class = class.map(|number| places[number as usize]);
        }
        Ok(Self {
            paths,
            members,
            classes,
        })
    }

    /// Class names, in the order of their indices.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Number of pictures, at least 1.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Never: archives without pictures are refused.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Class of picture `index`.
    pub fn class(&self, index: usize) -> Option<usize> {
        self.members[index].class.map(|class| class as usize)
    }

    /// Archive and member name of picture `index`.
    pub fn name(&self, index: usize) -> String {
        let member = &self.members[index];
        let shard = &self.paths[member.shard as usize];
        format!("{}/{}", file_name(shard), member.name)
    }

    /// The bytes of picture `index`, as they are in the archive.
    ///
    /// # Errors
    /// If the archive cannot be read.
    pub fn read(&self, index: usize) -> io::Result<Vec<u8>> {
        use std::os::unix::fs::FileExt;
        let member = &self.members[index];
        let file = File::open(&self.paths[member.shard as usize])?;
        // Bounded by the archive's length and by LARGEST_FILE when it was opened.
        let mut bytes = vec![0; member.length as usize];
        file.read_exact_at(&mut bytes, member.offset)?;
        Ok(bytes)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}
