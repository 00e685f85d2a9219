//! Plays pipelines: their buses, signals, progress.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use gst::prelude::*;
use gstreamer as gst;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::input::{DECODER, SOURCE};
use crate::parse::{pipeline, set_properties};
use crate::progress::Progress;
use crate::shown::{Shown, end_before, is_end, running_time};
use crate::sound::Ended;

/// Time between looks at the progress.
const LOOK: Duration = Duration::from_millis(100);

/// How long an input may keep silent after an interruption, or after it broke off: it ends with its next frame, or without one.
const SILENCE: Duration = Duration::from_secs(1);

/// How long the output may take to be finished, after an interruption or where the input broke off.
const FINISH: Duration = Duration::from_secs(10);

/// How long a server may be told goodbye, once all is sent.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The input was over.
    Done,
    /// Someone asked to stop; the output holds what was done by then.
    Interrupted,
}

/// Whether someone asked to stop, by Ctrl-C or SIGTERM. A second time ends the program at once.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for signals from now on, on the runtime that this is called in.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if sender.send_replace(true) {
                    std::process::exit(130);
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Whether someone has asked.
    pub fn asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until someone asks.
    pub async fn wait(&self) {
        // It fails where the listener is gone, and then nobody can ask.
        if self.0.clone().wait_for(|asked| *asked).await.is_err() {
            std::future::pending().await
        }
    }
}

/// A pipeline with elements `factorseg` in it.
#[derive(Debug)]
pub struct Job {
    /// The pipeline.
    pub pipeline: gst::Pipeline,
    /// What has left each `factorseg`, in the order of the description.
    pub shown: Vec<Arc<Shown>>,
    /// When the end reached an output that may forget to say so.
    sent: Arc<OnceLock<Instant>>,
    stop: Stop,
}

impl Job {
    /// Makes the pipeline of `description` and sets `properties` on each of its elements `factorseg`.
    ///
    /// # Errors
    /// If an element is missing, or a property does not exist or refuses its value.
    pub fn new(description: &str, properties: &[(String, String)], stop: &Stop) -> Result<Self> {
        let pipeline = pipeline(description)?;
        let mut shown = Vec::new();
        for segment in pipeline.iterate_all_by_element_factory_name("factorseg") {
            let segment = segment?;
            set_properties(&segment, properties)?;
            shown.push(Shown::watch(segment)?);
        }
        shown.sort_by_key(|shown| shown.segment.name());
        let stop = stop.clone();
        Ok(Self {
            pipeline,
            shown,
            sent: Arc::default(),
            stop,
        })
    }

    /// Takes the end of the stream into `pad` for the end of the run, if the output's own word does not come within [`GOODBYE`].
    pub fn end_when_sent(&self, pad: &gst::Pad) {
        let sent = self.sent.clone();
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if is_end(info) {
                sent.get_or_init(Instant::now);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Lets an interruption end the video into `pad` with the next frame: what the decoder holds already would take its time.
    pub fn end_when_interrupted(&self, pad: &gst::Pad) {
        let stop = self.stop.clone();
        end_before(pad, move |_, _| stop.asked());
    }

    /// Lets an interruption end the sound where the first video ends.
    ///
    /// # Errors
    /// If there is no video.
    pub fn sound_ended(&self) -> Result<Ended> {
        let (stop, shown) = (
            self.stop.clone(),
            self.shown.first().context("there is no factorseg")?.clone(),
        );
        Ok(Arc::new(move |pad, sound| {
            stop.asked() && running_time(pad, sound) > shown.last()
        }))
    }

    /// Plays to the end, or until someone asks to stop; on the terminal with its progress, and at last what each `factorseg` did.
    ///
    /// # Errors
    /// If the pipeline fails, or was interrupted before there was anything. Where the input fails later on, the output is finished
    /// first: it ends there.
    pub async fn run(&self) -> Result<Ending> {
        self.run_and(|_| {}).await
    }

    /// As [`run`](Self::run), with a look at each message.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_and(&self, heard: impl Fn(&gst::Message)) -> Result<Ending> {
        let start = Instant::now();
        let mut progress = Progress::default();
        let played = self.play(heard, |frames, total| progress.update(frames, total)).await;
        progress.finish();
        let seconds = start.elapsed().as_secs_f64();
        let statistics: Vec<_> = self.shown.iter().map(|shown| statistics(shown, seconds)).collect();
        self.pipeline.set_state(gst::State::Null)?;
        played?;
        let frames = self.frames();
        ensure!(!self.stop.asked() || frames > 0, "interrupted before the first frame");
        ensure!(frames > 0, "the input holds no video frame");
        statistics.iter().for_each(|line| say(line));
        Ok(match self.stop.asked() {
            true => Ending::Interrupted,
            false => Ending::Done,
        })
    }

    /// Plays to the end, with a look at the progress now and then.
    async fn play(&self, heard: impl Fn(&gst::Message), mut progress: impl FnMut(u64, Option<u64>)) -> Result<()> {
        let bus = self.pipeline.bus().context("the pipeline has no bus")?;
        let (sender, mut messages) = mpsc::unbounded_channel();
        bus.set_sync_handler(move |_, message| {
            // Nobody listens any more only when all is over.
            let _ = sender.send(message.clone());
            gst::BusSyncReply::Drop
        });
        // Why it failed is on the bus.
        let started = self.pipeline.set_state(gst::State::Playing);
        let (mut missing, mut end) = (None, End::default());
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message: gst::Message = tokio::select! {
                Some(message) = messages.recv() => message,
                _ = look.tick() => {
                    let totals: Option<Vec<u64>> = self.shown.iter().map(|shown| shown.frames_in_all()).collect();
                    progress(self.frames(), totals.map(|totals| totals.iter().sum()));
                    if messages.is_empty() {
                        started.context("the pipeline does not start")?;
                    }
                    if self.is_over(&mut end)? {
                        break;
                    }
                    continue;
                }
            };
            heard(&message);
            match message.view() {
                gst::MessageView::Error(error) => {
                    let input = input_of(error);
                    let failure = failure(error, input.as_deref(), missing.as_deref());
                    if input.is_none() || self.streams().is_empty() {
                        return Err(failure);
                    }
                    // Others follow from the first.
                    end.broken.get_or_insert(failure);
                    // A pipeline that was still starting stopped with the error; where it cannot go on, the first error is why.
                    let _ = self.pipeline.set_state(gst::State::Playing);
                }
                gst::MessageView::Eos(_) => break,
                gst::MessageView::Warning(warning) => eprintln!("factorseg-pipeline: {}", warning.error()),
                gst::MessageView::Element(element) => missing = missing_plugin(element).or(missing),
                gst::MessageView::Latency(_) => {
                    // A latency that cannot be had now is asked for again.
                    let _ = self.pipeline.recalculate_latency();
                }
                _ => {}
            }
        }
        if let Some(failure) = end.broken {
            return Err(match self.frames() {
                0 => failure,
                frames => failure.context(format!("the output ends after {frames} frames")),
            });
        }
        if let Some(missing) = missing {
            eprintln!("factorseg-pipeline: no {missing} is installed; what needs it was left out");
        }
        Ok(())
    }

