//! The thread that owns the engine.
//!
//! Frames come in two kinds. Of those of which only the newest counts, one waits at most, and a newer one takes its
//! place: whoever submits never waits. The others are all segmented, in order, and whoever holds such a frame's ticket
//! waits for its result and takes it. Flushing ends every wait at once. An inference that is under way when the stream
//! is flushed runs to its end, but its result is thrown away. A panic of the engine ends here.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use factorseg_model::{Engine, EngineInfo, InputImage, RegionMap, SegmentError, SegmenterOptions};
use factorseg_refine::MotionModel;
use factorseg_refine::temporal::smooth;
use gstreamer as gst;

use super::counts::Counts;
use super::mask::{self, Mask, MaskError};
use crate::sync::lock;

/// One frame to segment.
#[derive(Clone, Debug)]
pub struct Job {
    /// The frame at the engine's input size.
    pub image: InputImage,
    /// Whether the network is to see it. Else motion judges what the network said of the frame before; where the frame begins a scene the
    /// network sees it all the same.
    pub seen: bool,
    /// How it is segmented.
    pub options: SegmenterOptions,
    /// For each region, whether it is the object.
    pub foreground: Vec<bool>,
    /// The frame at the size that motion is looked for in, if it is.
    pub motion: Option<InputImage>,
    /// Name of the class in `options`.
    pub class: Arc<str>,
    /// The foreground wins from this probability on, 0.5 for as it is.
    pub threshold: f32,
    /// Pieces of the foreground below this share of the picture are dropped, 0 for none.
    pub min_area: f32,
    /// Exponent of the probabilities, 1 for as they are.
    pub sharpness: f32,
    /// Strength of temporal smoothing, `0..=1`.
    pub smoothing: f32,
    /// Timestamp of the frame.
    pub pts: Option<gst::ClockTime>,
}

/// Why there is no mask.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The engine says so.
    #[error(transparent)]
    Engine(#[from] SegmentError),
    /// The engine returned something that is no mask.
    #[error(transparent)]
    Result(#[from] MaskError),
    /// The engine has no input size for the frame.
    #[error("the engine wants an input of {0}x{1}")]
    Size(usize, usize),
    /// The engine panicked; it is not used again.
    #[error("the engine panicked: {0}")]
    Panicked(String),
}

/// Why a wait ended without a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// The stream is flushed or stopped.
    Flushing,
    /// The inference failed; the failure was reported.
    Failed,
    /// The deadline passed.
    Late,
}

/// Durations that are kept for the percentiles.
const DURATIONS: usize = 256;

/// Width and height.
pub type Size = (usize, usize);

/// A frame that waits for the engine.
struct Pending {
    ticket: u64,
    job: Job,
    /// The scene that it belongs to.
    scene: u64,
    /// Somebody waits for its result; it may not be replaced.
    exact: bool,
}

/// How a frame ended that somebody waits for.
struct Ended {
    ticket: u64,
    mask: Option<Arc<Mask>>,
    when: Instant,
}

#[derive(Default)]
struct Slots {
    pending: VecDeque<Pending>,
    /// Of frames that are waited for, until they are taken.
    results: VecDeque<Ended>,
    /// The ticket given last.
    tickets: u64,
    /// Tickets up to this one belong to a time before the last flush.
    flushed: u64,
    /// Frames of another scene owe nothing to each other. A number, not a message: what begins a scene may never be segmented.
    scene: u64,
    /// An inference has ended, well or not.
    ended_any: bool,
    latest: Option<Arc<Mask>>,
    /// An inference is under way.
    busy: bool,
    frame_size: Option<Size>,
    /// Of which frame size, and the engine's answer; none if it failed.
    input_size: Option<(Size, Option<Size>)>,
    flushing: bool,
    stop: bool,
    /// Another engine has taken over.
    retired: bool,
    dead: bool,
    counts: Arc<Counts>,
    /// Of the last inferences; the next takes the place of the oldest.
    durations: Vec<Duration>,
    next_duration: usize,
}

#[derive(Default)]
struct Shared {
    slots: Mutex<Slots>,
    changed: Condvar,
}

/// Called in the worker's thread for every failure.
pub type OnFailure = Box<dyn Fn(&Failure) + Send>;

