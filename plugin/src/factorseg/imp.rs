use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use factorseg_model::{Engine, Segmenter, SegmenterOptions};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gstreamer as gst;
use gstreamer_base::UniqueFlowCombiner;
use gstreamer_video as gst_video;

use super::{EngineError, EngineFactory, ErrorPolicy, FactorSegMaskPad, MaskFormat, Mode, Overlay, Refine};
use crate::blend::{Blend, Blender};
use crate::contour;
use crate::draw::{Layer, Painter};
use crate::guided::{self, Refiner};
use crate::layout::{FORMATS, Layout, Plane, PlaneMut};
use crate::mask::Mask;
use crate::meta::{self, FrameReport};
use crate::overlay;
use crate::pool::SharedEngine;
use crate::render::{Picture, render};
use crate::sample::Sampler;
use crate::settings::{EngineRequest, Plan, Settings, SettingsError};
use crate::worker::{Failure, Interrupted, Job, Worker, lock, panic_text};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "factorseg",
        gst::DebugColorFlags::empty(),
        Some("Factorized diffusion segmentation"),
    )
});

type FlowResult = Result<gst::FlowSuccess, gst::FlowError>;

pub struct FactorSeg {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    factory: Mutex<Option<EngineFactory>>,
    /// From READY on.
    session: Mutex<Option<Arc<Session>>>,
    stream: Mutex<Stream>,
    outputs: Mutex<Outputs>,
    /// The running time that the sink wants frames from, by its last QoS event.
    earliest: Mutex<Option<gst::ClockTime>>,
    counters: Counters,
    /// An error message was posted; the stream ends.
    failed: AtomicBool,
    /// A warning about frames without masks was posted.
    warned: AtomicBool,
    /// A thread is loading another engine.
    loading: AtomicBool,
    /// What the element adds to the latency of a live stream.
    latency: Mutex<Latency>,
}

/// A loaded engine at work, and what the settings mean for it.
struct Session {
    request: EngineRequest,
    worker: Worker,
    plan: Mutex<Arc<Plan>>,
}

/// What belongs to one stream. Only its streaming thread works on it; it is never locked while waiting or pushing.
#[derive(Default)]
struct Stream {
    format: Option<Arc<Format>>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    sampler: Option<Sampler>,
    painter: Painter,
    blender: Blender,
    refiner: Refiner,
    /// The last frame's refined foreground, kept for its memory.
    refined: Vec<u8>,
    /// The mask drawn last.
    mask: Option<Arc<Mask>>,
    /// Frames since the last one that was segmented.
    since_due: u64,
    /// Whether the next frame to segment does not follow the one before it.
    discontinuous: bool,
    /// Upstream's answer, once asked.
    live: Option<bool>,
    /// Age of the mask on the last frame.
    mask_age: Option<gst::ClockTime>,
}

/// The pads that buffers leave by.
struct Outputs {
    masks: Vec<MaskOutput>,
    combiner: UniqueFlowCombiner,
}

#[derive(Clone)]
struct MaskOutput {
    pad: FactorSegMaskPad,
    /// The picture rendered last: most streams reuse masks.
    rendered: Option<Rendered>,
}

#[derive(Clone)]
struct Rendered {
    mask: Option<Arc<Mask>>,
    foreground: Vec<bool>,
    info: gst_video::VideoInfo,
    format: MaskFormat,
    memory: gst::Memory,
}

struct Format {
    info: gst_video::VideoInfo,
    layout: Layout,
}

#[derive(Default)]
struct Counters {
    frames: AtomicU64,
    reused: AtomicU64,
}

impl Session {
    fn plan(&self) -> Arc<Plan> {
        lock(&self.plan).clone()
    }
}

impl Stream {
    /// Forgets what the next frame does not follow.
    fn restart(&mut self) {
        self.mask = None;
        self.mask_age = None;
        self.since_due = 0;
        self.discontinuous = true;
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FactorSeg {
    const NAME: &'static str = "GstFactorSeg";
    type Type = super::FactorSeg;
    type ParentType = gst::Element;
    type Interfaces = (gst::ChildProxy,);

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("the class has this template");
        let sinkpad = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |element| element.chain(buffer))
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |element| element.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |element| element.sink_query(pad, query))
            })
            // What comes in goes out as video; masks have events of their own.
            .iterate_internal_links_function(|_, parent| {
                let srcpad = parent
                    .and_then(|parent| parent.downcast_ref::<super::FactorSeg>())
                    .map(|element| element.imp().srcpad.clone());
                gst::Iterator::from_vec(srcpad.into_iter().collect())
            })
            .flags(gst::PadFlags::ACCEPT_TEMPLATE)
            .build();
        let srcpad = gst::Pad::builder_from_template(&template("src"))
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |element| element.src_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |element| element.src_query(pad, query))
            })
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        let mut combiner = UniqueFlowCombiner::new();
        combiner.add_pad(&srcpad);
        Self {
            sinkpad,
            srcpad,
            outputs: Mutex::new(Outputs {
                masks: Vec::new(),
                combiner,
            }),
            settings: Mutex::default(),
            factory: Mutex::default(),
            session: Mutex::default(),
            stream: Mutex::default(),
            earliest: Mutex::default(),
            counters: Counters::default(),
            failed: AtomicBool::default(),
            warned: AtomicBool::default(),
            loading: AtomicBool::default(),
            latency: Mutex::default(),
        }
    }
}

