use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use super::MaskFormat;
use crate::sync::lock;

/// A pad that carries masks.
#[derive(Default)]
pub struct FactorSegMaskPad {
    format: Mutex<MaskFormat>,
}

impl FactorSegMaskPad {
    pub(super) fn format(&self) -> MaskFormat {
        *lock(&self.format)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FactorSegMaskPad {
    const NAME: &'static str = "GstFactorSegMaskPad";
    type Type = super::FactorSegMaskPad;
    type ParentType = gst::Pad;
}

impl ObjectImpl for FactorSegMaskPad {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecEnum::builder_with_default("format", MaskFormat::default())
                    .nick("Format")
                    .blurb("What the mask's bytes mean")
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        match pspec.name() {
            "format" => *lock(&self.format) = value.get().expect("type checked upstream"),
            name => unreachable!("no writable property {name}"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "format" => self.format().to_value(),
            name => unreachable!("no readable property {name}"),
        }
    }
}

impl GstObjectImpl for FactorSegMaskPad {}

impl PadImpl for FactorSegMaskPad {}