/// A thread with an engine. Dropping it waits for the inference that is under way, unless it is retired.
pub struct Worker {
    shared: Arc<Shared>,
    info: EngineInfo,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread for `engine`, which adds to `counts`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        engine: Box<dyn Engine>,
        name: &str,
        counts: Arc<Counts>,
        on_failure: OnFailure,
    ) -> std::io::Result<Self> {
        let info = engine.info().clone();
        let shared = Arc::new(Shared::default());
        lock(&shared.slots).counts = counts;
        let thread = thread::Builder::new().name(name.to_owned()).spawn({
            let shared = shared.clone();
            move || run(engine, &shared, &on_failure)
        })?;
        Ok(Self {
            shared,
            info,
            thread: Some(thread),
        })
    }

    /// What runs, and where.
    pub fn info(&self) -> &EngineInfo {
        &self.info
    }

    /// Whether the engine panicked: it does nothing any more.
    pub fn is_dead(&self) -> bool {
        lock(&self.shared.slots).dead
    }

    /// Tells the size of the frames to come. The engine's answer is there a moment later.
    pub fn set_frame_size(&self, width: usize, height: usize) {
        let mut slots = lock(&self.shared.slots);
        slots.frame_size = Some((width, height));
        self.shared.changed.notify_all();
    }

    /// The engine's input size for the frame size that was told last; `None` while an inference must end before the
    /// engine can answer, unless that is to be waited for.
    ///
    /// # Errors
    /// If the stream is flushed, or the engine failed.
    pub fn input_size(&self, waits: bool) -> Result<Option<Size>, Interrupted> {
        self.wait(None, |slots| match slots.known_input_size() {
            Some(size) => Some(size.map(Some).ok_or(Interrupted::Failed)),
            None => (slots.busy && !waits).then_some(Ok(None)),
        })
    }

    /// Puts a frame in line of which only the newest counts: in place of one of its kind that still waits.
    pub fn submit_newest(&self, mut job: Job) {
        let mut slots = lock(&self.shared.slots);
        if let Some(last) = slots.pending.back()
            && !last.exact
        {
            // Else a network that is slow would hardly ever see a frame.
            job.seen |= last.job.seen;
            slots.pending.pop_back();
            slots.counts.dropped.add(1);
        }
        slots.put(job, false);
        self.shared.changed.notify_all();
    }

    /// Puts a frame in line whose result is waited for. Returns its ticket.
    pub fn submit(&self, job: Job) -> u64 {
        let mut slots = lock(&self.shared.slots);
        let ticket = slots.put(job, true);
        self.shared.changed.notify_all();
        ticket
    }

    /// Waits for the mask of a ticket and takes it, until `deadline` if there is one. Returns when it was there, too.
    /// Results of older tickets are not kept any longer.
    ///
    /// # Errors
    /// If the stream is flushed, the inference failed, or the deadline passed: then nobody can have the mask any more,
    /// and the frame is not segmented if it was still in line.
    pub fn wait_for(&self, ticket: u64, deadline: Option<Instant>) -> Result<(Arc<Mask>, Instant), Interrupted> {
        let result = self.wait(deadline, |slots| {
            if ticket <= slots.flushed {
                return Some(Err(Interrupted::Flushing));
            }
            slots.results.retain(|ended| ended.ticket >= ticket);
            slots.results.front().filter(|ended| ended.ticket == ticket)?;
            let ended = slots.results.pop_front()?;
            Some(ended.mask.map(|mask| (mask, ended.when)).ok_or(Interrupted::Failed))
        });
        if let Err(Interrupted::Late) = result {
            let mut slots = lock(&self.shared.slots);
            let before = slots.pending.len();
            slots.pending.retain(|pending| pending.ticket != ticket);
            slots.counts.dropped.add(before - slots.pending.len());
        }
        result
    }

    /// The newest mask since the last flush.
    pub fn latest(&self) -> Option<Arc<Mask>> {
        lock(&self.shared.slots).latest.clone()
    }

    /// Whether an inference has ended, well or not.
    pub fn has_ended_any(&self) -> bool {
        lock(&self.shared.slots).ended_any
    }

    /// Another engine has taken over. Dropping it does not wait any more: the last to hold it may be a thread that must go on.
    /// Failures are told of frames alone that wait for it.
    pub fn retire(&self) {
        lock(&self.shared.slots).retired = true;
    }

    /// Forgets masks and waiting work; a result still under way is thrown away when it comes. The next frame begins a scene.
    pub fn forget(&self) {
        let mut slots = lock(&self.shared.slots);
        slots.flushed = slots.tickets;
        slots.scene += 1;
        slots.latest = None;
        slots.results.clear();
        slots.counts.dropped.add(slots.pending.len());
        slots.pending.clear();
        self.shared.changed.notify_all();
    }

    /// While flushing, no wait lasts.
    pub fn set_flushing(&self, flushing: bool) {
        let mut slots = lock(&self.shared.slots);
        slots.flushing = flushing;
        self.shared.changed.notify_all();
    }

    /// Whether no wait lasts.
    pub fn is_flushing(&self) -> bool {
        lock(&self.shared.slots).flushing
    }

    /// Forgets how long inferences took.
    pub fn reset_durations(&self) {
        let mut slots = lock(&self.shared.slots);
        slots.durations.clear();
        slots.next_duration = 0;
    }

    /// The last inferences' durations, in no order.
    pub fn durations(&self) -> Vec<Duration> {
        lock(&self.shared.slots).durations.clone()
    }

    fn wait<T>(
        &self,
        deadline: Option<Instant>,
        mut ready: impl FnMut(&mut Slots) -> Option<Result<T, Interrupted>>,
    ) -> Result<T, Interrupted> {
        let mut slots = lock(&self.shared.slots);
        loop {
            if slots.flushing || slots.stop {
                return Err(Interrupted::Flushing);
            }
            if let Some(result) = ready(&mut slots) {
                return result;
            }
            if slots.dead {
                return Err(Interrupted::Failed);
            }
            let Some(deadline) = deadline else {
                slots = self.shared.changed.wait(slots).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Interrupted::Late);
            }
            let woken = self.shared.changed.wait_timeout(slots, left);
            slots = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How long the last inference took; zero before the first.
    pub fn last_duration(&self) -> Duration {
        let slots = lock(&self.shared.slots);
        let last = slots.next_duration.checked_sub(1).unwrap_or(DURATIONS - 1);
        slots.durations.get(last).copied().unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let retired = {
            let mut slots = lock(&self.shared.slots);
            slots.stop = true;
            slots.pending.clear();
            self.shared.changed.notify_all();
            slots.retired
        };
        if let Some(thread) = self.thread.take() {
            // A message handler may tear the element down in the worker's own thread.
            if !retired && thread.thread().id() != thread::current().id() {
                // It catches every panic, and has nothing to return.
                let _ = thread.join();
            }
        }
    }
}