    /// Brings about the end that someone asked for, or that an input without a rest asks for, and says whether it has come without
    /// a word from the output.
    ///
    /// # Errors
    /// If it does not come.
    fn is_over(&self, end: &mut End) -> Result<bool> {
        if self.stop.asked() || end.broken.is_some() {
            end.since.get_or_insert_with(Instant::now);
        }
        let since = end.since.map_or(Duration::ZERO, |since| since.elapsed());
        if since > SILENCE && !end.is_pushed {
            end.is_pushed = true;
            for stream in self.streams() {
                // What is being pushed there comes first. Nobody is told where it does not end: the wait for it has an end.
                thread::spawn(move || stream.send_event(gst::event::Eos::new()));
            }
        }
        if since > FINISH {
            let why = end.broken.take().unwrap_or_else(|| anyhow!("interrupted"));
            return Err(anyhow!("the output could not be finished in {} s", FINISH.as_secs()).context(why));
        }
        Ok(self.sent.get().is_some_and(|sent| sent.elapsed() > GOODBYE))
    }

    /// Where the decoders lead to.
    fn streams(&self) -> Vec<gst::Pad> {
        let elements = self.pipeline.children().into_iter();
        let decoders = elements.filter(|element| element.name().starts_with(DECODER));
        decoders
            .flat_map(|decoder| decoder.src_pads())
            .filter_map(|pad| pad.peer())
            .collect()
    }

    /// Number of frames that have left all `factorseg`.
    fn frames(&self) -> u64 {
        self.shown.iter().map(|shown| shown.frames()).sum()
    }
}

/// The end of a run, which takes its time.
#[derive(Default)]
struct End {
    /// Since when it is waited for.
    since: Option<Instant>,
    /// Whether the streams of the inputs were ended from here.
    is_pushed: bool,
    /// Why an input broke off.
    broken: Option<anyhow::Error>,
}

/// A line on stdout; it does not matter if nobody reads it.
pub fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// What became of the frames of one element.
fn statistics(shown: &Shown, seconds: f64) -> String {
    let stats = shown.segment.property::<gst::Structure>("stats");
    let count = |name| stats.get::<u64>(name).unwrap_or(0);
    let device: String = stats.get("device").unwrap_or_else(|_| "unknown".to_owned());
    format!(
        "{}: {} frames in {seconds:.1} s ({:.1} per second), {} segmented in {:.1} ms each, {} with the mask of another, device {device}",
        shown.segment.name(),
        shown.frames(),
        shown.frames() as f64 / seconds,
        count("inferred"),
        count("latency-p50") as f64 / 1e6,
        count("reused"),
    )
}

/// What cannot be decoded here, in GStreamer's words.
fn missing_plugin(message: &gst::message::Element) -> Option<String> {
    let structure = message
        .structure()
        .filter(|structure| structure.name() == "missing-plugin")?;
    structure.get("name").ok()
}

/// The place that is read where it failed, if it was an input that did.
fn input_of(error: &gst::message::Error) -> Option<String> {
    let mut around = std::iter::successors(error.src().cloned(), |object| object.parent());
    around.find_map(|object| {
        let name = object.name();
        let input = name.strip_prefix(DECODER).or(name.strip_prefix(SOURCE))?;
        Some(input.split_once(' ')?.1.to_owned())
    })
}

/// What failed, by the name that the user knows, and the way out.
fn failure(error: &gst::message::Error, input: Option<&str>, missing: Option<&str>) -> anyhow::Error {
    match (input, missing) {
        (Some(input), Some(missing)) => anyhow!(
            "cannot decode {input}: no {missing} is installed; install gstreamer1.0-libav and the plugins good, bad and ugly"
        ),
        (Some(input), None) => anyhow!(
            "cannot read {input}: {}; give a video that GStreamer decodes, a stream, or a folder of pictures (.jpg, .png)",
            error.error().message().trim_end_matches('.')
        ),
        (None, _) => anyhow!(
            "{}: {}",
            error.src().map_or("".into(), |source| source.name()),
            error.error()
        ),
    }
}