impl ObjectImpl for FactorSeg {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let default = Settings::default();
            vec![
                glib::ParamSpecString::builder("model")
                    .nick("Model")
                    .blurb("Checkpoint, a file or a directory with model.safetensors; empty for the built-in one")
                    .default_value(Some(default.model.as_str()))
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("device")
                    .nick("Device")
                    .blurb("Where the network runs: auto (CUDA if there is one, else cpu), cpu, cuda, cuda:N")
                    .default_value(Some(default.device.as_str()))
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("class")
                    .nick("Class")
                    .blurb("Class to look for: a name, a WordNet id or an index of the model's classes, or none")
                    .default_value(Some(default.class.as_str()))
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("timestep")
                    .nick("Timestep")
                    .blurb("Noise level at which frames are segmented, 1 to the model's number of timesteps")
                    .minimum(1)
                    .maximum(1_000_000)
                    .default_value(default.timestep)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt64::builder("seed")
                    .nick("Seed")
                    .blurb("Seed of the noise, the same for all frames, so that a still video has still masks")
                    .default_value(default.seed)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("samples")
                    .nick("Samples")
                    .blurb("Noise draws whose masks are averaged; the cost grows with them")
                    .minimum(1)
                    .maximum(64)
                    .default_value(default.samples)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("mode", default.mode)
                    .nick("Mode")
                    .blurb("When frames are segmented")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("interval")
                    .nick("Interval")
                    .blurb("Segment one frame of this many and reuse its mask for the others; 1 for every frame")
                    .minimum(1)
                    .default_value(default.interval)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("qos")
                    .nick("Quality of service")
                    .blurb("In mode every-frame, reuse the last mask for frames that would come too late at the sink")
                    .default_value(default.qos)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("overlay", default.overlay)
                    .nick("Overlay")
                    .blurb("What is drawn on the frames")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("alpha")
                    .nick("Alpha")
                    .blurb("Opacity of overlay=tint and contour, 0 is invisible")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(default.alpha)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("colors")
                    .nick("Colors")
                    .blurb("Colours of regions 1, 2, ... as RRGGBB in hexadecimal, separated by commas; empty for a built-in palette")
                    .default_value(Some(default.colors.as_str()))
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("background-color")
                    .nick("Background color")
                    .blurb("Colour behind overlay=foreground, 0xRRGGBB")
                    .maximum(0xff_ffff)
                    .default_value(default.background_color)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("foreground-regions")
                    .nick("Foreground regions")
                    .blurb("Regions that are the object: auto (the model's own; all if it names none), all, or numbers from 1, separated by commas")
                    .default_value(Some(default.foreground_regions.as_str()))
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("refine", default.refine)
                    .nick("Refine")
                    .blurb("How masks are brought to the size of the frames")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("sharpness")
                    .nick("Sharpness")
                    .blurb("Exponent of the probabilities, which are then divided by their sum: above 1, soft masks become harder")
                    .minimum(1.0)
                    .maximum(100.0)
                    .default_value(default.sharpness)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("smoothing")
                    .nick("Smoothing")
                    .blurb("Share of the mask before in each mask where both agree; 0 for none")
                    .minimum(0.0)
                    .maximum(0.99)
                    .default_value(default.smoothing)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("on-error", default.on_error)
                    .nick("On error")
                    .blurb("What happens when frames cannot be segmented")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("frames, inferred, reused, dropped (not segmented for a newer one), mask-age and latency-p50, -p95, -p99 in ns, model, device, mode")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        // GObject has checked the type; a string that is unset is empty.
        fn get<'a, T: glib::value::FromValue<'a>>(value: &'a glib::Value) -> T
        where
            <T as glib::value::FromValue<'a>>::Checker:
                glib::value::ValueTypeChecker<Error = glib::value::ValueTypeMismatchError>,
        {
            value.get().expect("type checked upstream")
        }
        let string = || {
            value
                .get::<Option<String>>()
                .expect("type checked upstream")
                .unwrap_or_default()
        };
        {
            let mut settings = lock(&self.settings);
            match pspec.name() {
                "model" => settings.model = string(),
                "device" => settings.device = string(),
                "class" => settings.class = string(),
                "timestep" => settings.timestep = get(value),
                "seed" => settings.seed = get(value),
                "samples" => settings.samples = get(value),
                "mode" => settings.mode = get(value),
                "interval" => settings.interval = get(value),
                "qos" => settings.qos = get(value),
                "overlay" => settings.overlay = get(value),
                "alpha" => settings.alpha = get(value),
                "colors" => settings.colors = string(),
                "background-color" => settings.background_color = get(value),
                "foreground-regions" => settings.foreground_regions = string(),
                "refine" => settings.refine = get(value),
                "sharpness" => settings.sharpness = get(value),
                "smoothing" => settings.smoothing = get(value),
                "on-error" => settings.on_error = get(value),
                name => unreachable!("no writable property {name}"),
            }
        }
        match pspec.name() {
            "model" | "device" => self.reload(),
            _ => self.update_plan(),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return self.stats().to_value();
        }
        let settings = lock(&self.settings);
        match pspec.name() {
            "model" => settings.model.to_value(),
            "device" => settings.device.to_value(),
            "class" => settings.class.to_value(),
            "timestep" => settings.timestep.to_value(),
            "seed" => settings.seed.to_value(),
            "samples" => settings.samples.to_value(),
            "mode" => settings.mode.to_value(),
            "interval" => settings.interval.to_value(),
            "qos" => settings.qos.to_value(),
            "overlay" => settings.overlay.to_value(),
            "alpha" => settings.alpha.to_value(),
            "colors" => settings.colors.to_value(),
            "background-color" => settings.background_color.to_value(),
            "foreground-regions" => settings.foreground_regions.to_value(),
            "refine" => settings.refine.to_value(),
            "sharpness" => settings.sharpness.to_value(),
            "smoothing" => settings.smoothing.to_value(),
            "on-error" => settings.on_error.to_value(),
            name => unreachable!("no readable property {name}"),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for pad in [&self.sinkpad, &self.srcpad] {
            element.add_pad(pad).expect("a new element has no pads");
        }
    }
}

impl GstObjectImpl for FactorSeg {}

impl ElementImpl for FactorSeg {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Factorized diffusion segmentation",
                "Filter/Effect/Video",
                "Segments video into regions with a network that was trained without labels, and draws them",
                "The factorseg developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_video::VideoCapsBuilder::new().format_list(FORMATS).build();
            let always = |name, direction| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).expect("a valid template")
            };
            vec![
                always("sink", gst::PadDirection::Sink),
                always("src", gst::PadDirection::Src),
                gst::PadTemplate::with_gtype(
                    "mask_%u",
                    gst::PadDirection::Src,
                    gst::PadPresence::Request,
                    &gst_video::VideoCapsBuilder::new()
                        .format(gst_video::VideoFormat::Gray8)
                        .build(),
                    FactorSegMaskPad::static_type(),
                )
                .expect("a valid template"),
            ]
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let element = self.obj();
        let name = match name {
            Some(name) => name.to_owned(),
            None => (0..)
                .map(|index| format!("mask_{index}"))
                .find(|name| element.static_pad(name).is_none())?,
        };
        let pad = gst::PadBuilder::<FactorSegMaskPad>::from_template(template)
            .name(name)
            .build();
        // Added, and thereby active, before the stream may push to it.
        if let Err(error) = element.add_pad(&pad) {
            gst::error!(CAT, imp = self, "cannot add a pad: {error}");
            return None;
        }
        let mut outputs = lock(&self.outputs);
        outputs.combiner.add_pad(&pad);
        outputs.masks.push(MaskOutput {
            pad: pad.clone(),
            rendered: None,
        });
        drop(outputs);
        element.child_added(&pad, &pad.name());
        Some(pad.upcast())
    }

    fn release_pad(&self, pad: &gst::Pad) {
        let element = self.obj();
        self.forget_pad(pad);
        // A pad that cannot be deactivated is removed all the same.
        let _ = pad.set_active(false);
        element.child_removed(pad, &pad.name());
        if let Err(error) = element.remove_pad(pad) {
            gst::error!(CAT, imp = self, "cannot remove a pad: {error}");
        }
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.open()?,
            gst::StateChange::ReadyToPaused => {
                self.open()?;
                self.start();
            }
            // Frees the streaming thread, which the pads wait for.
            gst::StateChange::PausedToReady => self.set_flushing(true),
            _ => {}
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToReady => {
                *lock(&self.stream) = Stream::default();
                for output in &mut lock(&self.outputs).masks {
                    output.rendered = None;
                }
            }
            gst::StateChange::ReadyToNull => {
                // Out of the lock: dropping it waits for the inference under way.
                let session = lock(&self.session).take();
                drop(session);
            }
            _ => {}
        }
        Ok(success)
    }
}