impl Slots {
    /// The answer for the frame size told last; the inner `None` is a failure.
    fn known_input_size(&self) -> Option<Option<Size>> {
        match (self.frame_size, self.input_size) {
            (Some(frame), Some((of, input))) if frame == of => Some(input),
            _ => None,
        }
    }

    fn put(&mut self, job: Job, exact: bool) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        let scene = self.scene;
        self.pending.push_back(Pending {
            ticket,
            job,
            scene,
            exact,
        });
        ticket
    }

    fn finish(&mut self, ticket: u64, exact: bool, mask: Option<Mask>, duration: Duration) {
        self.busy = false;
        self.ended_any = true;
        if mask.is_some() {
            self.counts.inferred.add(1);
            if self.durations.len() < DURATIONS {
                self.durations.push(duration);
            } else {
                self.durations[self.next_duration] = duration;
            }
            self.next_duration = (self.next_duration + 1) % DURATIONS;
        }
        if ticket <= self.flushed {
            return;
        }
        // After a failure an old mask would stay on a picture that moves on.
        self.latest = mask.map(Arc::new);
        // One that nobody waits for any more goes when the next is waited for.
        if exact {
            self.results.push_back(Ended {
                ticket,
                mask: self.latest.clone(),
                when: Instant::now(),
            });
        }
    }
}

enum Task {
    Size(usize, usize),
    Segment(Box<Pending>),
}

fn next_task(shared: &Shared) -> Option<Task> {
    let mut slots = lock(&shared.slots);
    loop {
        if slots.stop {
            return None;
        }
        if let Some((width, height)) = slots.frame_size
            && slots.known_input_size().is_none()
        {
            return Some(Task::Size(width, height));
        }
        if let Some(pending) = slots.pending.pop_front() {
            slots.busy = true;
            return Some(Task::Segment(Box::new(pending)));
        }
        slots = shared.changed.wait(slots).unwrap_or_else(PoisonError::into_inner);
    }
}

/// However the thread ends, nobody waits for it any more.
struct Death<'a>(&'a Shared);

impl Drop for Death<'_> {
    fn drop(&mut self) {
        let mut slots = lock(&self.0.slots);
        slots.dead = true;
        slots.latest = None;
        slots.pending.clear();
        self.0.changed.notify_all();
    }
}

