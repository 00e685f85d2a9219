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

/// Notes each image's first value, then waits for leave; knows its sizes.
struct Noting {
    info: EngineInfo,
    noted: Arc<Mutex<Vec<usize>>>,
    leave: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Engine for Noting {
    fn input_size(&self, _: usize, _: usize) -> (usize, usize) {
        unreachable!("the rule is asked")
    }

    fn sizing(&self) -> Option<Sizing> {
        Some(Sizing { side: 64, stride: 2 })
    }

    fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        lock(&self.noted).push(images[0].data[0] as usize);
        lock(&self.leave).recv().unwrap();
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
        &self.info
    }
}

/// Users of one engine that notes, what it noted, and who gives it leave.
fn noting(name: &str, users: usize) -> (Vec<SharedEngine>, Arc<Mutex<Vec<usize>>>, mpsc::Sender<()>) {
    let request = Bench::new(name).request;
    let (sender, leave) = mpsc::channel();
    let (noted, leave) = (Arc::default(), Arc::new(Mutex::new(leave)));
    let user = |_| {
        let engine = Noting {
            info: EngineInfo {
                device: "cpu".into(),
                ..EngineInfo::default()
            },
            noted: Arc::clone(&noted),
            leave: leave.clone(),
        };
        SharedEngine::get(&request, || Ok::<_, SegmentError>(Box::new(engine) as Box<dyn Engine>)).unwrap()
    };
    let users = (0..users).map(user).collect();
    (users, noted, sender)
}

/// A picture of one pixel.
fn dot(value: usize) -> InputImage {
    InputImage {
        width: 1,
        height: 1,
        data: vec![value as f32; 3],
    }
}

/// Returns when `ready` holds.
///
/// # Panics
/// When it does not come to hold.
fn until(ready: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !ready() {
        assert!(started.elapsed().as_secs() < 60, "it never comes");
        std::thread::yield_now();
    }
}

#[test]
fn four_cameras_have_the_same_share_of_an_engine() {
    const ROUNDS: usize = 250;
    let (cameras, noted, leave) = noting("fair", 4);
    let shared = cameras[0].shared.clone();
    let threads: Vec<_> = (0..)
        .zip(cameras)
        .map(|(index, mut camera)| {
            std::thread::spawn(move || (0..ROUNDS).all(|_| camera.segment(&[dot(index)]).is_ok()))
        })
        .collect();
    // A turn ends once all that have frames left wait for theirs: that each then has one in four is not the system's doing.
    for turn in 0..4 * (ROUNDS - 1) {
        until(|| {
            let (current, next) = *lock(&shared.turns.state);
            current == turn as u64 && next == turn as u64 + 4
        });
        leave.send(()).unwrap();
    }
    (0..4).for_each(|_| leave.send(()).unwrap());
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    for round in lock(&noted).chunks(4) {
        let mut round = round.to_vec();
        round.sort_unstable();
        assert_eq!(round, [0, 1, 2, 3]);
    }
}

#[test]
fn a_size_is_known_while_another_stream_is_segmented() {
    let (mut users, noted, leave) = noting("busy", 2);
    let (asker, mut other) = (users.remove(0), users.remove(0));
    let busy = std::thread::spawn(move || other.segment(&[dot(0)]).is_ok());
    until(|| !lock(&noted).is_empty());
    let (sender, receiver) = mpsc::channel();
    let asking = std::thread::spawn(move || sender.send(asker.input_size(854, 480)));
    let size = receiver.recv_timeout(std::time::Duration::from_secs(20));
    leave.send(()).unwrap();
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