impl ChildProxyImpl for FactorSeg {
    fn children_count(&self) -> u32 {
        self.obj().num_pads().into()
    }

    fn child_by_name(&self, name: &str) -> Option<glib::Object> {
        self.obj().static_pad(name).map(|pad| pad.upcast())
    }

    fn child_by_index(&self, index: u32) -> Option<glib::Object> {
        let pad = self.obj().pads().into_iter().nth(index as usize)?;
        Some(pad.upcast())
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("Cannot load the model: {0}")]
    Model(EngineError),
    #[error("The model {0} has no regions")]
    NoRegions(String),
    #[error("Cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl OpenError {
    fn domain(&self) -> gst::ResourceError {
        match self {
            OpenError::Settings(_) | OpenError::NoRegions(_) => gst::ResourceError::Settings,
            OpenError::Model(_) => gst::ResourceError::OpenRead,
            OpenError::Thread(_) => gst::ResourceError::Failed,
        }
    }
}

/// Loading and settings.
impl FactorSeg {
    pub(super) fn set_engine_factory(&self, factory: EngineFactory) {
        *lock(&self.factory) = Some(factory);
    }

    fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    /// Loads the engine that the settings ask for, unless it is there.
    fn open(&self) -> Result<(), gst::StateChangeError> {
        self.failed.store(false, Ordering::SeqCst);
        self.warned.store(false, Ordering::SeqCst);
        self.try_open().map_err(|error| {
            self.fail(error.domain(), &error.to_string());
            gst::StateChangeError
        })
    }

    fn try_open(&self) -> Result<(), OpenError> {
        let settings = lock(&self.settings).clone();
        let request = settings.engine()?;
        if let Some(session) = self.session()
            && session.request == request
            && !session.worker.is_dead()
        {
            *lock(&session.plan) = Arc::new(settings.plan(session.worker.info())?);
            return Ok(());
        }
        // The old engine goes before the new one comes: a device may not hold both.
        let old = lock(&self.session).take();
        drop(old);
        let session = self.load(&settings, request)?;
        *lock(&self.session) = Some(Arc::new(session));
        // A property may have changed since the settings were read.
        self.update_plan();
        Ok(())
    }

    fn load(&self, settings: &Settings, request: EngineRequest) -> Result<Session, OpenError> {
        self.post_progress(gst::ProgressType::Start, "Loading the model");
        let session = self.load_quietly(settings, request).inspect_err(|_| {
            self.post_progress(gst::ProgressType::Error, "The model was not loaded");
        })?;
        let info = session.worker.info();
        gst::info!(
            CAT,
            imp = self,
            "{} with {} regions and {} classes runs on {}",
            info.model,
            info.regions,
            info.classes.len(),
            info.device
        );
        self.post_progress(
            gst::ProgressType::Complete,
            &format!("Loaded {} on {}", info.model, info.device),
        );
        Ok(session)
    }

    fn load_quietly(&self, settings: &Settings, request: EngineRequest) -> Result<Session, OpenError> {
        let factory = lock(&self.factory).clone().unwrap_or_else(default_factory);
        let engine = catch_unwind(AssertUnwindSafe(|| factory(&request)))
            .unwrap_or_else(|panic| Err(format!("loading panicked: {}", panic_text(&*panic)).into()))
            .map_err(OpenError::Model)?;
        if engine.info().regions == 0 {
            return Err(OpenError::NoRegions(engine.info().model.clone()));
        }
        let plan = settings.plan(engine.info())?;
        let element = self.obj().downgrade();
        let on_failure = Box::new(move |failure: &Failure| {
            if let Some(element) = element.upgrade() {
                element.imp().report(failure);
            }
        });
        let worker = Worker::start(engine, "factorseg", on_failure).map_err(OpenError::Thread)?;
        Ok(Session {
            request,
            worker,
            plan: Mutex::new(Arc::new(plan)),
        })
    }

    /// Loads another engine while the stream goes on with the one it has, then swaps them.
    fn reload(&self) {
        if self.obj().current_state() < gst::State::Paused || self.loading.swap(true, Ordering::SeqCst) {
            // Loaded on the way to PAUSED, or by the thread that is at it.
            return;
        }
        let element = self.obj().clone();
        let thread = std::thread::Builder::new()
            .name("factorseg-load".into())
            .spawn(move || {
                let element = element.imp();
                // A property that is set after the last look starts another thread.
                while element.swap_engine() {}
            });
        if let Err(error) = thread {
            self.loading.store(false, Ordering::SeqCst);
            self.complain(gst::ResourceError::Failed, &OpenError::Thread(error).to_string());
        }
    }

