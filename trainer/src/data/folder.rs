//! Finds images on disk: one folder per class, or a flat folder without classes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// File name endings (lower case) that are taken for images.
pub const IMAGE_EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];

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

/// One image file and the class it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Path below the root of the data folder.
    pub path: PathBuf,
    /// Index into [`ImageFolder::classes`]; `None` in a flat folder.
    pub class: Option<usize>,
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
        if !root.exists() {
            return Err(FolderError::Missing(root.to_owned()));
        }
        if !root.is_dir() {
            return Err(FolderError::NotAFolder(root.to_owned()));
        }
        let (images, folders) = entries(root)?;
        let mut samples = Vec::new();
        let mut classes = Vec::new();
        if images.is_empty() {
            let mut by_class = BTreeMap::new();
            for folder in folders {
                let mut found = Vec::new();
                collect(root, &folder, &mut found)?;
                if !found.is_empty() {
                    by_class.insert(folder.to_string_lossy().into_owned(), found);
                }
            }
            for (index, (name, paths)) in by_class.into_iter().enumerate() {
                classes.push(name);
                samples.extend(paths.into_iter().map(|path| Sample {
                    path,
                    class: Some(index),
                }));
            }
        } else {
            let mut paths = Vec::new();
            collect(root, Path::new(""), &mut paths)?;
            samples.extend(paths.into_iter().map(|path| Sample { path, class: None }));
        }
        if samples.is_empty() {
            return Err(FolderError::Empty { path: root.to_owned() });
        }
        Ok(Self {
            root: root.to_owned(),
            classes,
            samples,
        })
    }

    /// Drops the classes: every image becomes unconditional.
    pub fn without_classes(mut self) -> Self {
        self.classes.clear();
        for sample in &mut self.samples {
            sample.class = None;
        }
        self
    }

    /// Splits off `count` images spread evenly over the folder, for looking at progress on
    /// images that are never trained on. Returns `(training, held out)`.
    ///
    /// At most a tenth of the images is taken; with fewer than ten images none are.
    pub fn hold_out(self, count: usize) -> (Self, Self) {
        let total = self.samples.len();
        let count = count.min(total / 10);
        let held: Vec<usize> = (0..count).map(|i| (2 * i + 1) * total / (2 * count)).collect();
        let mut training = Vec::with_capacity(total - count);
        let mut held_out = Vec::with_capacity(count);
        let mut next = held.iter().peekable();
        for (index, sample) in self.samples.into_iter().enumerate() {
            if next.next_if_eq(&&index).is_some() {
                held_out.push(sample);
            } else {
                training.push(sample);
            }
        }
        let rest = Self {
            root: self.root.clone(),
            classes: self.classes.clone(),
            samples: held_out,
        };
        (
            Self {
                samples: training,
                ..Self {
                    root: self.root,
                    classes: self.classes,
                    samples: Vec::new(),
                }
            },
            rest,
        )
    }
}

/// Images and folders directly in `folder`, sorted, as names.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), FolderError> {
    let failed = |source| FolderError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut images = Vec::new();
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = PathBuf::from(entry.file_name());
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        // Follows links, so that a data set can be put together from links.
        let Ok(metadata) = fs::metadata(entry.path()) else {
            continue;
        };
        if metadata.is_dir() {
            folders.push(name);
        } else if is_image(&name) {
            images.push(name);
        }
    }
    images.sort();
    folders.sort();
    Ok((images, folders))
}

fn is_image(name: &Path) -> bool {
    name.extension().is_some_and(|extension| {
        let extension = extension.to_string_lossy().to_lowercase();
        IMAGE_EXTENSIONS.contains(&extension.as_str())
    })
}

fn collect(root: &Path, below: &Path, paths: &mut Vec<PathBuf>) -> Result<(), FolderError> {
    let (images, folders) = entries(&root.join(below))?;
    paths.extend(images.into_iter().map(|name| below.join(name)));
    for folder in folders {
        collect(root, &below.join(folder), paths)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        folder
    }

    #[test]
    fn folders_become_sorted_classes() {
        let data = tree(&[
            "n02/b.JPEG",
            "n02/deep/a.png",
            "n01/z.webp",
            "empty/readme.txt",
            ".cache/x.png",
        ]);
        let found = ImageFolder::scan(data.path()).unwrap();
        assert_eq!(found.classes, ["n01", "n02"]);
        let listed: Vec<_> = found
            .samples
            .iter()
            .map(|s| (s.path.to_str().unwrap(), s.class))
            .collect();
        assert_eq!(
            listed,
            [
                ("n01/z.webp", Some(0)),
                ("n02/b.JPEG", Some(1)),
                ("n02/deep/a.png", Some(1))
            ]
        );
    }

    #[test]
    fn a_folder_of_images_is_flat() {
        let data = tree(&["b.png", "a.jpg", "more/c.bmp", "notes.txt"]);
        let found = ImageFolder::scan(data.path()).unwrap();
        assert!(found.classes.is_empty());
        let listed: Vec<_> = found
            .samples
            .iter()
            .map(|s| (s.path.to_str().unwrap(), s.class))
            .collect();
        assert_eq!(listed, [("a.jpg", None), ("b.png", None), ("more/c.bmp", None)]);
    }

    #[test]
    fn errors_name_the_folder() {
        let data = tree(&["class/notes.txt"]);
        let empty = ImageFolder::scan(data.path()).unwrap_err().to_string();
        assert!(
            empty.contains(data.path().to_str().unwrap()) && empty.contains("*.jpeg"),
            "{empty}"
        );
        let missing = ImageFolder::scan(&data.path().join("nowhere")).unwrap_err();
        assert!(matches!(missing, FolderError::Missing(_)));
        let file = ImageFolder::scan(&data.path().join("class/notes.txt")).unwrap_err();
        assert!(matches!(file, FolderError::NotAFolder(_)));
    }

    #[test]
    fn held_out_images_are_spread_and_not_trained_on() {
        let names: Vec<String> = (0..100).map(|i| format!("{i:03}.png")).collect();
        let data = tree(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let (training, held_out) = ImageFolder::scan(data.path()).unwrap().hold_out(4);
        let held: Vec<_> = held_out
            .samples
            .iter()
            .map(|s| s.path.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(held, ["012.png", "037.png", "062.png", "087.png"]);
        assert_eq!(training.samples.len(), 96);
        assert!(training.samples.iter().all(|s| !held_out.samples.contains(s)));
    }
}
