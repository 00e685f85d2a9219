//! Elements that ask for the same model on the same device, in the same precision and threads, share one engine.
//!
//! Each element has a [`SharedEngine`]. Whoever gets hold of the engine first segments its own frame together with
//! all that wait for the same options and have the same size, in one call; the others find their results done.
//! The engine lives as long as an element uses it. If it panics, it is gone for all its users.

use std::collections::HashMap;
use std::panic::panic_any;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use factorseg_model::{Engine, EngineInfo, InputImage, RegionMap, SegmentError, SegmenterOptions, Sizing};

use super::request::EngineRequest;
use crate::sync::lock;

/// Frames that are segmented in one call at most.
const BATCH: usize = 16;

type Outcome = Result<Vec<RegionMap>, SegmentError>;

/// An engine and the frames that wait for it.
struct Shared {
    turns: Turns,
    engine: Mutex<Loaded>,
    waiting: Mutex<Vec<Waiting>>,
    info: EngineInfo,
    sizing: Option<Sizing>,
}

/// Whose turn it is: who came first. A mutex alone prefers whoever has just had it.
#[derive(Default)]
struct Turns {
    /// The turn that is on, and the next that is given out.
    state: Mutex<(u64, u64)>,
    changed: Condvar,
}

/// A turn, until it is dropped.
struct Turn<'a>(&'a Turns);

impl Turns {
    fn wait(&self) -> Turn<'_> {
        let mut state = lock(&self.state);
        let own = state.1;
        state.1 += 1;
        while state.0 != own {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).0 += 1;
        self.0.changed.notify_all();
    }
}

struct Loaded {
    engine: Box<dyn Engine>,
    /// The options it has now.
    options: Option<SegmenterOptions>,
}

struct Waiting {
    images: Vec<InputImage>,
    options: SegmenterOptions,
    /// Filled by whoever segments these images.
    result: Arc<Mutex<Option<Outcome>>>,
}

impl Waiting {
    fn size(&self) -> Option<(usize, usize)> {
        self.images.first().map(|image| (image.width, image.height))
    }
}

/// One user's hold on an engine that others may use too.
pub struct SharedEngine {
    shared: Arc<Shared>,
    options: SegmenterOptions,
    unjudged: u64,
}

type Slot = Arc<Mutex<Weak<Shared>>>;

static ENGINES: LazyLock<Mutex<HashMap<EngineRequest, Slot>>> = LazyLock::new(Mutex::default);

impl SharedEngine {
    /// The engine of a request: the one in use, or a new one from `load`. Who asks for one that is being loaded
    /// waits for it.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn get<E>(request: &EngineRequest, load: impl FnOnce() -> Result<Box<dyn Engine>, E>) -> Result<Self, E> {
        let slot = {
            let mut engines = lock(&ENGINES);
            // Those that nobody uses or loads any more.
            engines.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(slot).strong_count() > 0);
            engines.entry(request.clone()).or_default().clone()
        };
        let mut slot = lock(&slot);
        let shared = match slot.upgrade() {
            Some(shared) if !shared.engine.is_poisoned() => shared,
            _ => {
                let engine = load()?;
                let shared = Arc::new(Shared {
                    info: engine.info().clone(),
                    sizing: engine.sizing(),
                    turns: Turns::default(),
                    engine: Mutex::new(Loaded { engine, options: None }),
                    waiting: Mutex::default(),
                });
                *slot = Arc::downgrade(&shared);
                shared
            }
        };
        Ok(Self {
            shared,
            options: SegmenterOptions::default(),
            unjudged: 0,
        })
    }

    /// The engine, for whoever's turn it is.
    fn engine(&self) -> MutexGuard<'_, Loaded> {
        self.shared.engine.lock().unwrap_or_else(|_| {
            // What state it is in nobody knows. This user's thread must learn that as if it had caused it.
            panic_any("it panicked in another stream".to_owned())
        })
    }
}

impl Loaded {
    fn segment(&mut self, images: &[InputImage], options: &SegmenterOptions) -> Outcome {
        if self.options.as_ref() != Some(options) {
            self.options = None;
            self.engine.set_options(options)?;
            self.options = Some(options.clone());
        }
        self.engine.segment(images)
    }
}

impl Engine for SharedEngine {
    fn input_size(&self, frame_width: usize, frame_height: usize) -> (usize, usize) {
        match self.shared.sizing {
            // Nobody waits for another's inference to know it.
            Some(sizing) => sizing.input_size(frame_width, frame_height),
            None => {
                let _turn = self.shared.turns.wait();
                self.engine().engine.input_size(frame_width, frame_height)
            }
        }
    }

    fn sizing(&self) -> Option<Sizing> {
        self.shared.sizing
    }

    /// Those of a call count for whoever made it.
    fn unjudged(&self) -> u64 {
        self.unjudged
    }

    fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        let result = Arc::new(Mutex::new(None));
        let own = Waiting {
            images: images.to_vec(),
            options: self.options.clone(),
            result: result.clone(),
        };
        lock(&self.shared.waiting).push(own);
        let shared = self.shared.clone();
        let _turn = shared.turns.wait();
        let mut engine = self.engine();
        if let Some(result) = lock(&result).take() {
            return result;
        }
        let before = engine.engine.unjudged();
        let outcome = self.segment_with(&mut engine, images, &result);
        let after = engine.engine.unjudged();
        drop(engine);
        self.unjudged += after.saturating_sub(before);
        outcome
    }

    fn set_options(&mut self, options: &SegmenterOptions) -> Result<(), SegmentError> {
        self.options = options.clone();
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.shared.info
    }
}

impl SharedEngine {
    /// Segments own images with all that can go with them.
    fn segment_with(
        &self,
        engine: &mut Loaded,
        images: &[InputImage],
        result: &Arc<Mutex<Option<Outcome>>>,
    ) -> Outcome {
        let size = images.first().map(|image| (image.width, image.height));
        // All that can go with this one, the longest waiting first. On the CPU none: its cores are busy with one, and in
        // company a frame's last bits would depend on the company.
        let alone = self.shared.info.device == "cpu";
        let mut batch: Vec<Waiting> = Vec::new();
        {
            let mut waiting = lock(&self.shared.waiting);
            for other in std::mem::take(&mut *waiting) {
                let is_own = Arc::ptr_eq(&other.result, result);
                let fits = !alone && other.options == self.options && other.size() == size && batch.len() + 1 < BATCH;
                if is_own || fits {
                    batch.push(other);
                } else {
                    waiting.push(other);
                }
            }
        }
        if batch.len() == 1 {
            return engine.segment(images, &self.options);
        }
        let all: Vec<InputImage> = batch
            .iter()
            .flat_map(|waiting| waiting.images.iter().cloned())
            .collect();
        match engine.segment(&all, &self.options) {
            Ok(maps) if maps.len() == all.len() => {
                let mut maps = maps.into_iter();
                for waiting in &batch {
                    let own = maps.by_ref().take(waiting.images.len()).collect();
                    *lock(&waiting.result) = Some(Ok(own));
                }
                lock(result).take().unwrap_or_else(|| Ok(Vec::new()))
            }
            _ => {
                // One of them, or that they are many, is the reason: each learns its own result alone.
                batch.retain(|waiting| !Arc::ptr_eq(&waiting.result, result));
                lock(&self.shared.waiting).append(&mut batch);
                engine.segment(images, &self.options)
            }
        }
    }
}

#[cfg(test)]
mod tests;