    /// Loads the engine that the settings ask for, if it is another one. Returns whether to look again.
    fn swap_engine(&self) -> bool {
        let settings = lock(&self.settings).clone();
        let is_current = |request: &EngineRequest| self.session().is_none_or(|session| session.request == *request);
        let loaded = match settings.engine() {
            Ok(request) if is_current(&request) => {
                self.loading.store(false, Ordering::SeqCst);
                self.update_plan();
                // A property that was set just now found this thread still at work.
                let again = lock(&self.settings).engine().is_ok_and(|request| !is_current(&request));
                return again && !self.loading.swap(true, Ordering::SeqCst);
            }
            Ok(request) => self.load(&settings, request),
            Err(error) => Err(error.into()),
        };
        let session = match loaded {
            Ok(session) => Arc::new(session),
            Err(error) => {
                self.loading.store(false, Ordering::SeqCst);
                self.complain(error.domain(), &error.to_string());
                return false;
            }
        };
        let old = {
            // Caps set the size of the session that is there, so both are looked at under this lock.
            let mut slot = lock(&self.session);
            let format = lock(&self.stream).format.clone();
            if let Some(format) = format {
                session.worker.set_frame_size(format.layout.width, format.layout.height);
            }
            match slot.as_ref() {
                Some(old) if old.request != session.request => slot.replace(session),
                // Stopped, or started anew, in the meantime.
                _ => None,
            }
        };
        if let Some(old) = old {
            // The streaming thread must not be the last to hold it: it would wait for the old one's thread.
            while Arc::strong_count(&old) > 1 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        true
    }

    /// Reports what is wrong with a stream that plays: its end, or a warning.
    fn complain(&self, domain: gst::ResourceError, text: &str) {
        let on_error = lock(&self.settings).on_error;
        match on_error {
            ErrorPolicy::Fail => self.fail(domain, text),
            ErrorPolicy::Passthrough => gst::element_imp_warning!(self, domain, ("{text}")),
        }
    }

    /// Posts an error message, unless this run has had its one already.
    fn fail(&self, error: impl gst::MessageErrorDomain, text: &str) {
        if !self.failed.swap(true, Ordering::SeqCst) {
            gst::element_imp_error!(self, error, ("{text}"));
        }
    }

    fn post_progress(&self, kind: gst::ProgressType, text: &str) {
        let element = self.obj();
        let message = gst::message::Progress::builder(kind, "model", text).src(&*element);
        // Without a bus nobody wants to know.
        let _ = element.post_message(message.build());
    }

    /// Makes changed properties count. A value that makes no sense is reported and the plan stays.
    fn update_plan(&self) {
        let Some(session) = self.session() else {
            return;
        };
        let settings = lock(&self.settings).clone();
        match settings.plan(session.worker.info()) {
            Ok(plan) => *lock(&session.plan) = Arc::new(plan),
            // The settings may be meant for the model that is being loaded.
            Err(_) if self.loading.load(Ordering::SeqCst) => {}
            Err(error) => self.complain(gst::ResourceError::Settings, &error.to_string()),
        }
    }

    /// Reports a failed inference, once.
    fn report(&self, failure: &Failure) {
        gst::warning!(CAT, imp = self, "{failure}");
        match lock(&self.settings).on_error {
            ErrorPolicy::Fail => {
                self.fail(gst::StreamError::Failed, &format!("Cannot segment a frame: {failure}"));
            }
            ErrorPolicy::Passthrough => {
                if !self.warned.swap(true, Ordering::SeqCst) {
                    gst::element_imp_warning!(
                        self,
                        gst::StreamError::Failed,
                        ("Frames pass without a mask: {failure}")
                    );
                }
            }
        }
    }

    fn stats(&self) -> gst::Structure {
        let (live, mask_age) = {
            let stream = lock(&self.stream);
            (stream.live, stream.mask_age)
        };
        let session = self.session();
        let mut worker = session
            .as_ref()
            .map(|session| session.worker.stats())
            .unwrap_or_default();
        worker.durations.sort_unstable();
        let percentile = |share: f64| {
            let last = worker.durations.len().saturating_sub(1);
            let duration = worker.durations.get((last as f64 * share).round() as usize);
            duration.map_or(0, Duration::as_nanos) as u64
        };
        let info = session.as_ref().map(|session| session.worker.info());
        let mode = match lock(&self.settings).mode {
            Mode::Auto => match live {
                None => Mode::Auto,
                Some(true) => Mode::Latest,
                Some(false) => Mode::EveryFrame,
            },
            mode => mode,
        };
        gst::Structure::builder("factorseg-stats")
            .field("frames", self.counters.frames.load(Ordering::Relaxed))
            .field("inferred", worker.inferred)
            .field("reused", self.counters.reused.load(Ordering::Relaxed))
            .field("dropped", worker.dropped)
            .field("mask-age", mask_age.unwrap_or_default().nseconds())
            .field("latency-p50", percentile(0.5))
            .field("latency-p95", percentile(0.95))
            .field("latency-p99", percentile(0.99))
            .field("model", info.map_or("", |info| info.model.as_str()))
            .field("device", info.map_or("", |info| info.device.as_str()))
            .field("mode", mode)
            .build()
    }
}

/// How long frames are held, as it is told to the pipeline.
#[derive(Debug, Default)]
struct Latency {
    reported: gst::ClockTime,
    /// Frames that were not counted.
    warm_up: u32,
    /// The longest of the frames since it was told last, and how many these are.
    longest: Duration,
    frames: u32,
}

impl Latency {
    /// First frames, for which a device may compile its kernels.
    const WARM_UP: u32 = 3;
    /// Frames after which a latency that was too long is corrected.
    const WINDOW: u32 = 250;

