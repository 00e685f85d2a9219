//! A loaded engine at work.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use factorseg_model::{Engine, Segmenter, SegmenterOptions};
use gstreamer as gst;

use crate::engine::counts::Counts;
use crate::engine::pool::SharedEngine;
use crate::engine::request::{EngineError, EngineFactory, EngineRequest};
use crate::engine::worker::{OnFailure, Worker, panic_text};
use crate::settings::{Plan, Settings, SettingsError};
use crate::sync::lock;

/// A loaded engine at work, and what the settings mean for it.
pub(super) struct Session {
    pub(super) request: EngineRequest,
    pub(super) worker: Worker,
    plan: Mutex<Arc<Plan>>,
    wrong: Mutex<Wrong>,
}

/// The settings that make no sense for it, all of them, and those that nobody was told of yet.
#[derive(Default)]
struct Wrong {
    all: Vec<SettingsError>,
    untold: Vec<SettingsError>,
}

impl Session {
    /// Loads the engine of a request, from `factory` if there is one.
    pub(super) fn load(
        settings: &Settings,
        request: EngineRequest,
        factory: Option<EngineFactory>,
        counts: Arc<Counts>,
        on_failure: OnFailure,
    ) -> Result<Self, OpenError> {
        let factory = factory.unwrap_or_else(default_factory);
        let engine = catch_unwind(AssertUnwindSafe(|| factory(&request)))
            .unwrap_or_else(|panic| Err(format!("loading panicked: {}", panic_text(&*panic)).into()))
            .map_err(OpenError::Model)?;
        if engine.info().regions == 0 {
            return Err(OpenError::NoRegions(engine.info().model.clone()));
        }
        let (plan, _) = settings.plan_after(engine.info(), None);
        let session = Session {
            request,
            worker: Worker::start(engine, "factorseg", counts, on_failure).map_err(OpenError::Thread)?,
            plan: Mutex::new(Arc::new(plan)),
            wrong: Mutex::default(),
        };
        session.adopt(settings);
        Ok(session)
    }

    /// Makes the settings count for what is to come; if that is frames, all of them must make sense.
    pub(super) fn open(&self, settings: &Settings, plays: bool) -> Result<(), OpenError> {
        if plays {
            settings.plan(self.worker.info())?;
        }
        self.adopt(settings);
        Ok(())
    }

    pub(super) fn plan(&self) -> Arc<Plan> {
        lock(&self.plan).clone()
    }

    /// Makes changed settings count; what makes no sense stays as it was.
    pub(super) fn adopt(&self, settings: &Settings) {
        let mut last = lock(&self.plan);
        let (plan, errors) = settings.plan_after(self.worker.info(), Some(&last));
        *last = Arc::new(plan);
        let mut wrong = lock(&self.wrong);
        let Wrong { all, untold } = &mut *wrong;
        untold.retain(|error| errors.contains(error));
        untold.extend(errors.iter().filter(|error| !all.contains(error)).cloned());
        *all = errors;
    }

    /// The settings that make no sense of which nobody was told yet.
    pub(super) fn take_wrong(&self) -> Vec<SettingsError> {
        std::mem::take(&mut lock(&self.wrong).untold)
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
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
    pub(super) fn domain(&self) -> gst::ResourceError {
        match self {
            OpenError::Settings(_) | OpenError::NoRegions(_) => gst::ResourceError::Settings,
            OpenError::Model(_) => gst::ResourceError::OpenRead,
            OpenError::Thread(_) => gst::ResourceError::Failed,
        }
    }
}

fn default_factory() -> EngineFactory {
    Arc::new(|request| {
        // The class is set with the first frame: which there are is known only when the model is loaded.
        let options = SegmenterOptions::default();
        let engine = SharedEngine::get(request, || {
            let engine = Segmenter::load(&request.model, request.how, &options)?;
            Ok::<Box<dyn Engine>, EngineError>(Box::new(engine))
        })?;
        Ok(Box::new(engine))
    })
}
