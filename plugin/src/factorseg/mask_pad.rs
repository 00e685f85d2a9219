//! Masks as video: the pads `mask_%u` and what they carry.

use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_base::UniqueFlowCombiner;
use gstreamer_video as gst_video;

use crate::engine::mask::Mask;
use crate::paint::render::render;
use crate::settings::MaskFormat;
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

/// The pads that buffers leave by.
pub(super) struct Outputs {
    pub(super) masks: Vec<MaskOutput>,
    pub(super) combiner: UniqueFlowCombiner,
}

#[derive(Clone)]
pub(super) struct MaskOutput {
    pub(super) pad: super::FactorSegMaskPad,
    /// The picture rendered last: most streams reuse masks.
    pub(super) rendered: Option<Rendered>,
}

#[derive(Clone)]
pub(super) struct Rendered {
    pub(super) mask: Option<Arc<Mask>>,
    pub(super) foreground: Vec<bool>,
    pub(super) info: gst_video::VideoInfo,
    pub(super) format: MaskFormat,
    pub(super) memory: gst::Memory,
}

impl Rendered {
    /// Whether it is already what `other` is to become.
    pub(super) fn shows(&self, other: &Self) -> bool {
        let same_mask = match (&self.mask, &other.mask) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        };
        same_mask && self.format == other.format && self.info == other.info && self.foreground == other.foreground
    }

    /// Renders its mask; zeros if there is none.
    pub(super) fn render(mut self, (width, height): (usize, usize), refined: Option<&[u8]>) -> Self {
        let stride = self.info.stride()[0] as usize;
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
                self.format,
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