    /// Takes note of a frame's time. Returns whether the latency is another now.
    fn observe(&mut self, waits: bool, duration: Duration) -> bool {
        if self.warm_up < Self::WARM_UP {
            self.warm_up += 1;
            return false;
        }
        // Drawing alone is done in time: a mode that does not wait adds nothing.
        let duration = if waits { duration } else { Duration::ZERO };
        self.longest = self.longest.max(duration);
        self.frames += 1;
        // A fifth more than what was seen, in whole milliseconds, so that it is not told for every frame.
        let wanted = gst::ClockTime::from_mseconds((self.longest.as_secs_f64() * 1200.0).ceil() as u64);
        let too_short = duration > Duration::from(self.reported);
        let too_long = self.frames >= Self::WINDOW && wanted < self.reported / 2;
        let changes = too_short || too_long;
        if changes {
            self.reported = wanted;
        }
        if changes || self.frames >= Self::WINDOW {
            self.longest = Duration::ZERO;
            self.frames = 0;
        }
        changes
    }
}

fn default_factory() -> EngineFactory {
    Arc::new(|request| {
        // The class is set with the first frame: which there are is known only when the model is loaded.
        let options = SegmenterOptions::default();
        let engine = SharedEngine::get(request, || {
            let engine = Segmenter::load(&request.model, request.device, &options)?;
            Ok::<Box<dyn Engine>, EngineError>(Box::new(engine))
        })?;
        Ok(Box::new(engine))
    })
}

/// The stream.
impl FactorSeg {
    fn start(&self) {
        self.counters.frames.store(0, Ordering::Relaxed);
        self.counters.reused.store(0, Ordering::Relaxed);
        *lock(&self.earliest) = None;
        *lock(&self.latency) = Latency::default();
        let mut stream = lock(&self.stream);
        *stream = Stream::default();
        stream.restart();
        drop(stream);
        lock(&self.outputs).combiner.reset();
        self.set_flushing(false);
    }

