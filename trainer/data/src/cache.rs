//! Decoded pixels kept in memory up to a bound.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::dataset::DataSet;
use crate::decode::Pixels;
pub use crate::error::TooManyBroken;

/// An image that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name in the data set: a path, for a folder.
    pub path: PathBuf,
    /// The decoder's words.
    pub reason: String,
}

/// The images of a data set, decoded when first asked for and kept while the budget lasts.
///
/// What is returned never depends on what is cached: an image over the budget is decoded again.
#[derive(Debug)]
pub struct ImageCache {
    images: DataSet,
    shorter_side: usize,
    /// Images whose object is not known, and those whose is; empty if it is of none.
    kinds: [Vec<u32>; 2],
    slots: Vec<OnceLock<Result<Arc<Pixels>, ()>>>,
    budget: usize,
    used: AtomicUsize,
    broken_limit: usize,
    broken: Mutex<Vec<Broken>>,
}

impl ImageCache {
    /// A cache over `images` at the given shorter side.
    ///
    /// `budget` is in bytes of pixels (of images in a packed file, which is mapped, no copies are kept); `broken_limit` is
    /// how many undecodable images are skipped before the run stops.
    pub fn new(images: DataSet, shorter_side: usize, budget: usize, broken_limit: usize) -> Self {
        let slots = (0..images.len()).map(|_| OnceLock::new()).collect();
        let mut kinds = [Vec::new(), Vec::new()];
        if images.has_objects() {
            (0..images.len()).for_each(|index| kinds[usize::from(images.has_object(index))].push(index as u32));
        }
        Self {
            kinds,
            budget: if images.is_mapped() { 0 } else { budget },
            images,
            shorter_side,
            slots,
            used: AtomicUsize::new(0),
            broken_limit,
            broken: Mutex::default(),
        }
    }

    /// Number of images, broken ones included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no image at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The image that comes at `place`, counted round, among those whose object is known or not; `place` if there are none.
    pub fn of_kind(&self, known: bool, place: usize) -> usize {
        let kind = &self.kinds[usize::from(known)];
        kind.get(place % kind.len().max(1))
            .map_or(place, |index| *index as usize)
    }

    /// Bytes of pixels held.
    pub fn bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Class index of image `index`.
    pub fn class(&self, index: usize) -> Option<usize> {
        self.images.class(index)
    }

    /// Images found broken so far, in the order they were met.
    pub fn broken(&self) -> Vec<Broken> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pixels of image `index`, or `None` if the image is broken.
    ///
    /// # Errors
    /// When this image takes the number of broken ones over the limit.
    pub fn get(&self, index: usize) -> Result<Option<Arc<Pixels>>, TooManyBroken> {
        if let Some(slot) = self.slots[index].get() {
            return Ok(slot.as_ref().ok().cloned());
        }
        match self.images.read(index, self.shorter_side) {
            Ok(pixels) => {
                let pixels = Arc::new(pixels);
                let size = pixels.data.len();
                if self.used.fetch_add(size, Ordering::Relaxed) + size > self.budget
                    || self.slots[index].set(Ok(pixels.clone())).is_err()
                {
                    self.used.fetch_sub(size, Ordering::Relaxed);
                }
                Ok(Some(pixels))
            }
            Err(error) => {
                // Only the thread that marks the slot counts the image.
                if self.slots[index].set(Err(())).is_err() {
                    return Ok(None);
                }
                let name = self.images.name(index);
                let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
                broken.push(Broken {
                    path: PathBuf::from(&name),
                    reason: error.to_string(),
                });
                if broken.len() > self.broken_limit {
                    return Err(TooManyBroken {
                        count: broken.len(),
                        limit: self.broken_limit,
                        path: name,
                        reason: error.to_string(),
                    });
                }
                Ok(None)
            }
        }
    }
}
