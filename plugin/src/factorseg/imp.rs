//! The element as GObject and GStreamer see it: class, pads, properties, states.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_base::UniqueFlowCombiner;

use super::FactorSegMaskPad;
use super::canvas::Canvas;
use super::element::{CAT, Counters, FactorSeg, Shown, Stream};
use super::mask_pad::{MaskOutput, Outputs};
use super::negotiation::{mask_template, template};
use super::queue::Queue;
use crate::settings::Settings;
use crate::sync::lock;

#[glib::object_subclass]
impl ObjectSubclass for FactorSeg {
    const NAME: &'static str = "GstFactorSeg";
    type Type = super::FactorSeg;
    type ParentType = gst::Element;
    type Interfaces = (gst::ChildProxy, gst::Preset);

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("the class has this template");
        let sinkpad = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::guarded_pad(parent, "chain", Err(gst::FlowError::Error), |element| {
                    element.chain(buffer)
                })
            })
            .event_function(|pad, parent, event| {
                Self::guarded_pad(parent, "sink event", false, |element| element.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::guarded_pad(parent, "sink query", false, |element| element.sink_query(pad, query))
            })
            // What comes in goes out as video; masks have events of their own.
            .iterate_internal_links_function(|_, parent| {
                let srcpad = parent
                    .and_then(|parent| parent.downcast_ref::<super::FactorSeg>())
                    .map(|element| element.imp().srcpad.clone());
                gst::Iterator::from_vec(srcpad.into_iter().collect())
            })
            .build();
        let srcpad = gst::Pad::builder_from_template(&template("src"))
            .event_function(|pad, parent, event| {
                Self::guarded_pad(parent, "src event", false, |element| element.src_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::guarded_pad(parent, "src query", false, |element| element.src_query(pad, query))
            })
            .activatemode_function(|pad, parent, mode, active| {
                let failed = Err(gst::loggable_error!(CAT, "panicked while a pad was activated"));
                Self::guarded_pad(parent, "activation", failed, |element| {
                    element.activate_src(pad, mode, active)
                })
            })
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
            queue: Queue::default(),
            canvas: Mutex::default(),
            shown: Mutex::default(),
            qos: Mutex::default(),
            counters: Counters::default(),
            // Before the first start is a run as well.
            run: AtomicU64::new(1),
            failing: AtomicU64::default(),
            failed: AtomicU64::default(),
            warned: AtomicBool::default(),
            active: AtomicBool::default(),
            loading: AtomicBool::default(),
            retired: Mutex::default(),
            latency: Mutex::default(),
        }
    }
}

impl ObjectImpl for FactorSeg {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::specs);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let alpha = self.wants_alpha();
        lock(&self.settings).set(pspec.name(), value);
        self.guarded("a property", (), |element| {
            if element.wants_alpha() != alpha {
                // Who brings frames may have a better format for them now.
                element.sinkpad.push_event(gst::event::Reconfigure::new());
            }
            match pspec.name() {
                "class" => element.obj().notify("target-class"),
                "target-class" => element.obj().notify("class"),
                _ => {}
            }
            match pspec.name() {
                "model" | "device" | "precision" | "threads" => element.reload(),
                _ => element.update_plan(),
            }
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => {
                let nothing = gst::Structure::new_empty("factorseg-stats");
                self.guarded("the statistics", nothing, Self::stats).to_value()
            }
            name => lock(&self.settings).get(name),
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
            let caps = template();
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
                    &mask_template(),
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
        self.guarded("a request for a pad", None, |element| {
            element.add_mask_pad(template, name)
        })
    }

    fn release_pad(&self, pad: &gst::Pad) {
        self.guarded("the release of a pad", (), |element| element.remove_mask_pad(pad));
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        self.guarded("a change of state", Err(gst::StateChangeError), |element| {
            match transition {
                gst::StateChange::NullToReady => element.open(false),
                gst::StateChange::ReadyToPaused => element.open(true).map(|()| element.start()),
                // Frees the streaming thread, which the pads wait for.
                gst::StateChange::PausedToReady => {
                    element.active.store(false, Ordering::SeqCst);
                    element.set_flushing(true);
                    Ok(())
                }
                _ => Ok(()),
            }
        })
        // The way down never fails.
        .or_else(|error| match transition {
            gst::StateChange::NullToReady | gst::StateChange::ReadyToPaused => Err(error),
            _ => Ok(()),
        })?;
        let success = self.parent_change_state(transition)?;
        self.guarded("a change of state", (), |element| match transition {
            gst::StateChange::PausedToReady => {
                *lock(&element.stream) = Stream::default();
                *lock(&element.shown) = Shown::default();
                *lock(&element.canvas) = Canvas::default();
                for output in &mut lock(&element.outputs).masks {
                    output.rendered = None;
                }
            }
            gst::StateChange::ReadyToNull => {
                // Out of the lock: dropping it waits for the inference under way.
                let session = lock(&element.session).take();
                drop(session);
            }
            _ => {}
        });
        Ok(success)
    }
}

impl FactorSeg {
    fn add_mask_pad(&self, template: &gst::PadTemplate, name: Option<&str>) -> Option<gst::Pad> {
        let element = self.obj();
        let name = match name {
            Some(name) => name.to_owned(),
            None => (0..)
                .map(|index| format!("mask_{index}"))
                .find(|name| element.static_pad(name).is_none())?,
        };
        let pad = gst::PadBuilder::<FactorSegMaskPad>::from_template(template)
            .name(name)
            .event_function(|pad: &FactorSegMaskPad, parent, event| {
                Self::guarded_pad(parent, "src event", false, |element| {
                    element.src_event(pad.upcast_ref(), event)
                })
            })
            .query_function(|pad: &FactorSegMaskPad, parent, query| {
                Self::guarded_pad(parent, "mask query", false, |element| element.mask_query(pad, query))
            })
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

    fn remove_mask_pad(&self, pad: &gst::Pad) {
        let element = self.obj();
        self.forget_pad(pad);
        // A pad that cannot be deactivated is removed all the same.
        let _ = pad.set_active(false);
        element.child_removed(pad, &pad.name());
        if let Err(error) = element.remove_pad(pad) {
            gst::error!(CAT, imp = self, "cannot remove a pad: {error}");
        }
    }
}

impl FactorSeg {
    fn child(&self, which: impl FnOnce(&[FactorSegMaskPad]) -> Option<usize>) -> Option<glib::Object> {
        self.guarded("the children", None, |element| {
            let pads = element.mask_pads();
            let pad = pads.get(which(&pads)?)?;
            Some(pad.clone().upcast())
        })
    }
}

impl PresetImpl for FactorSeg {}

/// The children are the mask pads: those that come and go, and have properties of their own.
impl ChildProxyImpl for FactorSeg {
    fn children_count(&self) -> u32 {
        self.guarded("the children", 0, |element| element.mask_pads().len() as u32)
    }

    fn child_by_name(&self, name: &str) -> Option<glib::Object> {
        self.child(|pads| pads.iter().position(|pad| pad.name() == name))
    }

    fn child_by_index(&self, index: u32) -> Option<glib::Object> {
        self.child(|_| Some(index as usize))
    }
}