    fn set_flushing(&self, flushing: bool) {
        if let Some(session) = self.session() {
            session.worker.set_flushing(flushing);
            session.worker.forget();
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                // The default handler would not forward it.
                return self.set_caps(caps.caps()) && self.srcpad.push_event(event);
            }
            gst::EventView::Segment(segment) => {
                let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() else {
                    self.fail(
                        gst::StreamError::Format,
                        &format!(
                            "A segment in {:?} is not supported, only in time",
                            segment.segment().format()
                        ),
                    );
                    return false;
                };
                let mut stream = lock(&self.stream);
                stream.segment = segment.clone();
                stream.discontinuous = true;
                // Mask pads have it with their next buffer, when their caps are known.
            }
            gst::EventView::Gap(_) | gst::EventView::Eos(_) => {
                let format = lock(&self.stream).format.clone();
                let ends = event.type_() == gst::EventType::Eos;
                for pad in self.mask_pads() {
                    if let Some(format) = &format {
                        self.prepare_mask_pad(&pad, &self.mask_info(&pad, format));
                    }
                    if ends || format.is_some() {
                        pad.push_event(event.clone());
                    }
                }
            }
            gst::EventView::StreamStart(start) => {
                for pad in self.mask_pads() {
                    pad.push_event(self.mask_stream_start(&pad, start));
                }
                lock(&self.stream).restart();
                if let Some(session) = self.session() {
                    session.worker.forget();
                }
            }
            gst::EventView::FlushStart(_) => {
                self.set_flushing(true);
                for pad in self.mask_pads() {
                    pad.push_event(event.clone());
                }
            }
            gst::EventView::FlushStop(_) => {
                *lock(&self.earliest) = None;
                let mut stream = lock(&self.stream);
                stream.segment.reset();
                stream.restart();
                drop(stream);
                lock(&self.outputs).combiner.reset();
                self.set_flushing(false);
                for pad in self.mask_pads() {
                    pad.push_event(event.clone());
                }
            }
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            let (_, _, difference, timestamp) = qos.get();
            *lock(&self.earliest) = timestamp.and_then(|timestamp| earliest(timestamp, difference));
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                let mut upstream = gst::query::Latency::new();
                let known = self.sinkpad.peer_query(&mut upstream);
                if known {
                    let (live, minimum, maximum) = upstream.result();
                    let own = if live {
                        lock(&self.latency).reported
                    } else {
                        gst::ClockTime::ZERO
                    };
                    // Frames are delayed, not stored: what can be buffered stays what it is.
                    latency.set(live, minimum + own, maximum);
                }
                known
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            // Frames are drawn on where they lie, so upstream allocates as downstream wishes.
            gst::QueryViewMut::Allocation(_) => self.srcpad.peer_query(query),
            gst::QueryViewMut::Caps(caps) => {
                let template = pad.pad_template_caps();
                let filter = caps.filter_owned();
                let wanted = match &filter {
                    Some(filter) => filter.intersect_with_mode(&template, gst::CapsIntersectMode::First),
                    None => template,
                };
                let possible = self
                    .srcpad
                    .peer_query_caps(Some(&wanted))
                    .intersect_with_mode(&wanted, gst::CapsIntersectMode::First);
                caps.set_result(&possible);
                true
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn set_caps(&self, caps: &gst::CapsRef) -> bool {
        let info = match gst_video::VideoInfo::from_caps(caps) {
            Ok(info) => info,
            Err(error) => {
                gst::error!(CAT, imp = self, "cannot use {caps:?}: {error}");
                return false;
            }
        };
        if info.interlace_mode() != gst_video::VideoInterlaceMode::Progressive {
            self.fail(
                gst::StreamError::Format,
                &format!(
                    "Interlaced video ({}) is not supported; put `deinterlace` before {}",
                    info.interlace_mode().to_str(),
                    self.obj().name()
                ),
            );
            return false;
        }
        let (width, height) = (info.width() as usize, info.height() as usize);
        let layout = Layout::new(&info);
        let session = lock(&self.session);
        let mut stream = lock(&self.stream);
        let same_size = stream
            .format
            .as_ref()
            .is_some_and(|old| (old.layout.width, old.layout.height) == (width, height));
        stream.format = Some(Arc::new(Format { info, layout }));
        stream.sampler = None;
        if !same_size {
            stream.restart();
        }
        if let Some(session) = session.as_ref() {
            if !same_size {
                session.worker.forget();
            }
            session.worker.set_frame_size(width, height);
        }
        true
    }

    /// Whether upstream is live, asked once for each stream.
    fn is_live(&self) -> bool {
        if let Some(live) = lock(&self.stream).live {
            return live;
        }
        let mut query = gst::query::Latency::new();
        let live = self.sinkpad.peer_query(&mut query) && query.result().0;
        gst::debug!(CAT, imp = self, "upstream is {}live", if live { "" } else { "not " });
        lock(&self.stream).live = Some(live);
        live
    }

    fn chain(&self, mut buffer: gst::Buffer) -> FlowResult {
        let session = self.session().ok_or(gst::FlowError::Flushing)?;
        if self.failed.load(Ordering::SeqCst) {
            return Err(gst::FlowError::Error);
        }
        let format = lock(&self.stream).format.clone().ok_or(gst::FlowError::NotNegotiated)?;
        self.counters.frames.fetch_add(1, Ordering::Relaxed);
        if buffer.n_memory() == 0 {
            // A gap: there is nothing to see.
            return self.push_video(buffer);
        }
        let plan = session.plan();
        let live = self.is_live();
        let wait = match plan.mode {
            Mode::EveryFrame => true,
            Mode::Latest => false,
            Mode::Auto => !live,
        };
        let start = Instant::now();
        let submitted = if self.is_due(&plan, &buffer, wait) {
            self.submit(&session, &plan, &format, &buffer, wait)?
        } else {
            None
        };
        let mask = match (wait, submitted) {
            (true, Some(ticket)) => match session.worker.wait_for(ticket) {
                Ok(mask) => Some(mask),
                Err(interrupted) => self.interrupted(interrupted)?,
            },
            (true, None) => lock(&self.stream).mask.clone(),
            (false, _) => match session.worker.latest() {
                // An engine that was swapped in has not finished its first frame.
                None if !session.worker.has_ended_any() => lock(&self.stream).mask.clone(),
                latest => latest,
            },
        };
        // A mask of another engine may have other regions.
        let mask = mask.filter(|mask| mask.map.regions == plan.foreground.len());
        if self.failed.load(Ordering::SeqCst) {
            return Err(gst::FlowError::Error);
        }
        let fresh = wait && submitted.is_some();
        if mask.is_some() && !fresh {
            self.counters.reused.fetch_add(1, Ordering::Relaxed);
        }
        {
            let mut stream = lock(&self.stream);
            stream.mask_age = mask.as_ref().and_then(|mask| meta::age(mask.pts, buffer.pts()));
            stream.mask = mask.clone();
        }
        let refined = match &mask {
            Some(mask) => self.refine(&plan, &format, mask, &buffer)?,
            None => None,
        };
        self.push_masks(&plan, &format, mask.as_ref(), refined.as_deref(), &buffer)?;
        if let Some(mask) = mask {
            self.decorate(&plan, &format, &mask, refined.as_deref(), buffer.make_mut())?;
        }
        if let Some(refined) = refined {
            lock(&self.stream).refined = refined;
        }
        if live && lock(&self.latency).observe(wait, start.elapsed()) {
            gst::debug!(CAT, imp = self, "the latency has changed");
            // Without a bus nobody computes it.
            let element = self.obj();
            let _ = element.post_message(gst::message::Latency::builder().src(&*element).build());
        }
        self.push_video(buffer)
    }

    /// Whether this frame is to be segmented.
    fn is_due(&self, plan: &Plan, buffer: &gst::BufferRef, wait: bool) -> bool {
        let mut stream = lock(&self.stream);
        if buffer.flags().contains(gst::BufferFlags::DISCONT) {
            stream.discontinuous = true;
        }
        let due = stream.since_due.is_multiple_of(plan.interval);
        stream.since_due = if due { 1 } else { stream.since_due + 1 };
        if !due {
            return false;
        }
        // With no mask at all, a late frame gets one all the same.
        let late = wait && plan.qos && stream.mask.is_some() && {
            let running_time = stream.segment.to_running_time(buffer.pts());
            let earliest = *lock(&self.earliest);
            matches!((running_time, earliest), (Some(time), Some(earliest)) if time < earliest)
        };
        if late {
            gst::debug!(CAT, imp = self, "late, not segmented: {:?}", buffer.pts());
        }
        !late
    }

    /// Hands a frame to the worker. No ticket if that is not possible now.
    fn submit(
        &self,
        session: &Session,
        plan: &Plan,
        format: &Format,
        buffer: &gst::BufferRef,
        wait: bool,
    ) -> Result<Option<u64>, gst::FlowError> {
        if session.worker.is_dead() {
            return Ok(None);
        }
        let size = if wait {
            session.worker.wait_input_size().map(Some)
        } else {
            session.worker.input_size()
        };
        let size = match size {
            Ok(size) => size,
            Err(interrupted) => self.interrupted(interrupted)?,
        };
        let Some((width, height)) = size else {
            // The engine is busy with a frame of another size: the next frame is due instead.
            lock(&self.stream).since_due = 0;
            return Ok(None);
        };
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &format.info)
            .map_err(|error| self.unmappable(&error))?;
        let planes = self.planes(&format.layout, frame.plane_stride(), frame.planes_data())?;
        let mut stream = lock(&self.stream);
        let stream = &mut *stream;
        let sampler = sampler(&mut stream.sampler, &format.layout, (width, height));
        let image = sampler.sample(&format.layout, &planes);
        let continues = !std::mem::take(&mut stream.discontinuous);
        Ok(Some(session.worker.submit(Job {
            image,
            options: plan.options.clone(),
            class: plan.class.clone(),
            sharpness: plan.sharpness,
            smoothing: plan.smoothing,
            continues,
            pts: buffer.pts(),
        })))
    }

    /// What a wait that ended without a result means for the frame: no mask, or the end of the stream.
    fn interrupted<T>(&self, interrupted: Interrupted) -> Result<Option<T>, gst::FlowError> {
        match interrupted {
            Interrupted::Flushing => Err(gst::FlowError::Flushing),
            Interrupted::Failed if self.failed.load(Ordering::SeqCst) => Err(gst::FlowError::Error),
            Interrupted::Failed => Ok(None),
        }
    }

    /// The foreground of each pixel, where it is to be refined and somebody sees it.
    fn refine(
        &self,
        plan: &Plan,
        format: &Format,
        mask: &Mask,
        buffer: &gst::BufferRef,
    ) -> Result<Option<Vec<u8>>, gst::FlowError> {
        let drawn = matches!(
            plan.overlay,
            Overlay::Tint | Overlay::Foreground | Overlay::BlurBackground
        );
        let sent = |pad: &FactorSegMaskPad| is_foreground(pad.imp().format());
        if plan.refine == Refine::None || !(drawn || self.mask_pads().iter().any(sent)) {
            return Ok(None);
        }
        let layout = &format.layout;
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &format.info)
            .map_err(|error| self.unmappable(&error))?;
        let planes = self.planes(layout, frame.plane_stride(), frame.planes_data())?;
        let mut stream = lock(&self.stream);
        let stream = &mut *stream;
        let (width, height) = (mask.map.width, mask.map.height);
        let averages = sampler(&mut stream.sampler, layout, (width, height)).average(&planes);
        let coarse = overlay::foreground(&mask.map, &plan.foreground);
        let fit = guided::fit(&coarse, averages, width, height);
        let mut refined = std::mem::take(&mut stream.refined);
        stream.refiner.refine(layout, &planes, &fit, &mut refined);
        Ok(Some(refined))
    }

