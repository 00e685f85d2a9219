//! Pictures that can be read in any order, whatever holds them.

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fnv::FnvHasher;

use crate::decode::{DecodeError, Pixels, decode_image, read_image};
use crate::error::DataError;
use crate::folder::{ImageFolder, Sample};
use crate::pack::Pack;
use crate::shards::Shards;
use crate::skipped::Skipped;
use crate::source::Source;

#[derive(Debug)]
enum Storage {
    Folder(Vec<Sample>),
    Shards(Shards),
    Pack(Pack),
}

/// Which of the stored pictures belong to this set.
#[derive(Debug, Clone)]
enum Selection {
    All,
    /// These, sorted.
    Only(Arc<[u32]>),
    /// All but some: of each of those how many pictures of this set come before it, sorted.
    Except(Arc<[u32]>),
}

/// A set of pictures with classes or without.
#[derive(Debug, Clone)]
pub struct DataSet {
    root: PathBuf,
    storage: Arc<Storage>,
    classes: Vec<String>,
    skipped: Skipped,
    unconditional: bool,
    selection: Selection,
}

impl DataSet {
    /// Opens a folder of pictures, a packed file, a tar archive or a folder of them.
    ///
    /// # Errors
    /// If there is nothing usable at the path, or only what has to be packed first (videos, object stores).
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Self::of(&Source::parse(&path.to_string_lossy())?)
    }

    /// Opens a source that has pictures in any order; see [`Source::needs_packing`].
    ///
    /// # Errors
    /// As [`DataSet::open`].
    pub fn of(source: &Source) -> Result<Self, DataError> {
        let (root, storage, classes, skipped) = match source {
            Source::Pack(path) => {
                let pack = Pack::open(path)?;
                let classes = pack.description().classes.clone();
                (path.clone(), Storage::Pack(pack), classes, Skipped::default())
            }
            Source::Shards(root, paths) => {
                let shards = Shards::open(paths.clone())?;
                let (classes, skipped) = (shards.classes().to_vec(), shards.skipped().clone());
                (root.clone(), Storage::Shards(shards), classes, skipped)
            }
            Source::Folder(path) => {
                let folder = ImageFolder::scan(path)?;
                (
                    folder.root,
                    Storage::Folder(folder.samples),
                    folder.classes,
                    folder.skipped,
                )
            }
            Source::Videos(..) | Source::Remote(_) => {
                return Err(DataError::source(source, "has to be packed first: `factorseg pack`"));
            }
        };
        Ok(Self {
            root,
            storage: Arc::new(storage),
            classes,
            skipped,
            unconditional: false,
            selection: Selection::All,
        })
    }

    /// The folder or file.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Class names, in the order of their indices; empty without classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Entries of the folder or archives that are no pictures of this set.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// Whether the pixels are mapped, so that keeping copies gains nothing.
    pub fn is_mapped(&self) -> bool {
        matches!(*self.storage, Storage::Pack(_))
    }

    /// Shorter side of the pictures where they all have the same, in pixels.
    pub fn side(&self) -> Option<usize> {
        match &*self.storage {
            Storage::Pack(pack) => Some(pack.description().side),
            _ => None,
        }
    }

    /// Whether the object is known of any picture: [`Pixels::object`].
    pub fn has_objects(&self) -> bool {
        self.is_mapped() && (0..self.len()).any(|index| self.has_object(index))
    }

    /// Whether the object is known of picture `index`.
    pub fn has_object(&self, index: usize) -> bool {
        matches!(&*self.storage, Storage::Pack(pack) if pack.has_object(self.place(index)))
    }

    fn stored(&self) -> usize {
        match &*self.storage {
            Storage::Folder(samples) => samples.len(),
            Storage::Shards(shards) => shards.len(),
            Storage::Pack(pack) => pack.images(),
        }
    }

    /// Number of pictures, broken ones included.
    pub fn len(&self) -> usize {
        match &self.selection {
            Selection::All => self.stored(),
            Selection::Only(chosen) => chosen.len(),
            Selection::Except(before) => self.stored() - before.len(),
        }
    }

    /// Whether there is no picture at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Place of picture `index` among the stored ones.
    fn place(&self, index: usize) -> usize {
        match &self.selection {
            Selection::All => index,
            Selection::Only(chosen) => chosen[index] as usize,
            Selection::Except(before) => index + before.partition_point(|count| *count as usize <= index),
        }
    }

    /// Class index of picture `index`.
    pub fn class(&self, index: usize) -> Option<usize> {
        if self.unconditional {
            return None;
        }
        let place = self.place(index);
        match &*self.storage {
            Storage::Folder(samples) => samples[place].class,
            Storage::Shards(shards) => shards.class(place),
            Storage::Pack(pack) => pack.class(place),
        }
    }

    /// Name of picture `index` within the set.
    pub fn name(&self, index: usize) -> String {
        let place = self.place(index);
        match &*self.storage {
            Storage::Folder(samples) => samples[place].path.display().to_string(),
            Storage::Shards(shards) => shards.name(place),
            Storage::Pack(pack) => pack.name(place).into_owned(),
        }
    }

    /// Pixels of picture `index`, resampled so that the shorter side is `shorter_side`. A packed picture is never
    /// enlarged.
    ///
    /// # Errors
    /// If the picture is broken.
    pub fn read(&self, index: usize, shorter_side: usize) -> Result<Pixels, DecodeError> {
        let place = self.place(index);
        match &*self.storage {
            Storage::Folder(samples) => read_image(&self.root.join(&samples[place].path), shorter_side),
            Storage::Shards(shards) => decode_image(&shards.read(place)?, shorter_side),
            Storage::Pack(pack) => {
                let pixels = pack.read(place)?;
                if pixels.width.min(pixels.height) <= shorter_side {
                    return Ok(pixels);
                }
                Ok(pixels.prepared(shorter_side))
            }
        }
    }

    /// Drops the classes: every picture becomes unconditional.
    pub fn without_classes(mut self) -> Self {
        self.classes.clear();
        self.unconditional = true;
        self
    }

    /// Splits off `count` pictures spread evenly over the set, for looking at progress on pictures that are never
    /// trained on. Returns `(training, held out)`.
    ///
    /// At most a tenth of the pictures is taken; with fewer than ten none are.
    pub fn hold_out(self, count: usize) -> (Self, Self) {
        let total = self.len();
        let count = count.min(total / 10);
        let held: Arc<[u32]> = (0..count).map(|i| ((2 * i + 1) * total / (2 * count)) as u32).collect();
        let before = held.iter().enumerate().map(|(i, place)| place - i as u32).collect();
        let held_out = Self {
            selection: Selection::Only(held),
            ..self.clone()
        };
        let training = Self {
            selection: Selection::Except(before),
            ..self
        };
        (training, held_out)
    }

    /// A hash of all names (and of the side, where pictures were packed at one): tells whether a set is still the same.
    pub fn fingerprint(&self) -> String {
        // Runs hold it in their configuration: it stays what it is.
        let mut hash = FnvHasher::default();
        let mut add = |bytes: &[u8]| {
            hash.write(bytes);
            hash.write(b"\0");
        };
        for index in 0..self.len() {
            match &*self.storage {
                Storage::Folder(samples) => add(samples[self.place(index)].path.as_os_str().as_encoded_bytes()),
                Storage::Pack(pack) => add(pack.name(self.place(index)).as_bytes()),
                Storage::Shards(_) => add(self.name(index).as_bytes()),
            }
        }
        if let Some(side) = self.side() {
            add(&side.to_le_bytes());
        }
        format!("{:016x}", hash.finish())
    }
}
