//! Fake engines, frames, and harnesses around the element.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use factorseg_model::{
    ClassLabel, Engine, EngineInfo, InputImage, Precision, RegionMap, SegmentError, SegmenterOptions,
};
use gst::prelude::*;
use gstfactorseg::FactorSeg;
use gstfactorseg::factorseg::EngineFactory;
use gstreamer as gst;
use gstreamer_check as gst_check;
use gstreamer_video as gst_video;

pub const FRAME_DURATION: gst::ClockTime = gst::ClockTime::from_mseconds(40);

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstfactorseg::plugin_register_static().unwrap();
    });
}

/// What a fake engine does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Region 1 is as probable as the pixel is bright, region 2 the rest, region 3 nothing.
    Brightness,
    /// The left half is region 1, the right half region 2.
    Halves,
    /// All is region 1.
    Whole,
    Fails,
    /// As a GPU with no memory left.
    Full,
    Panics,
    PanicsOnSize,
    NotANumber,
    WrongSize,
    Transposed,
    WrongRegions,
    NoMaps,
    EmptyInput,
    HugeInput,
}

/// A fake engine's behaviour, and what it saw. Clones share both.
#[derive(Clone)]
pub struct Fake {
    pub name: &'static str,
    pub regions: usize,
    /// The region that is the object, from 0.
    pub object: usize,
    pub behaviour: Arc<Mutex<Behaviour>>,
    /// Whoever holds it stops the engine.
    pub delay: Arc<Mutex<Duration>>,
    pub segmented: Arc<AtomicUsize>,
    pub loaded: Arc<AtomicUsize>,
    pub alive: Arc<AtomicUsize>,
    pub inputs: Arc<Mutex<Vec<(usize, usize)>>>,
    pub options: Arc<Mutex<Vec<SegmenterOptions>>>,
}

impl Fake {
    pub fn new(behaviour: Behaviour) -> Self {
        Self {
            name: "fake",
            regions: 3,
            object: 0,
            behaviour: Arc::new(Mutex::new(behaviour)),
            delay: Arc::default(),
            segmented: Arc::default(),
            loaded: Arc::default(),
            alive: Arc::default(),
            inputs: Arc::default(),
            options: Arc::default(),
        }
    }

    pub fn slow(behaviour: Behaviour, milliseconds: u64) -> Self {
        let fake = Self::new(behaviour);
        *fake.delay.lock().unwrap() = Duration::from_millis(milliseconds);
        fake
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub fn engine(&self) -> Box<dyn Engine> {
        self.loaded.fetch_add(1, Ordering::SeqCst);
        self.alive.fetch_add(1, Ordering::SeqCst);
        Box::new(FakeEngine {
            fake: self.clone(),
            info: EngineInfo {
                model: self.name.into(),
                regions: self.regions,
                foreground_regions: vec![self.object],
                ..info()
            },
        })
    }

    pub fn segmented(&self) -> usize {
        self.segmented.load(Ordering::SeqCst)
    }

    /// An element that runs this engine.
    pub fn element(&self) -> FactorSeg {
        init();
        let element = gst::ElementFactory::make("factorseg")
            .build()
            .unwrap()
            .downcast::<FactorSeg>()
            .unwrap();
        element.set_engine_factory(self.factory());
        element
    }

    pub fn factory(&self) -> EngineFactory {
        let fake = self.clone();
        Arc::new(move |_| Ok(fake.engine()))
    }
}

pub fn info() -> EngineInfo {
    EngineInfo {
        model: "fake".into(),
        device: "nowhere".into(),
        instructions: "",
        regions: 3,
        timesteps: 1000,
        classes: ["tabby", "tractor"]
            .map(|name| ClassLabel {
                wordnet_id: None,
                name: name.into(),
            })
            .to_vec(),
        foreground_regions: vec![0],
        precision: Precision::F32,
        refused: None,
    }
}

struct FakeEngine {
    fake: Fake,
    info: EngineInfo,
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.fake.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine for FakeEngine {
    fn input_size(&self, width: usize, height: usize) -> (usize, usize) {
        let behaviour = *self.fake.behaviour.lock().unwrap();
        match behaviour {
            Behaviour::EmptyInput => (0, 8),
            Behaviour::HugeInput => (1 << 20, 1 << 20),
            Behaviour::PanicsOnSize => panic!("no size for {width}x{height}"),
            _ if width >= height => (16, 8),
            _ => (8, 16),
        }
    }

    fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        std::thread::sleep(*self.fake.delay.lock().unwrap());
        self.fake.segmented.fetch_add(1, Ordering::SeqCst);
        let behaviour = *self.fake.behaviour.lock().unwrap();
        let mut maps = Vec::new();
        for image in images {
            let (width, height) = (image.width, image.height);
            self.fake.inputs.lock().unwrap().push((width, height));
            let cells = width * height;
            let first: Vec<f32> = (0..cells)
                .map(|cell| match behaviour {
                    Behaviour::Brightness => (image.data[cell] + 1.0) / 2.0,
                    Behaviour::Halves => f32::from(u8::from(cell % width < width / 2)),
                    _ => 1.0,
                })
                .collect();
            let mut probabilities = first.clone();
            probabilities.extend(first.iter().map(|p| 1.0 - p));
            probabilities.extend(vec![0.0; (self.fake.regions - 2) * cells]);
            let mut map = RegionMap {
                regions: self.fake.regions,
                width,
                height,
                probabilities,
            };
            match behaviour {
                Behaviour::Fails => {
                    return Err(SegmentError::Failed {
                        device: "nowhere".into(),
                        reason: "out of luck".into(),
                    });
                }
                Behaviour::Full => {
                    return Err(SegmentError::Failed {
                        device: "cuda:0".into(),
                        reason: "out of memory".into(),
                    });
                }
                Behaviour::Panics => panic!("a bug in the engine"),
                Behaviour::NotANumber => map.probabilities[cells / 2] = f32::NAN,
                Behaviour::WrongSize => map.width -= 1,
                Behaviour::Transposed => std::mem::swap(&mut map.width, &mut map.height),
                Behaviour::WrongRegions => map.regions = 4,
                Behaviour::NoMaps => continue,
                _ => {}
            }
            maps.push(map);
        }
        Ok(maps)
    }

