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
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use factorseg_model::{CheckpointSource, LoadOptions};

    use super::*;

    /// Returns each image's first value; stops at the gate in each call.
    struct Fake {
        info: EngineInfo,
        calls: Arc<Mutex<Vec<(usize, SegmenterOptions)>>>,
        gate: Arc<Mutex<mpsc::Receiver<()>>>,
        options: SegmenterOptions,
    }

    impl Engine for Fake {
        fn input_size(&self, width: usize, height: usize) -> (usize, usize) {
            (width, height)
        }

        fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
            lock(&self.calls).push((images.len(), self.options.clone()));
            lock(&self.gate).recv().unwrap();
            if images.iter().any(|image| image.data[0] == 13.0) {
                panic!("unlucky");
            }
            let fails = images.iter().any(|image| image.data[0] < 0.0);
            if fails {
                return Err(SegmentError::Failed {
                    device: "nowhere".into(),
                    reason: "a negative image".into(),
                });
            }
            Ok(images
                .iter()
                .map(|image| RegionMap {
                    regions: 1,
                    width: 1,
                    height: 1,
                    probabilities: vec![image.data[0]],
                })
                .collect())
        }

        fn set_options(&mut self, options: &SegmenterOptions) -> Result<(), SegmentError> {
            self.options = options.clone();
            Ok(())
        }

        fn info(&self) -> &EngineInfo {
            &self.info
        }
    }

    struct Bench {
        request: EngineRequest,
        loads: AtomicUsize,
        calls: Arc<Mutex<Vec<(usize, SegmenterOptions)>>>,
        gate: Arc<Mutex<mpsc::Receiver<()>>>,
        open: mpsc::Sender<()>,
    }

    impl Bench {
        fn new(name: &str) -> Self {
            let (open, gate) = mpsc::channel();
            Self {
                request: EngineRequest {
                    model: CheckpointSource::Path(PathBuf::from(name)),
                    how: LoadOptions::default(),
                },
                loads: AtomicUsize::new(0),
                calls: Arc::default(),
                gate: Arc::new(Mutex::new(gate)),
                open,
            }
        }

        fn engine(&self) -> SharedEngine {
            SharedEngine::get(&self.request, || {
                self.loads.fetch_add(1, Ordering::SeqCst);
                Ok::<_, SegmentError>(Box::new(Fake {
                    info: EngineInfo::default(),
                    calls: self.calls.clone(),
                    gate: self.gate.clone(),
                    options: SegmenterOptions::default(),
                }) as Box<dyn Engine>)
            })
            .unwrap()
        }

        /// Runs each value in a stream of its own, so that all wait for the first; opens the gate `calls` times.
        fn run(&self, values: &[(f32, u64)], calls: usize) -> Vec<std::thread::Result<Result<f32, String>>> {
            let mut threads = Vec::new();
            for (index, &(value, seed)) in values.iter().enumerate() {
                let mut engine = self.engine();
                let shared = engine.shared.clone();
                threads.push(std::thread::spawn(move || {
                    let options = SegmenterOptions {
                        seed,
                        ..SegmenterOptions::default()
                    };
                    engine.set_options(&options).unwrap();
                    let image = InputImage {
                        width: 1,
                        height: 1,
                        data: vec![value; 3],
                    };
                    let maps = engine.segment(&[image]).map_err(|error| error.to_string())?;
                    assert_eq!(maps.len(), 1);
                    Ok(maps[0].probabilities[0])
                }));
                // The first is in the engine, the others wait in order.
                while lock(&self.calls).is_empty() || lock(&shared.waiting).len() < index {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            for _ in 0..calls {
                self.open.send(()).unwrap();
            }
            threads.into_iter().map(|thread| thread.join()).collect()
        }
    }

    fn values(results: Vec<std::thread::Result<Result<f32, String>>>) -> Vec<f32> {
        results.into_iter().map(|result| result.unwrap().unwrap()).collect()
    }

    #[test]
    fn streams_share_one_engine_while_they_use_it() {
        let bench = Bench::new("shared");
        let (first, second) = (bench.engine(), bench.engine());
        assert!(Arc::ptr_eq(&first.shared, &second.shared));
        assert_eq!(bench.loads.load(Ordering::SeqCst), 1);
        drop((first, second));
        bench.engine();
        assert_eq!(bench.loads.load(Ordering::SeqCst), 2);
        let failed = SharedEngine::get(&Bench::new("bad").request, || Err("no file"));
        assert_eq!(failed.err(), Some("no file"));
    }

    #[test]
    fn frames_that_wait_go_together_if_their_options_are_the_same() {
        let bench = Bench::new("batch");
        let results = bench.run(&[(1.0, 7), (2.0, 7), (3.0, 8), (4.0, 7)], 3);
        assert_eq!(values(results), [1.0, 2.0, 3.0, 4.0]);
        let mut calls: Vec<(usize, u64)> = lock(&bench.calls)
            .iter()
            .map(|(images, options)| (*images, options.seed))
            .collect();
        assert_eq!(calls.remove(0), (1, 7));
        // Which of the waiting streams is woken first is the system's choice.
        calls.sort_unstable();
        assert_eq!(calls, [(1, 8), (2, 7)]);
    }

    /// Notes each image's first value; knows its sizes. Stops as long as a test holds the list.
    struct Noting(EngineInfo, Arc<Mutex<Vec<usize>>>);

    impl Engine for Noting {
        fn input_size(&self, _: usize, _: usize) -> (usize, usize) {
            unreachable!("the rule is asked")
        }

        fn sizing(&self) -> Option<Sizing> {
            Some(Sizing { side: 64, stride: 2 })
        }

        fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
            lock(&self.1).push(images[0].data[0] as usize);
            std::thread::yield_now();
            let map = RegionMap {
                regions: 1,
                width: 1,
                height: 1,
                probabilities: vec![1.0],
            };
            Ok(vec![map; images.len()])
        }

        fn set_options(&mut self, _: &SegmenterOptions) -> Result<(), SegmentError> {
            Ok(())
        }

        fn info(&self) -> &EngineInfo {
            &self.0
        }
    }

    /// Streams, one thread each, that segment one image after the other until there are `wanted` of them.
    fn streams(
        name: &str,
        count: usize,
        wanted: usize,
        noted: &Arc<Mutex<Vec<usize>>>,
    ) -> Vec<std::thread::JoinHandle<()>> {
        let request = Bench::new(name).request;
        let info = EngineInfo {
            device: "cpu".into(),
            ..EngineInfo::default()
        };
        let start = Arc::new(std::sync::Barrier::new(count));
        let stream = |index: usize| {
            let load = || Ok::<_, SegmentError>(Box::new(Noting(info.clone(), noted.clone())) as Box<dyn Engine>);
            let mut engine = SharedEngine::get(&request, load).unwrap();
            let (start, noted) = (start.clone(), noted.clone());
            std::thread::spawn(move || {
                start.wait();
                while lock(&noted).len() < wanted {
                    let image = InputImage {
                        width: 1,
                        height: 1,
                        data: vec![index as f32; 3],
                    };
                    engine.segment(&[image]).unwrap();
                }
            })
        };
        (0..count).map(stream).collect()
    }

    #[test]
    fn four_cameras_have_the_same_share_of_an_engine() {
        let noted = Arc::default();
        for thread in streams("fair", 4, 4000, &noted) {
            thread.join().unwrap();
        }
        let noted = lock(&noted);
        let counts = [0, 1, 2, 3].map(|index| noted[..4000].iter().filter(|of| **of == index).count());
        println!("turns of 4000: {counts:?}");
        assert!(counts.iter().all(|count| (950..=1050).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_size_is_known_while_another_stream_is_segmented() {
        let noted = Arc::default();
        let gate = lock(&noted);
        let engine = SharedEngine::get(&Bench::new("busy").request, || {
            let engine = Noting(EngineInfo::default(), noted.clone());
            Ok::<_, SegmentError>(Box::new(engine) as Box<dyn Engine>)
        });
        let engine = engine.unwrap();
        let mut other = SharedEngine::get(&Bench::new("busy").request, || Err("it is there")).unwrap();
        let image = InputImage {
            width: 1,
            height: 1,
            data: vec![0.0; 3],
        };
        let busy = std::thread::spawn(move || other.segment(&[image]).is_ok());
        while engine.shared.engine.try_lock().is_ok() {
            std::thread::yield_now();
        }
        let (sender, receiver) = mpsc::channel();
        let asking = std::thread::spawn(move || sender.send(engine.input_size(854, 480)));
        let size = receiver.recv_timeout(std::time::Duration::from_secs(20));
        drop(gate);
        assert_eq!(size, Ok((114, 64)));
        assert!(asking.join().is_ok() && busy.join().unwrap());
    }

    #[test]
    fn one_frame_that_fails_does_not_fail_the_others() {
        let bench = Bench::new("failing");
        let results = bench.run(&[(1.0, 7), (-1.0, 7), (3.0, 7)], 5);
        let results: Vec<_> = results.into_iter().map(|result| result.unwrap()).collect();
        assert_eq!((&results[0], &results[2]), (&Ok(1.0), &Ok(3.0)));
        assert!(
            results[1]
                .as_ref()
                .is_err_and(|error| error.contains("a negative image"))
        );
    }

    #[test]
    fn a_panic_is_everybody_s_and_the_next_start_loads_anew() {
        let bench = Bench::new("panicking");
        let results = bench.run(&[(1.0, 7), (13.0, 7), (3.0, 8)], 3);
        assert!(results[0].is_ok() && results[1].is_err());
        // The third came before the panic or after it.
        assert!(match &results[2] {
            Ok(result) => *result == Ok(3.0),
            Err(_) => true,
        });
        assert!(bench.engine().shared.engine.lock().is_ok());
        assert!(bench.loads.load(Ordering::SeqCst) >= 2);
    }
}
