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
use crate::settings::{MaskFormat, Plan};
use crate::sync::lock;

impl FactorSeg {
    pub(super) fn mask_pads(&self) -> Vec<FactorSegMaskPad> {
        let outputs = lock(&self.outputs);
        outputs.masks.iter().map(|output| output.pad.clone()).collect()
    }

    pub(super) fn forget_pad(&self, pad: &gst::Pad) {
        lock(&self.qos).forget(&pad.name());
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
        format: MaskFormat,
        layout: &Layout,
        regions: usize,
    ) -> Result<gst_video::VideoInfo, gst::FlowError> {
        let height = render::rows(format, layout.height, regions);
        gst_video::VideoInfo::builder(gst_video::VideoFormat::Gray8, layout.info.width(), height as u32)
            .fps(layout.info.fps())
            .par(layout.info.par())
            .multiview_mode(layout.info.multiview_mode())
            .multiview_flags(layout.info.multiview_flags())
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
        // Segment, tags and all else that stays with a stream; a pad that was requested late has missed them.
        let (sent, wanted) = (sticky_events(pad.upcast_ref()), sticky_events(&self.sinkpad));
        for event in wanted {
            let own = [gst::EventType::StreamStart, gst::EventType::Caps, gst::EventType::Eos];
            let is_there = |sent: &gst::Event| sent.as_ptr() == event.as_ptr();
            if !own.contains(&event.type_()) && !sent.iter().any(is_there) {
                pad.push_event(event);
            }
        }
    }

    /// Sends an event of the video's stream by the mask pads too.
    pub(super) fn push_event_to_masks(&self, event: &gst::Event) {
        let layout = lock(&self.stream).layout.clone();
        let regions = self.session().map_or(1, |session| session.worker.info().regions);
        // These need a segment before them, and that needs caps.
        let in_segment = matches!(event.type_(), gst::EventType::Gap | gst::EventType::SegmentDone);
        for pad in self.mask_pads() {
            if event.is_serialized()
                && let Some(Ok(info)) = layout
                    .as_ref()
                    .map(|layout| self.mask_info(&pad, pad.imp().format(), layout, regions))
            {
                self.prepare_mask_pad(&pad, &info);
            }
            if !in_segment || layout.is_some() {
                pad.push_event(event.clone());
            }
        }
    }

    /// Tells mask pads that there is no mask, for there is no frame.
    pub(super) fn push_gaps(&self, layout: &Layout, regions: usize, frame: &gst::BufferRef) {
        let Some(pts) = frame.pts() else {
            return;
        };
        for pad in self.mask_pads() {
            if let Ok(info) = self.mask_info(&pad, pad.imp().format(), layout, regions) {
                self.prepare_mask_pad(&pad, &info);
                pad.push_event(gst::event::Gap::builder(pts).duration(frame.duration()).build());
            }
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
            // Asked once: it may change at any time.
            let format = output.pad.imp().format();
            let info = self.mask_info(&output.pad, format, layout, plan.foreground.len())?;
            self.prepare_mask_pad(&output.pad, &info);
            let current = Rendered {
                mask: mask.cloned(),
                foreground: plan.foreground.clone(),
                info,
                format,
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
                if mask.is_none() {
                    buffer.set_flags(gst::BufferFlags::GAP);
                }
                if let Some(mask) = mask {
                    FrameReport::new(mask, &plan.foreground, frame.pts())
                        .attach(buffer)
                        .map_err(|error| self.meta_error(&error))?;
                }
            }
            let flow = output.pad.push(buffer);
            if flow == Err(gst::FlowError::NotNegotiated) {
                let caps = output.pad.current_caps().map_or(String::new(), |caps| caps.to_string());
                let text = format!("What is linked to {} does not take {caps}", output.pad.name());
                self.fail(gst::StreamError::Format, &text);
            }
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

    /// Tells the application of a mask that is seen for the first time.
    pub(super) fn post_mask(&self, plan: &Plan, mask: &Mask, frame: &gst::BufferRef) {
        let mut facts = FrameReport::new(mask, &plan.foreground, frame.pts()).to_structure();
        let segment = lock(&self.stream).segment.clone();
        if let Some(pts) = frame.pts() {
            facts.set("timestamp", pts);
            facts.set("stream-time", segment.to_stream_time(pts));
            facts.set("running-time", segment.to_running_time(pts));
        }
        let element = self.obj();
        // Without a bus nobody wants to know.
        let _ = element.post_message(gst::message::Element::builder(facts).src(&*element).build());
    }

    pub(super) fn meta_error(&self, error: &glib::BoolError) -> gst::FlowError {
        self.flow_error(gst::CoreError::Failed, &format!("Cannot describe a buffer: {error}"))
    }
}

fn sticky_events(pad: &gst::Pad) -> Vec<gst::Event> {
    let mut events = Vec::new();
    pad.sticky_events_foreach(|event| {
        events.push(event.clone());
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    events
}
