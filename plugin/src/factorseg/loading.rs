//! How the engine comes, changes and goes, and what the element tells of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use super::element::{CAT, FactorSeg};
use super::session::{OpenError, Session};
use crate::engine::request::EngineRequest;
use crate::engine::worker::Failure;
use crate::settings::{ErrorPolicy, Mode, Settings};
use crate::sync::lock;

impl FactorSeg {
    /// Loads the engine that the settings ask for, unless it is there. With `plays`, frames are to come: every value must make
    /// sense, and from now on changes are made at once.
    pub(super) fn open(&self, plays: bool) -> Result<(), gst::StateChangeError> {
        self.run.fetch_add(1, Ordering::SeqCst);
        self.warned.store(false, Ordering::SeqCst);
        // Before the settings are read, so that nothing is lost that is set meanwhile.
        self.active.store(plays, Ordering::SeqCst);
        if let Err(error) = self.try_open(plays) {
            self.active.store(false, Ordering::SeqCst);
            self.fail(error.domain(), &error.to_string());
            return Err(gst::StateChangeError);
        }
        // A property may have changed since the settings were read.
        self.update_plan();
        let request = lock(&self.settings).engine();
        if !request.is_ok_and(|request| self.runs(&request)) {
            self.reload();
        }
        Ok(())
    }

    /// Whether the engine is the one that is asked for, or none is wanted.
    fn runs(&self, request: &EngineRequest) -> bool {
        self.session().is_none_or(|session| session.request == *request)
    }

    fn try_open(&self, plays: bool) -> Result<(), OpenError> {
        let settings = lock(&self.settings).clone();
        let request = settings.engine()?;
        if let Some(session) = self.session()
            && session.request == request
            && !session.worker.is_dead()
        {
            return session.open(&settings, plays);
        }
        // The old engine goes before the new one comes: a device may not hold both.
        let old = lock(&self.session).take();
        drop(old);
        let session = self.load(&settings, request)?;
        session.open(&settings, plays)?;
        *lock(&self.session) = Some(Arc::new(session));
        Ok(())
    }

    fn load(&self, settings: &Settings, request: EngineRequest) -> Result<Session, OpenError> {
        self.post_progress(gst::ProgressType::Start, "Loading the model");
        let element = self.obj().downgrade();
        let on_failure = Box::new(move |failure: &Failure| {
            if let Some(element) = element.upgrade() {
                element.imp().report(failure);
            }
        });
        let factory = lock(&self.factory).clone();
        let session = Session::load(settings, request, factory, self.counters.engines.clone(), on_failure)
            .inspect_err(|_| {
                self.post_progress(gst::ProgressType::Error, "The model was not loaded");
            })?;
        let info = session.worker.info();
        if let Some(reason) = &info.refused {
            gst::warning!(CAT, imp = self, "runs on {} because {reason}", info.device);
        }
        gst::info!(
            CAT,
            imp = self,
            "{} with {} regions and {} classes runs on {} in {}",
            info.model,
            info.regions,
            info.classes.len(),
            info.device,
            info.precision
        );
        self.post_progress(
            gst::ProgressType::Complete,
            &format!("Loaded {} on {}", info.model, info.device),
        );
        Ok(session)
    }

    /// Loads another engine while the stream goes on with the one it has, then swaps them.
    pub(super) fn reload(&self) {
        if !self.active.load(Ordering::SeqCst) || self.loading.swap(true, Ordering::SeqCst) {
            // Loaded on the way to PAUSED, or by the thread that is at it.
            return;
        }
        let element = self.obj().clone();
        let thread = std::thread::Builder::new()
            .name("factorseg-load".into())
            .spawn(move || {
                let element = element.imp();
                let ended = element.guarded("loading a model", false, |element| {
                    // A property that is set after the last look starts another thread.
                    while element.swap_engine() {}
                    true
                });
                if !ended {
                    element.loading.store(false, Ordering::SeqCst);
                }
            });
        if let Err(error) = thread {
            self.loading.store(false, Ordering::SeqCst);
            self.complain(gst::ResourceError::Failed, &OpenError::Thread(error).to_string());
        }
    }

