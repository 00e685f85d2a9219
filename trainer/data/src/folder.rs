//! Finds pictures, videos and tar shards on disk: one folder per class, or a flat folder without classes.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::classes;
use crate::skipped::Skipped;

/// File name endings (lower case) that are taken for images.
pub const IMAGE_EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];

/// File name endings (lower case) that are taken for videos.
pub const VIDEO_EXTENSIONS: [&str; 16] = [
    "mp4", "mov", "mkv", "webm", "avi", "m4v", "mpg", "mpeg", "ts", "mts", "m2ts", "ogv", "ogg", "flv", "wmv", "3gp",
];

/// Why a data folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The path does not exist.
    #[error("data folder {0} does not exist; give the folder that holds one sub-folder of images per class")]
    Missing(PathBuf),
    /// The path is a file.
    #[error("{0} is a file; extract archives first and give the folder that holds the images")]
    NotAFolder(PathBuf),
    /// Nothing usable below the path.
    #[error(
        "no images below {path}: looked for *.{} in it and in its sub-folders",
        IMAGE_EXTENSIONS.join(", *.")
    )]
    Empty {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// The folder cannot be read.
    #[error("cannot read folder {path}: {source}")]
    Read {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Kind of a file, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A still picture.
    Image,
    /// A video.
    Video,
    /// A tar archive.
    Shard,
}

impl Kind {
    /// The kind that a file name's ending says, if it is one of ours.
    pub fn of(name: &str) -> Option<Self> {
        let extension = name.rsplit_once('.')?.1.to_lowercase();
        let extension = extension.as_str();
        if IMAGE_EXTENSIONS.contains(&extension) {
            Some(Kind::Image)
        } else if VIDEO_EXTENSIONS.contains(&extension) {
            Some(Kind::Video)
        } else {
            (extension == "tar").then_some(Kind::Shard)
        }
    }
}

/// One image (or video) file and the class it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Path below the root of the data folder.
    pub path: PathBuf,
    /// Index into [`ImageFolder::classes`]; `None` in a flat folder.
    pub class: Option<usize>,
}

impl Sample {
    /// Whether it is a picture or a video.
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(&self.path.to_string_lossy())
    }
}

/// Everything usable below a folder, in a fixed order (class folder, then path).
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Class folder names, sorted; empty for a flat folder.
    pub classes: Vec<String>,
    /// Pictures and videos.
    pub samples: Vec<Sample>,
    /// Tar archives directly in the folder, or below it if it holds nothing else.
    pub shards: Vec<PathBuf>,
    /// Entries that are not listed.
    pub skipped: Skipped,
}

impl Listing {
    /// Lists what is below `root`; see [`ImageFolder::scan`] for what makes a class.
    ///
    /// # Errors
    /// If the folder is missing, is a file, or cannot be read.
    pub fn of(root: &Path) -> Result<Self, FolderError> {
        if !root.exists() {
            return Err(FolderError::Missing(root.to_owned()));
        }
        if !root.is_dir() {
            return Err(FolderError::NotAFolder(root.to_owned()));
        }
        let mut walk = Walk::new(root);
        let mut listing = Self::default();
        let here = walk.entries(Path::new("")).map_err(|source| FolderError::Read {
            path: root.to_owned(),
            source,
        })?;
        if here.samples.is_empty() {
            let mut classes = Vec::new();
            for folder in &here.folders {
                let mut found = Found::default();
                walk.collect(folder, &mut found);
                listing.shards.append(&mut found.shards);
                if !found.samples.is_empty() {
                    classes.push((folder.to_string_lossy().into_owned(), found.samples));
                }
            }
            classes::sort(&mut classes, |(name, _)| name);
            for (class, (name, paths)) in classes.into_iter().enumerate() {
                let class = Some(class);
                listing
                    .samples
                    .extend(paths.into_iter().map(|path| Sample { path, class }));
                listing.classes.push(name);
            }
            listing.shards.extend(here.shards);
        } else {
            let mut found = Found {
                samples: here.samples,
                shards: here.shards,
            };
            here.folders.iter().for_each(|folder| walk.collect(folder, &mut found));
            let unnamed = found.samples.into_iter().map(|path| Sample { path, class: None });
            listing.samples = unnamed.collect();
            listing.shards = found.shards;
        }
        listing.shards.sort();
        listing.skipped = walk.skipped;
        Ok(listing)
    }
}

/// The images of a data folder in a fixed order (class folder, then path).
#[derive(Debug, Clone)]
pub struct ImageFolder {
    /// Folder that all sample paths are relative to.
    pub root: PathBuf,
    /// Class folder names, sorted; empty for a flat folder.
    pub classes: Vec<String>,
    /// All images.
    pub samples: Vec<Sample>,
    /// Entries that are not listed.
    pub skipped: Skipped,
}

