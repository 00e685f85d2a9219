//! Tar archives of pictures: WebDataset's shards, or an ImageFolder that was packed up.
//!
//! A shard's samples are members that share a name up to the first dot: `0001.jpg` with `0001.cls` (a class, as a number
//! or a name) or `0001.json` (its field `class`, `label` or `cls`). Without those the first folder of the member's path
//! is the class. A sample has one picture: that with no ending but the format's, or, beside a class, the first. Without
//! either, pictures whose names only have dots in them (`holiday.001.jpg`) are each a sample.
//!
//! Every member is a picture or is counted as skipped, with the reason.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tar::{Archive, Entries, Entry};

use crate::classes::Classes;
use crate::error::{DataError, io_error};
use crate::folder::Kind;
use crate::picture::LARGEST_FILE;
use crate::skipped::Skipped;

/// Longest class file that is read.
const MAXIMUM_CLASS_FILE: u64 = 1 << 20;

/// Pictures that a sample may have; more are held in memory for no class to come.
const MOST_BESIDE: usize = 16;

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
    skipped: Skipped,
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
    /// Pictures by name; the first is plain if one is: its ending is nothing but the format.
    pictures: Vec<(String, T)>,
    plain: bool,
    class: Option<String>,
}

impl<T> Group<T> {
    fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            pictures: Vec::new(),
            plain: false,
            class: None,
        }
    }

    fn finish(mut self, skipped: &mut Skipped) -> Vec<Found<T>> {
        if self.plain || self.class.is_some() {
            for (name, _) in self.pictures.drain(1.min(self.pictures.len())..) {
                skipped.add("beside the picture of its sample", name);
            }
        }
        let class = self.class;
        let found = self.pictures.into_iter().map(|(name, picture)| Found {
            class: class.clone().or_else(|| Some(name.split_once('/')?.0.to_owned())),
            name,
            picture,
        });
        found.collect()
    }
}

/// What a member is.
enum MemberKind {
    Picture,
    /// A class in a file of its own, or as JSON.
    Class {
        json: bool,
    },
    Skipped(&'static str),
}

fn member_kind<R: Read>(entry: &Entry<'_, R>, file_name: &str) -> MemberKind {
    let kind = entry.header().entry_type();
    if kind.is_symlink() || kind.is_hard_link() {
        return MemberKind::Skipped("a link");
    }
    if kind.is_gnu_sparse() {
        return MemberKind::Skipped("stored with holes; pack it up without --sparse");
    }
    if !kind.is_file() && !kind.is_contiguous() {
        return MemberKind::Skipped("neither a file nor a folder");
    }
    if file_name.starts_with('.') {
        return MemberKind::Skipped("hidden");
    }
    let small = entry.size() <= MAXIMUM_CLASS_FILE;
    match Kind::of(file_name) {
        Some(Kind::Image) => MemberKind::Picture,
        Some(Kind::Video) => MemberKind::Skipped("a video; unpack the archive to train on it"),
        Some(Kind::Shard) => MemberKind::Skipped("an archive in an archive"),
        None => match file_name
            .split_once('.')
            .map(|(_, ending)| ending.to_lowercase())
            .as_deref()
        {
            Some("cls") if small => MemberKind::Class { json: false },
            Some("json") if small => MemberKind::Class { json: true },
            _ => MemberKind::Skipped("no picture by the ending of its name"),
        },
    }
}

/// Walks an archive: `take` makes something of a picture's entry, `each` gets it with its name and class and may stop
/// the walk. What is not taken is counted.
pub(crate) fn walk<R: Read, T>(
    entries: Entries<'_, R>,
    skipped: &mut Skipped,
    mut take: impl FnMut(&mut Entry<'_, R>) -> io::Result<T>,
    mut each: impl FnMut(Found<T>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut group: Group<T> = Group::new("");
    for entry in entries {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        // Headers for all that follow are no members; the oldest archives have folders that only their names show.
        if kind.is_dir() || kind.is_pax_global_extensions() || name.ends_with('/') {
            continue;
        }
        let name = name.trim_start_matches("./").to_owned();
        let file_name = name.rsplit('/').next().unwrap_or(&name);
        let ending = file_name.split_once('.').map_or("", |(_, ending)| ending);
        let key = name[..name.len() - ending.len()].trim_end_matches('.');
        let kind = member_kind(&entry, file_name);
        if let MemberKind::Skipped(reason) = kind {
            skipped.add(reason, &name);
            continue;
        }
        if group.key != key {
            for found in std::mem::replace(&mut group, Group::new(key)).finish(skipped) {
                if each(found).is_break() {
                    return Ok(());
                }
            }
        }
        if let MemberKind::Class { json } = kind {
            let mut text = String::new();
            // Anything but text has no class for us.
            if entry.read_to_string(&mut text).is_ok() {
                group.class = if json {
                    json_class(&text).or(group.class.take())
                } else {
                    Some(text.trim().to_owned()).filter(|class| !class.is_empty())
                };
            }
            skipped.add("the class of a picture", &name);
            continue;
        }
        let plain = !ending.contains('.');
        if plain && group.plain {
            skipped.add("beside the picture of its sample", &name);
            continue;
        }
        let picture = (name.clone(), take(&mut entry)?);
        if plain {
            group.plain = true;
            group.pictures.insert(0, picture);
        } else {
            group.pictures.push(picture);
        }
        // So many pictures are no sample: they only begin alike.
        if !group.plain && group.class.is_none() && group.pictures.len() >= MOST_BESIDE {
            for found in std::mem::replace(&mut group, Group::new(key)).finish(skipped) {
                if each(found).is_break() {
                    return Ok(());
                }
            }
        }
    }
    for found in group.finish(skipped) {
        if each(found).is_break() {
            break;
        }
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
        let mut skipped = Skipped::default();
        for (shard, path) in paths.iter().enumerate() {
            let damaged = |error: io::Error| DataError::shard(path.display(), error);
            let file = File::open(path).map_err(io_error("open", path))?;
            let length = file.metadata().map_err(io_error("read", path))?.len();
            let mut archive = Archive::new(file);
            // Archives that were put one behind the other.
            archive.set_ignore_zeros(true);
            let (mut beyond, mut large) = (None, Skipped::default());
            let entries = archive.entries_with_seek().map_err(damaged)?;
            walk(
                entries,
                &mut skipped,
                |entry| Ok((entry.raw_file_position(), entry.size())),
                |found| {
                    let (offset, size) = found.picture;
                    if size > LARGEST_FILE && offset.checked_add(size).is_some_and(|end| end <= length) {
                        large.add("larger than 512 MiB", found.name);
                        return ControlFlow::Continue(());
                    }
                    if offset.checked_add(size).is_none_or(|end| end > length) {
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
            skipped.extend(large);
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
            skipped,
        })
    }

    /// Class names, in the order of their indices.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Members that are no pictures: with the pictures they add up to all members but folders.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
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
