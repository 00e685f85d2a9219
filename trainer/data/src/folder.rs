//! Finds pictures, videos and tar shards on disk: one folder per class, or a flat folder without classes.

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

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
        let mut listing = Self::default();
        let here = entries(root)?;
        if here.samples.is_empty() {
            for folder in here.folders {
                let (before, class) = (listing.samples.len(), listing.classes.len());
                listing.collect(root, &folder, Some(class))?;
                if listing.samples.len() > before {
                    listing.classes.push(folder.to_string_lossy().into_owned());
                }
            }
            listing.shards.extend(here.shards);
        } else {
            listing.collect(root, Path::new(""), None)?;
        }
        listing.shards.sort();
        Ok(listing)
    }

    /// Adds all that is in the folder `below` the root, at any depth.
    fn collect(&mut self, root: &Path, below: &Path, class: Option<usize>) -> Result<(), FolderError> {
        let found = entries(&root.join(below))?;
        let samples = found.samples.into_iter().map(|name| below.join(name));
        self.samples.extend(samples.map(|path| Sample { path, class }));
        self.shards
            .extend(found.shards.into_iter().map(|name| below.join(name)));
        for folder in found.folders {
            self.collect(root, &below.join(folder), class)?;
        }
        Ok(())
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
}

impl ImageFolder {
    /// Lists the images below `root`.
    ///
    /// A folder that holds images itself is flat: no classes, sub-folders included. Otherwise each
    /// sub-folder with images (at any depth below it) is a class named after the sub-folder.
    /// Hidden files and folders are skipped.
    ///
    /// # Errors
    /// If the folder is missing, is a file, cannot be read, or holds no image.
    pub fn scan(root: &Path) -> Result<Self, FolderError> {
        let Listing { classes, samples, .. } = Listing::of(root)?;
        let samples: Vec<Sample> = samples
            .into_iter()
            .filter(|sample| sample.kind() == Some(Kind::Image))
            .collect();
        if samples.is_empty() {
            return Err(FolderError::Empty { path: root.to_owned() });
        }
        Ok(Self {
            root: root.to_owned(),
            classes,
            samples,
        })
    }
}

/// What is directly in a folder, each sorted, as names.
#[derive(Default)]
struct Entries {
    samples: Vec<PathBuf>,
    shards: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

fn entries(folder: &Path) -> Result<Entries, FolderError> {
    let failed = |source| FolderError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut found = Entries::default();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = PathBuf::from(entry.file_name());
        let text = name.to_string_lossy();
        if text.starts_with('.') {
            continue;
        }
        // Follows links, so that a data set can be put together from links.
        let Ok(metadata) = fs::metadata(entry.path()) else {
            continue;
        };
        if metadata.is_dir() {
            found.folders.push(name);
        } else {
            match Kind::of(&text) {
                Some(Kind::Image | Kind::Video) => found.samples.push(name),
                Some(Kind::Shard) => found.shards.push(name),
                None => {}
            }
        }
    }
    found.samples.sort();
    found.shards.sort();
    found.folders.sort();
    Ok(found)
}
