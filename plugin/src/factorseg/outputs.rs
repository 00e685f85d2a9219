//! How frames and masks leave.

use std::sync::Arc;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::FactorSegMaskPad;
use super::element::{CAT, FactorSeg};
use super::mask_pad::Rendered;
use super::queue::FlowResult;
use crate::engine::mask::Mask;
use crate::meta::FrameReport;
use crate::paint::render;
use crate::pixels::layout::Layout;
use crate::settings::Plan;
use crate::sync::lock;

impl FactorSeg {
    pub(super) fn mask_pads(&self) -> Vec<FactorSegMaskPad> {
        let outputs = lock(&self.outputs);
        outputs.masks.iter().map(|output| output.pad.clone()).collect()
    }

    pub(super) fn forget_pad(&self, pad: &gst::Pad) {
        let mut outputs = lock(&self.outputs);
        outputs.combiner.remove_pad(pad);
        outputs
            .masks
            .retain(|output| output.pad.upcast_ref::<gst::Pad>() != pad);
    }

    pub(super) fn mask_stream_start(&self, pad: &FactorSegMaskPad, start: &gst::event::StreamStart) -> gst::Event {
        let id = pad.create_stream_id(&*self.obj(), Some(&pad.name()));
        gst::event::StreamStart::builder(&id)
            .seqnum(start.seqnum())
            .group_id_if_some(start.group_id())
            .flags(start.stream_flags())
            .build()
    }

    /// What a mask pad's buffers look like now. Regions below each other may be higher than video can be.
    pub(super) fn mask_info(
        &self,
        pad: &FactorSegMaskPad,
        layout: &Layout,
        regions: usize,
    ) -> Result<gst_video::VideoInfo, gst::FlowError> {
        let height = render::rows(pad.imp().format(), layout.height, regions);
        gst_video::VideoInfo::builder(gst_video::VideoFormat::Gray8, layout.info.width(), height as u32)
            .fps(layout.info.fps())
            .par(layout.info.par())
            .build()
            .map_err(|_| {
                let text = format!("{} cannot be {} x {height} pixels", pad.name(), layout.info.width());
                self.fail(gst::StreamError::Format, &text);
                gst::FlowError::NotNegotiated
            })
    }

    /// Sends the events that must precede a buffer or the end, where they are not there yet.
    pub(super) fn prepare_mask_pad(&self, pad: &FactorSegMaskPad, info: &gst_video::VideoInfo) {
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

    pub(super) fn push_masks(
        &self,
        plan: &Plan,
        layout: &Layout,
        mask: Option<&Arc<Mask>>,
        refined: Option<&[u8]>,
        frame: &gst::BufferRef,
    ) -> Result<(), gst::FlowError> {
        let masks = lock(&self.outputs).masks.clone();
        for mut output in masks {
            let info = self.mask_info(&output.pad, layout, plan.foreground.len())?;
            self.prepare_mask_pad(&output.pad, &info);
            let current = Rendered {
                mask: mask.cloned(),
                foreground: plan.foreground.clone(),
                info,
                format: output.pad.imp().format(),
                memory: gst::Memory::with_size(0),
            };
            // A refined foreground is another one for every frame.
            let refined = refined.filter(|_| current.format.is_foreground());
            let rendered = match output.rendered.take() {
                Some(rendered) if refined.is_none() && rendered.shows(&current) => rendered,
                _ => current.render((layout.width, layout.height), refined),
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

    pub(super) fn push_video(&self, buffer: gst::Buffer) -> FlowResult {
        let flow = self.srcpad.push(buffer);
        lock(&self.outputs).combiner.update_pad_flow(&self.srcpad, flow)
    }

    pub(super) fn meta_error(&self, error: &glib::BoolError) -> gst::FlowError {
        self.flow_error(gst::CoreError::Failed, &format!("Cannot describe a buffer: {error}"))
    }
}