    /// Draws a mask on a frame and tells its facts.
    fn decorate(
        &self,
        plan: &Plan,
        format: &Format,
        mask: &Mask,
        refined: Option<&[u8]>,
        buffer: &mut gst::BufferRef,
    ) -> Result<(), gst::FlowError> {
        if plan.overlay != Overlay::None {
            self.draw(plan, format, mask, refined, buffer)?;
        }
        FrameReport::new(mask, &plan.foreground, buffer.pts())
            .attach(buffer)
            .map_err(|error| self.meta_error(&error))
    }

    fn draw(
        &self,
        plan: &Plan,
        format: &Format,
        mask: &Mask,
        refined: Option<&[u8]>,
        buffer: &mut gst::BufferRef,
    ) -> Result<(), gst::FlowError> {
        /// What is done to the planes, once they are writable.
        enum Drawing<'a> {
            Layer(Layer),
            Blend(Blend, &'a [u8]),
            Contour,
        }
        let layout = &format.layout;
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, &format.info)
            .map_err(|error| self.unmappable(&error))?;
        let mut stream = lock(&self.stream);
        let stream = &mut *stream;
        let map = &mask.map;
        let chosen = plan.foreground.as_slice();
        let drawing = match (plan.overlay, refined) {
            (Overlay::None, _) => return Ok(()),
            (Overlay::Contour, _) => Drawing::Contour,
            (Overlay::Tint, None) => Drawing::Layer(overlay::tint(map, chosen, &plan.colors, plan.alpha, layout)),
            (Overlay::Tint, Some(refined)) => Drawing::Blend(
                overlay::tint_blend(map, chosen, &plan.colors, plan.alpha, layout),
                refined,
            ),
            (Overlay::Foreground, None) => Drawing::Layer(overlay::cut_out(map, chosen, plan.background, layout)),
            (Overlay::Foreground, Some(refined)) => {
                Drawing::Blend(overlay::cut_out_blend(plan.background, layout), refined)
            }
            (Overlay::BlurBackground, refined) => {
                let planes = self.planes(layout, frame.plane_stride(), frame.planes_data())?;
                let sampler = sampler(&mut stream.sampler, layout, (map.width, map.height));
                let averages = sampler.average(&planes);
                match refined {
                    None => Drawing::Layer(overlay::blur_background(map, chosen, averages, layout)),
                    Some(refined) => Drawing::Blend(overlay::blur_blend(map, chosen, averages, layout), refined),
                }
            }
        };
        let strides: [i32; 4] =
            std::array::from_fn(|plane| frame.plane_stride().get(plane).copied().unwrap_or_default());
        let mut planes = Vec::with_capacity(layout.planes);
        for (index, data) in frame.planes_data_mut().into_iter().enumerate().take(layout.planes) {
            let stride = self.stride(layout, index, strides[index], data.len())?;
            planes.push(PlaneMut { data, stride });
        }
        match drawing {
            Drawing::Layer(layer) => stream.painter.paint(layout, &layer, &mut planes),
            Drawing::Blend(blend, refined) => stream.blender.paint(layout, refined, &blend, &mut planes),
            Drawing::Contour => contour::paint(layout, map, chosen, &plan.colors, plan.alpha, &mut planes),
        }
        Ok(())
    }

    fn planes<'a>(
        &self,
        layout: &Layout,
        strides: &[i32],
        data: [&'a [u8]; 4],
    ) -> Result<Vec<Plane<'a>>, gst::FlowError> {
        (0..layout.planes)
            .map(|index| {
                let stride = self.stride(layout, index, strides[index], data[index].len())?;
                Ok(Plane {
                    data: data[index],
                    stride,
                })
            })
            .collect()
    }

    /// The stride of a plane, if the plane holds what the caps promise.
    fn stride(&self, layout: &Layout, plane: usize, stride: i32, length: usize) -> Result<usize, gst::FlowError> {
        let (bytes, rows) = layout.plane_size(plane);
        usize::try_from(stride)
            .ok()
            .filter(|stride| *stride >= bytes && length >= stride * (rows - 1) + bytes)
            .ok_or_else(|| {
                self.fail(gst::StreamError::Format, &format!("Plane {plane} of a frame has {length} bytes in rows of {stride}, too few for {rows} rows of {bytes}"));
                gst::FlowError::Error
            })
    }

    fn unmappable(&self, error: &glib::BoolError) -> gst::FlowError {
        self.fail(
            gst::StreamError::Format,
            &format!("A buffer does not hold the frame that its caps promise: {error}"),
        );
        gst::FlowError::Error
    }
}

/// Masks out.
impl FactorSeg {
    fn mask_pads(&self) -> Vec<FactorSegMaskPad> {
        let outputs = lock(&self.outputs);
        outputs.masks.iter().map(|output| output.pad.clone()).collect()
    }

    fn forget_pad(&self, pad: &gst::Pad) {
        let mut outputs = lock(&self.outputs);
        outputs.combiner.remove_pad(pad);
        outputs
            .masks
            .retain(|output| output.pad.upcast_ref::<gst::Pad>() != pad);
    }

    fn mask_stream_start(&self, pad: &FactorSegMaskPad, start: &gst::event::StreamStart) -> gst::Event {
        let id = pad.create_stream_id(&*self.obj(), Some(&pad.name()));
        gst::event::StreamStart::builder(&id)
            .seqnum(start.seqnum())
            .group_id_if_some(start.group_id())
            .flags(start.stream_flags())
            .build()
    }

    /// What a mask pad's buffers look like now.
    fn mask_info(&self, pad: &FactorSegMaskPad, format: &Format) -> gst_video::VideoInfo {
        let regions = self.session().map_or(1, |session| session.worker.info().regions);
        let height = picture(pad.imp().format()).height(format.layout.height, regions);
        gst_video::VideoInfo::builder(gst_video::VideoFormat::Gray8, format.info.width(), height as u32)
            .fps(format.info.fps())
            .par(format.info.par())
            .build()
            .expect("a grey picture of a size that video has")
    }