fn run(engine: Box<dyn Engine>, shared: &Shared, on_failure: &OnFailure) {
    let mut segmenting = Segmenting {
        regions: engine.info().regions,
        engine,
        applied: None,
        motion: MotionModel::default(),
        foreground: None,
        previous: None,
        scene: 0,
    };
    let death = Death(shared);
    let mut panicked = false;
    let mut unjudged = segmenting.engine.unjudged();
    while let Some(task) = next_task(shared)
        && !panicked
    {
        // Reported before the stream can go on, so that an error message precedes its end.
        let mut report = |failure: Failure, waited_for: bool| {
            panicked = matches!(failure, Failure::Panicked(_));
            if !waited_for && lock(&shared.slots).retired {
                return;
            }
            // What an application does with the message may panic, too.
            panicked |= catch_unwind(AssertUnwindSafe(|| on_failure(&failure))).is_err();
        };
        match task {
            Task::Size(width, height) => {
                let size = caught(|| segmenting.input_size(width, height));
                let size = size.map_err(|failure| report(failure, true)).ok();
                lock(&shared.slots).input_size = Some(((width, height), size));
            }
            Task::Segment(pending) => {
                let Pending {
                    ticket,
                    job,
                    scene,
                    exact,
                } = *pending;
                let start = Instant::now();
                let mask = caught(|| segmenting.segment(job, scene));
                if mask.is_err() {
                    segmenting.forget();
                }
                let mask = mask.map_err(|failure| report(failure, exact)).ok();
                let so_far = segmenting.engine.unjudged() + segmenting.motion.unjudged();
                let more = so_far.saturating_sub(std::mem::replace(&mut unjudged, so_far));
                let mut slots = lock(&shared.slots);
                slots.counts.unjudged.add(more as usize);
                slots.finish(ticket, exact, mask, start.elapsed());
            }
        }
        shared.changed.notify_all();
    }
    drop(death);
    // What an engine that panicked does when it is dropped is not known either.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(segmenting)));
}

struct Segmenting {
    engine: Box<dyn Engine>,
    regions: usize,
    /// The options of the last job.
    applied: Option<SegmenterOptions>,
    motion: MotionModel,
    /// Which regions are the object that `motion` remembers.
    foreground: Option<Vec<bool>>,
    /// The mask before, for smoothing.
    previous: Option<RegionMap>,
    /// The scene of the last job.
    scene: u64,
}

impl Segmenting {
    fn input_size(&self, width: usize, height: usize) -> Result<(usize, usize), Failure> {
        /// No network of this kind has more input pixels; a wrong answer must not exhaust memory.
        const LIMIT: usize = 8192;
        match self.engine.input_size(width, height) {
            (w, h) if (1..=LIMIT).contains(&w) && (1..=LIMIT).contains(&h) => Ok((w, h)),
            (w, h) => Err(Failure::Size(w, h)),
        }
    }

    /// The next frame owes nothing to the last one.
    fn forget(&mut self) {
        self.motion.reset();
        self.previous = None;
    }

    fn segment(&mut self, job: Job, scene: u64) -> Result<Mask, Failure> {
        let timestep = job.options.timestep;
        let foreground = job.motion.as_ref().map(|_| &job.foreground);
        if self.applied.as_ref() != Some(&job.options) || self.foreground.is_some() != foreground.is_some() {
            let (options, colors) = match foreground {
                Some(_) => job.options.without_colors(),
                None => (job.options.clone(), None),
            };
            self.engine.set_options(&options)?;
            self.motion.colors = colors;
            self.applied = Some(job.options.clone());
            self.forget();
        }
        if self.scene != scene || self.foreground.as_ref() != foreground {
            self.scene = scene;
            self.foreground = foreground.cloned();
            self.forget();
        }
        let mut map = match &job.motion {
            Some(frame) => {
                let followed = (!job.seen)
                    .then(|| self.motion.follow(frame, &job.foreground))
                    .flatten();
                match followed {
                    Some(map) => map,
                    None => {
                        let said = self.look(&job.image)?;
                        self.motion.refine(frame, &said, &job.foreground)
                    }
                }
            }
            None => self.look(&job.image)?,
        };
        if let Some(previous) = &self.previous {
            smooth(&mut map, previous, job.smoothing);
        }
        // Kept without smoothing, too: it may begin with any mask.
        self.previous = Some(map.clone());
        mask::shift(&mut map, &job.foreground, job.threshold);
        mask::drop_specks(&mut map, &job.foreground, job.min_area);
        mask::sharpen(&mut map, job.sharpness);
        Ok(Mask {
            regions: mask::facts(&map),
            map,
            pts: job.pts,
            class: job.class,
            timestep,
        })
    }

    /// What the network says of a frame.
    fn look(&mut self, image: &InputImage) -> Result<RegionMap, Failure> {
        let maps = self.engine.segment(std::slice::from_ref(image))?;
        Ok(mask::check(maps, self.regions, image.width, image.height)?)
    }
}

fn caught<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(Failure::Panicked(panic_text(&*panic))))
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "with no message".to_owned())
}

#[cfg(test)]
mod tests;