    /// Loads the engine that the settings ask for, if it is another one. Returns whether to look again.
    fn swap_engine(&self) -> bool {
        let settings = lock(&self.settings).clone();
        let loaded = match settings.engine() {
            Ok(request) if self.runs(&request) => {
                self.loading.store(false, Ordering::SeqCst);
                self.update_plan();
                // A property that was set just now found this thread still at work.
                let again = lock(&self.settings).engine().is_ok_and(|request| !self.runs(&request));
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
        // Caps set the size of the session that is there, and a flush reaches those that are, so all are looked at under this lock.
        let mut slot = lock(&self.session);
        match slot.as_ref() {
            Some(old) if old.request != session.request => {
                if let Some(layout) = &lock(&self.stream).layout {
                    let (width, height) = layout.square_size();
                    session.worker.set_frame_size(width, height);
                }
                session.worker.set_flushing(old.worker.is_flushing());
                old.worker.retire();
                let mut retired = lock(&self.retired);
                retired.retain(|session| session.strong_count() > 0);
                retired.push(Arc::downgrade(old));
                drop(retired);
                *slot = Some(session);
            }
            // Stopped, or started anew, in the meantime.
            _ => {}
        }
        true
    }

    fn post_progress(&self, kind: gst::ProgressType, text: &str) {
        let element = self.obj();
        let message = gst::message::Progress::builder(kind, "model", text).src(&*element);
        // Without a bus nobody wants to know.
        let _ = element.post_message(message.build());
    }

    /// Makes changed properties count. A value that makes no sense is told with the next frame.
    pub(super) fn update_plan(&self) {
        let Some(session) = self.session() else {
            return;
        };
        let settings = lock(&self.settings).clone();
        session.adopt(&settings);
    }

    /// Warns of values that make no sense, once for each, now that there is a frame that they are meant for.
    pub(super) fn tell_wrong(&self, session: &Session) {
        // Or they are meant for the model that is being loaded.
        if self.loading.load(Ordering::SeqCst) {
            return;
        }
        for error in session.take_wrong() {
            self.complain(gst::ResourceError::Settings, &format!("{error}; it stays as it was"));
        }
    }

    /// Reports a failed inference, once.
    fn report(&self, failure: &Failure) {
        gst::warning!(CAT, imp = self, "{failure}");
        let on_error = lock(&self.settings).on_error;
        match on_error {
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

    pub(super) fn stats(&self) -> gst::Structure {
        let live = lock(&self.stream).live;
        let mask_age = lock(&self.shown).age;
        let session = self.session();
        let mut durations = session
            .as_ref()
            .map(|session| session.worker.durations())
            .unwrap_or_default();
        durations.sort_unstable();
        let percentile = |share: f64| {
            let last = durations.len().saturating_sub(1);
            let duration = durations.get((last as f64 * share).round() as usize);
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
            .field("inferred", self.counters.engines.inferred.get())
            .field("reused", self.counters.reused.load(Ordering::Relaxed))
            .field("dropped", self.counters.engines.dropped.get())
            .field("unjudged", self.counters.engines.unjudged.get())
            .field("mask-age", mask_age.unwrap_or_default().nseconds())
            .field("latency-p50", percentile(0.5))
            .field("latency-p95", percentile(0.95))
            .field("latency-p99", percentile(0.99))
            .field("model", info.map_or("", |info| info.model.as_str()))
            .field("device", info.map_or("", |info| info.device.as_str()))
            .field("instructions", info.map_or("", |info| info.instructions))
            .field(
                "precision",
                info.map_or(String::new(), |info| info.precision.to_string()),
            )
            .field("mode", mode)
            .build()
    }
}