    fn set_options(&mut self, options: &SegmenterOptions) -> Result<(), SegmentError> {
        self.fake.options.lock().unwrap().push(options.clone());
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

/// A harness around the element, with a bus, not live.
pub struct Bench {
    pub harness: gst_check::Harness,
    pub element: FactorSeg,
    pub bus: gst::Bus,
}

impl Bench {
    pub fn new(fake: &Fake) -> Self {
        Self::with(fake.element())
    }

    pub fn with(element: FactorSeg) -> Self {
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_live(false);
        Self { harness, element, bus }
    }

    pub fn set_caps(&mut self, format: gst_video::VideoFormat, width: u32, height: u32) {
        let info = video_info(format, width, height);
        self.harness.set_src_caps(info.to_caps().unwrap());
    }

    /// The texts of all messages of a type so far.
    pub fn messages(&self, kind: gst::MessageType) -> Vec<String> {
        std::iter::from_fn(|| self.bus.pop_filtered(&[kind]))
            .map(|message| error_text(&message))
            .collect()
    }

    pub fn stat(&self, name: &str) -> u64 {
        self.element.property::<gst::Structure>("stats").get(name).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.element.set_bus(None);
    }
}

/// A harness that takes what comes out of a new mask pad.
pub fn mask_harness(bench: &Bench, name: &str, format: &str) -> (gst::Pad, gst_check::Harness) {
    let pad = bench.element.request_pad_simple(name).unwrap();
    pad.set_property_from_str("format", format);
    let harness = gst_check::Harness::with_element(&bench.element, None, Some(pad.name().as_str()));
    (pad, harness)
}

/// A pipeline by its description, with a fake engine in each `factorseg` of these names.
pub fn launch(text: &str, fakes: &[(&str, &Fake)]) -> gst::Pipeline {
    init();
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    for (name, fake) in fakes {
        segmenter(&pipeline, name).set_engine_factory(fake.factory());
    }
    pipeline
}

/// The `factorseg` of this name.
pub fn segmenter(pipeline: &gst::Pipeline, name: &str) -> FactorSeg {
    pipeline.by_name(name).unwrap().downcast::<FactorSeg>().unwrap()
}

/// What comes to an element's sink pad from now on.
pub fn record(element: &gst::Element) -> Arc<Mutex<Vec<gst::Buffer>>> {
    let buffers = Arc::new(Mutex::new(Vec::new()));
    let kept = buffers.clone();
    let keep = move |_: &gst::Pad, info: &mut gst::PadProbeInfo<'_>| {
        kept.lock().unwrap().extend(info.buffer().cloned());
        gst::PadProbeReturn::Ok
    };
    let pad = element.static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, keep);
    buffers
}

/// Plays a pipeline to its end; returns what came to its element `sink`.
pub fn played(pipeline: &gst::Pipeline) -> Vec<gst::Buffer> {
    let buffers = record(&pipeline.by_name("sink").unwrap());
    play_to_the_end(pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    std::mem::take(&mut *buffers.lock().unwrap())
}

/// Plays until the stream ends or fails, whichever it is told first; the pipeline goes on playing.
pub fn play_until_told(pipeline: &gst::Pipeline) -> gst::Message {
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let bus = pipeline.bus().unwrap();
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends);
    message.expect("the pipeline ends")
}

/// Plays to the end of the stream, which must not fail.
pub fn play_to_the_end(pipeline: &gst::Pipeline) {
    let message = play_until_told(pipeline);
    assert_eq!(message.type_(), gst::MessageType::Eos, "{}", error_text(&message));
}

/// What an error or a warning says.
pub fn error_text(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(error) => error.error().to_string(),
        gst::MessageView::Warning(warning) => warning.error().to_string(),
        view => format!("{view:?}"),
    }
}

pub fn video_info(format: gst_video::VideoFormat, width: u32, height: u32) -> gst_video::VideoInfo {
    gst_video::VideoInfo::builder(format, width, height)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .unwrap()
}

/// The frame number `index`, every byte the same.
pub fn flat_frame(info: &gst_video::VideoInfo, index: u64, byte: u8) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![byte; info.size()]);
    stamp(&mut buffer, index);
    buffer
}

pub fn stamp(buffer: &mut gst::Buffer, index: u64) {
    let buffer = buffer.get_mut().unwrap();
    buffer.set_pts(index * FRAME_DURATION);
    buffer.set_duration(FRAME_DURATION);
}

pub fn bytes(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// Polls until something is so; panics after a long time.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited in vain until {what}");
}