    /// Sends the events that must precede a buffer or the end, where they are not there yet.
    fn prepare_mask_pad(&self, pad: &FactorSegMaskPad, info: &gst_video::VideoInfo) {
        if pad.sticky_event::<gst::event::StreamStart>(0).is_none()
            && let Some(start) = self.sinkpad.sticky_event::<gst::event::StreamStart>(0)
        {
            pad.push_event(self.mask_stream_start(pad, &start));
        }
        match info.to_caps() {
            Ok(caps) if pad.current_caps().as_ref() != Some(&caps) => {
                pad.push_event(gst::event::Caps::new(&caps));
            }
            Ok(_) => {}
            Err(error) => gst::error!(CAT, imp = self, "no caps for {info:?}: {error}"),
        }
        let segment = self.sinkpad.sticky_event::<gst::event::Segment>(0);
        let sent = pad.sticky_event::<gst::event::Segment>(0);
        let number = |segment: &Option<gst::event::Segment<gst::Event>>| {
            segment.as_ref().map(|event| (event.seqnum(), event.segment().clone()))
        };
        if number(&segment) != number(&sent)
            && let Some(segment) = segment
        {
            pad.push_event(segment);
        }
    }

    fn push_masks(
        &self,
        plan: &Plan,
        format: &Format,
        mask: Option<&Arc<Mask>>,
        refined: Option<&[u8]>,
        frame: &gst::BufferRef,
    ) -> Result<(), gst::FlowError> {
        let masks = lock(&self.outputs).masks.clone();
        for mut output in masks {
            let info = self.mask_info(&output.pad, format);
            self.prepare_mask_pad(&output.pad, &info);
            let current = Rendered {
                mask: mask.cloned(),
                foreground: plan.foreground.clone(),
                info,
                format: output.pad.imp().format(),
                memory: gst::Memory::with_size(0),
            };
            // A refined foreground is another one for every frame.
            let refined = refined.filter(|_| is_foreground(current.format));
            let rendered = match output.rendered.take() {
                Some(rendered) if refined.is_none() && rendered.shows(&current) => rendered,
                _ => current.render(format, refined),
            };
            let mut buffer = gst::Buffer::new();
            {
                let buffer = buffer.make_mut();
                buffer.append_memory(rendered.memory.clone());
                // The size of a buffer and its regions come from the mask, all times from the frame.
                frame
                    .copy_into(buffer, gst::BufferCopyFlags::TIMESTAMPS, ..)
                    .map_err(|error| self.meta_error(&error))?;
                if let Some(mask) = mask {
                    FrameReport::new(mask, &plan.foreground, frame.pts())
                        .attach(buffer)
                        .map_err(|error| self.meta_error(&error))?;
                }
            }
            let flow = output.pad.push(buffer);
            let mut outputs = lock(&self.outputs);
            let Some(kept) = outputs.masks.iter_mut().find(|kept| kept.pad == output.pad) else {
                // It was released while it was pushed to.
                continue;
            };
            kept.rendered = refined.is_none().then_some(rendered);
            outputs.combiner.update_pad_flow(&output.pad, flow)?;
        }
        Ok(())
    }

    fn push_video(&self, buffer: gst::Buffer) -> FlowResult {
        let flow = self.srcpad.push(buffer);
        lock(&self.outputs).combiner.update_pad_flow(&self.srcpad, flow)
    }

    fn meta_error(&self, error: &glib::BoolError) -> gst::FlowError {
        self.fail(gst::CoreError::Failed, &format!("Cannot describe a buffer: {error}"));
        gst::FlowError::Error
    }
}

impl Rendered {
    /// Whether it is already what `other` is to become.
    fn shows(&self, other: &Self) -> bool {
        let same_mask = match (&self.mask, &other.mask) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        };
        same_mask && self.format == other.format && self.info == other.info && self.foreground == other.foreground
    }

    /// Renders its mask; zeros if there is none.
    fn render(mut self, format: &Format, refined: Option<&[u8]>) -> Self {
        let stride = self.info.stride()[0] as usize;
        let (width, height) = (format.layout.width, format.layout.height);
        let mut bytes = vec![0; self.info.size()];
        if let Some(refined) = refined {
            let hard = self.format == MaskFormat::HardForeground;
            for (out, row) in bytes.chunks_mut(stride).zip(refined.chunks(width)) {
                for (out, p) in out.iter_mut().zip(row) {
                    *out = match (hard, *p > 127) {
                        (false, _) => *p,
                        (true, true) => 255,
                        (true, false) => 0,
                    };
                }
            }
        } else if let Some(mask) = &self.mask {
            render(
                &mask.map,
                picture(self.format),
                &self.foreground,
                (width, height),
                stride,
                &mut bytes,
            );
        }
        self.memory = gst::Memory::from_slice(bytes);
        self
    }
}

/// The sampler to a size, made anew if the one there has another.
fn sampler<'a>(sampler: &'a mut Option<Sampler>, layout: &Layout, size: (usize, usize)) -> &'a mut Sampler {
    sampler.take_if(|sampler| sampler.size() != size);
    sampler.get_or_insert_with(|| Sampler::new(layout, size.0, size.1))
}

fn is_foreground(format: MaskFormat) -> bool {
    matches!(format, MaskFormat::Foreground | MaskFormat::HardForeground)
}

fn picture(format: MaskFormat) -> Picture {
    match format {
        MaskFormat::Labels => Picture::Labels,
        MaskFormat::Foreground => Picture::Foreground,
        MaskFormat::HardForeground => Picture::HardForeground,
        MaskFormat::Regions => Picture::Regions,
    }
}

/// The running time before which frames come too late, by the rule of GstBaseTransform.
fn earliest(timestamp: gst::ClockTime, difference: i64) -> Option<gst::ClockTime> {
    // A sink that is late will be late again: twice what is missing is caught up.
    let ahead = if difference > 0 {
        difference.saturating_mul(2)
    } else {
        difference
    };
    let time = i128::from(timestamp.nseconds()) + i128::from(ahead);
    u64::try_from(time).ok().map(gst::ClockTime::from_nseconds)
}