impl ImageFolder {
    /// Lists the images below `root`.
    ///
    /// A folder that holds images itself is flat: no classes, sub-folders included. Otherwise each
    /// sub-folder with images (at any depth below it) is a class named after the sub-folder.
    /// Hidden files and folders are skipped, and so are links to what is listed by its own name.
    ///
    /// # Errors
    /// If the folder is missing, is a file, cannot be read, or holds no image.
    pub fn scan(root: &Path) -> Result<Self, FolderError> {
        let Listing {
            classes,
            samples: all,
            mut skipped,
            shards,
        } = Listing::of(root)?;
        let mut samples = Vec::with_capacity(all.len());
        for sample in all {
            if sample.kind() == Some(Kind::Image) {
                samples.push(sample);
            } else {
                skipped.add("a video", sample.path.display());
            }
        }
        shards
            .iter()
            .for_each(|shard| skipped.add("a tar archive", shard.display()));
        if samples.is_empty() {
            return Err(FolderError::Empty { path: root.to_owned() });
        }
        Ok(Self {
            root: root.to_owned(),
            classes,
            samples,
            skipped,
        })
    }
}

/// What is directly in a folder, each sorted, as paths below the root.
#[derive(Default)]
struct Entries {
    samples: Vec<PathBuf>,
    shards: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// What is in a folder at any depth.
#[derive(Default)]
struct Found {
    samples: Vec<PathBuf>,
    shards: Vec<PathBuf>,
}

/// A walk that reads everything once, whatever links to it.
struct Walk {
    root: PathBuf,
    /// The root without links; what lies below it is found by its own name.
    real_root: PathBuf,
    /// Folders that were entered, and files that links led to: device and number.
    seen: HashSet<(u64, u64)>,
    skipped: Skipped,
}

impl Walk {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            real_root: root.canonicalize().unwrap_or_else(|_| root.to_owned()),
            seen: fs::metadata(root).iter().map(identity).collect(),
            skipped: Skipped::default(),
        }
    }

    /// Adds all that is in the folder `below` the root, at any depth.
    fn collect(&mut self, below: &Path, found: &mut Found) {
        let Ok(metadata) = fs::metadata(self.root.join(below)) else {
            return self.skipped.add("a folder that cannot be read", below.display());
        };
        if !self.seen.insert(identity(&metadata)) {
            return self.skipped.add("a link to what is read already", below.display());
        }
        let Ok(here) = self.entries(below) else {
            return self.skipped.add("a folder that cannot be read", below.display());
        };
        found.samples.extend(here.samples);
        found.shards.extend(here.shards);
        here.folders.iter().for_each(|folder| self.collect(folder, found));
    }

    fn entries(&mut self, below: &Path) -> std::io::Result<Entries> {
        let mut names: Vec<_> = fs::read_dir(self.root.join(below))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<std::io::Result<_>>()?;
        names.sort();
        let mut found = Entries::default();
        for name in names {
            let path = below.join(&name);
            match self.kind(&path) {
                Ok(None) => found.folders.push(path),
                Ok(Some(Kind::Image | Kind::Video)) => found.samples.push(path),
                Ok(Some(Kind::Shard)) => found.shards.push(path),
                Err(reason) => self.skipped.add(reason, path.display()),
            }
        }
        Ok(found)
    }

    /// What an entry is, `None` for a folder, or why it is not taken.
    fn kind(&mut self, below: &Path) -> Result<Option<Kind>, &'static str> {
        let name = below.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            return Err("hidden");
        }
        let path = self.root.join(below);
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        // Follows links, so that a data set can be put together from links.
        let Ok(metadata) = fs::metadata(&path) else {
            return Err(if is_link {
                "a link that leads nowhere"
            } else {
                "it cannot be read"
            });
        };
        let kind = if metadata.is_dir() {
            None
        } else if metadata.is_file() {
            Some(Kind::of(&name).ok_or("no picture, video or tar archive by the ending of its name")?)
        } else {
            return Err("neither a file nor a folder");
        };
        if is_link && (self.is_found_itself(&path) || kind.is_some() && !self.seen.insert(identity(&metadata))) {
            return Err("a link to what is read already");
        }
        Ok(kind)
    }

    /// Whether a link leads to what this walk comes to by its own name, or to what holds the root.
    fn is_found_itself(&self, link: &Path) -> bool {
        let Ok(target) = link.canonicalize() else {
            return false;
        };
        let hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
        match target.strip_prefix(&self.real_root) {
            Ok(below) => !below.components().any(hidden),
            Err(_) => self.real_root.starts_with(&target),
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
