//! What the element promises to those around it: caps, and metas that it heeds.

use gst::subclass::prelude::*;
use std::sync::Arc;

use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

use super::FactorSegMaskPad;
use super::element::{CAT, FactorSeg};
use super::queue::CAPACITY;
use crate::pixels::alpha::{OPAQUE, TRANSPARENT, add_opacity};
use crate::pixels::layout::{FORMATS, Layout};
use crate::pixels::mapping::FrameError;
use crate::settings::MaskFormat;
use crate::sync::lock;

/// Fields that a mask has in common with its frame.
const SHARED: [&str; 4] = ["width", "height", "framerate", "pixel-aspect-ratio"];

/// Frames in all formats. Where fields may be woven, each buffer says whether they are.
pub(super) fn template() -> gst::Caps {
    let mut caps = gst_video::VideoCapsBuilder::new().format_list(FORMATS).build();
    let modes = gst::List::new(["progressive", "mixed"]);
    caps.make_mut().set("interlace-mode", modes);
    caps
}

/// What every mask pad can send.
pub(super) fn mask_template() -> gst::Caps {
    gst_video::VideoCapsBuilder::new()
        .format(gst_video::VideoFormat::Gray8)
        .build()
}

impl FactorSeg {
    /// Whether a caps event may come. Interlaced ones may: they are refused there by a message that says what helps.
    pub(super) fn accepts(caps: &gst::CapsRef) -> bool {
        gst_video::VideoInfo::from_caps(caps).is_ok_and(|info| FORMATS.contains(&info.format()))
            && caps
                .features(0)
                .is_none_or(|features| features.is_equal(gst::CAPS_FEATURES_MEMORY_SYSTEM_MEMORY.as_ref()))
    }

    /// Whether what is no object is to be seen through.
    pub(super) fn wants_alpha(&self) -> bool {
        lock(&self.settings).wants_alpha()
    }

    /// Settles how frames of these caps leave, and tells downstream. Returns whether it agrees.
    pub(super) fn negotiate(&self, caps: &gst::CapsRef, wants_alpha: bool) -> bool {
        let alpha = wants_alpha && self.srcpad.is_linked();
        let open = alpha.then(|| self.with_alpha(caps)).flatten();
        let caps = open.unwrap_or_else(|| caps.to_owned());
        let Ok(info) = gst_video::VideoInfo::from_caps(&caps) else {
            return false;
        };
        let output = Layout::new(&info);
        let wanted = alpha && !output.has_alpha();
        let tell = {
            let mut stream = lock(&self.stream);
            stream.output = Some(Arc::new(output));
            stream.wants_alpha = wants_alpha;
            lock(&self.canvas).forget_format();
            wanted && !std::mem::replace(&mut stream.told_of_alpha, true)
        };
        if tell {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                (
                    "overlay=foreground has no opacity in {}, so that the rest becomes background-color; put \
                     `videoconvert ! video/x-raw,format=AYUV` before it, or set background-color=0xff000000 if that is wanted",
                    info.format()
                )
            );
        }
        self.srcpad.current_caps().is_some_and(|current| current == caps)
            || self.srcpad.push_event(gst::event::Caps::new(&caps))
    }

    /// Caps with an opacity for frames that have none, if that is wanted and downstream takes it.
    fn with_alpha(&self, caps: &gst::CapsRef) -> Option<gst::Caps> {
        let caps = reformatted(caps, OPAQUE, TRANSPARENT);
        let taken = !caps.is_empty() && self.srcpad.peer_query_caps(Some(&caps)).can_intersect(&caps);
        (taken && self.srcpad.peer_query_accept_caps(&caps)).then_some(caps)
    }

    /// A frame as it leaves, which may have got an opacity.
    pub(super) fn outgoing(
        &self,
        buffer: gst::Buffer,
        layout: Arc<Layout>,
    ) -> Result<(gst::Buffer, Arc<Layout>), FrameError> {
        let output = lock(&self.stream).output.clone();
        match output.filter(|output| output.info.format() != layout.info.format()) {
            Some(output) => {
                let buffer = add_opacity(&layout, &output, buffer)?;
                Ok((buffer, output))
            }
            None => Ok((buffer, layout)),
        }
    }

    /// The frames that can leave: those that can come, some with an opacity too.
    pub(super) fn src_caps(&self, filter: Option<&gst::CapsRef>) -> gst::Caps {
        let frames = self.sinkpad.peer_query_caps(None);
        let frames = frames.intersect(&self.sinkpad.pad_template_caps());
        let mut possible = gst::Caps::new_empty();
        if self.wants_alpha() {
            possible.merge(reformatted(&frames, OPAQUE, TRANSPARENT));
        }
        possible.merge(frames);
        filtered(&possible, filter)
    }

    /// The frames that can come: those that all who are linked take. If it matters, those with an opacity come first, and
    /// then those that can get one.
    pub(super) fn sink_caps(&self, filter: Option<&gst::CapsRef>) -> gst::Caps {
        let wanted = filtered(&self.sinkpad.pad_template_caps(), filter);
        let alpha = self.wants_alpha() && self.srcpad.is_linked();
        let mut asked = wanted.clone();
        if alpha {
            asked.merge(reformatted(&wanted, OPAQUE, TRANSPARENT));
        }
        let taken = self.srcpad.peer_query_caps(Some(&asked));
        let mut possible = gst::Caps::new_empty();
        if alpha {
            possible.merge(taken.intersect(&transparent()));
            possible.merge(reformatted(&taken, TRANSPARENT, OPAQUE));
        }
        possible.merge(taken);
        possible = possible.intersect_with_mode(&wanted, gst::CapsIntersectMode::First);
        for pad in self.mask_pads().iter().filter(|pad| pad.is_linked()) {
            let taken = pad.peer_query_caps(Some(&pad.pad_template_caps()));
            // A frame's height is not that of regions below each other.
            let same_height = pad.imp().format() != MaskFormat::Regions;
            let frames = shared(&taken, |name| same_height || name != "height");
            possible = possible.intersect_with_mode(&frames, gst::CapsIntersectMode::First);
        }
        possible
    }

    /// The masks that can leave by a pad: those of the frames that can come.
    pub(super) fn mask_caps(&self, pad: &FactorSegMaskPad, filter: Option<&gst::CapsRef>) -> gst::Caps {
        let frames = self.sinkpad.peer_query_caps(None);
        let frames = frames.intersect(&self.sinkpad.pad_template_caps());
        let mut masks = shared(&frames, |_| true);
        if pad.imp().format() == MaskFormat::Regions {
            let regions = self.session().map(|session| session.worker.info().regions as i32);
            for structure in masks.make_mut().iter_mut() {
                let height = structure.get::<i32>("height").ok();
                match height
                    .zip(regions)
                    .and_then(|(height, regions)| height.checked_mul(regions))
                {
                    Some(height) => structure.set("height", height),
                    None => structure.remove_field("height"),
                }
            }
        }
        filtered(&masks.intersect(&pad.pad_template_caps()), filter)
    }

    pub(super) fn mask_query(&self, pad: &FactorSegMaskPad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => self.answer_latency(latency),
            gst::QueryViewMut::Caps(caps) => {
                let possible = self.mask_caps(pad, caps.filter());
                caps.set_result(&possible);
                true
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    /// Upstream may allocate as downstream wishes, for frames are drawn on where they lie.
    pub(super) fn answer_allocation(&self, query: &mut gst::QueryRef) -> bool {
        let opened = {
            let stream = lock(&self.stream);
            let output = stream.output.as_ref();
            output
                .filter(|output| stream.layout.as_ref().is_some_and(|layout| layout.info != output.info))
                .cloned()
        };
        if let Some(output) = opened {
            return self.answer_allocation_with_alpha(&output, query);
        }
        let known = self.srcpad.peer_query(query);
        if let gst::QueryViewMut::Allocation(allocation) = query.view_mut() {
            keep_metas(allocation);
            keep_frames(allocation);
        }
        known
    }

    /// Downstream's pools are for other frames than those that come, but what it reads of them is known.
    fn answer_allocation_with_alpha(&self, output: &Layout, query: &mut gst::QueryRef) -> bool {
        let caps = output.info.to_caps().ok();
        let mut asked = gst::query::Allocation::new(caps.as_ref(), false);
        let known = self.srcpad.peer_query(&mut asked);
        if let gst::QueryViewMut::Allocation(allocation) = query.view_mut() {
            if asked.find_allocation_meta::<gst_video::VideoMeta>().is_some() {
                allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
            }
            keep_frames(allocation);
        }
        known
    }

    /// Tells once how woven fields are better treated.
    pub(super) fn look_at_fields(&self, buffer: &gst::BufferRef) {
        if !buffer.video_flags().contains(gst_video::VideoBufferFlags::INTERLACED) {
            return;
        }
        let mut stream = lock(&self.stream);
        if !std::mem::replace(&mut stream.told_of_fields, true) {
            gst::warning!(
                CAT,
                imp = self,
                "interlaced frames are segmented with both fields; {DEINTERLACE} avoids that"
            );
        }
    }
}

/// What turns fields to frames and keeps the rate.
pub(super) const DEINTERLACE: &str =
    "`deinterlace fields=top` before it (without `fields=top` there are twice as many frames)";

/// Caps that a filter lets through, in the filter's order.
fn filtered(caps: &gst::Caps, filter: Option<&gst::CapsRef>) -> gst::Caps {
    match filter {
        Some(filter) => filter
            .to_owned()
            .intersect_with_mode(caps, gst::CapsIntersectMode::First),
        None => caps.clone(),
    }
}

/// Caps of all formats with an opacity.
fn transparent() -> gst::Caps {
    let formats = FORMATS
        .into_iter()
        .filter(|format| gst_video::VideoFormatInfo::from_format(*format).has_alpha());
    gst_video::VideoCapsBuilder::new().format_list(formats).build()
}

/// What there is of one format, in another.
fn reformatted(caps: &gst::CapsRef, from: gst_video::VideoFormat, to: gst_video::VideoFormat) -> gst::Caps {
    let from = gst::Caps::builder("video/x-raw").field("format", from.to_str()).build();
    let mut caps = caps
        .to_owned()
        .intersect_with_mode(&from, gst::CapsIntersectMode::First);
    caps.make_mut().set("format", to.to_str());
    caps
}

/// What frames and their masks have in common, of those fields that `keep` names.
fn shared(caps: &gst::CapsRef, keep: impl Fn(&str) -> bool) -> gst::Caps {
    if caps.is_any() {
        return gst::Caps::new_empty_simple("video/x-raw");
    }
    let mut common = gst::Caps::new_empty();
    for structure in caps.iter() {
        let fields = structure
            .iter()
            .filter(|(name, _)| SHARED.contains(&name.as_str()) && keep(name));
        let mut other = gst::Structure::new_empty("video/x-raw");
        for (name, value) in fields {
            other.set_value(name, value.clone());
        }
        common.merge_structure(other);
    }
    common
}

/// Leaves those metas that the element heeds, or that stay true of a frame that was drawn on. Who is promised a crop, a
/// turn or a composition sends pixels that are not the picture.
fn keep_metas(allocation: &mut gst::query::Allocation) {
    let kept = [
        gst_video::VideoMeta::meta_api(),
        gst_video::VideoRegionOfInterestMeta::meta_api(),
    ];
    let metas: Vec<_> = allocation.allocation_metas().map(|(api, _)| api).collect();
    for (index, api) in metas.into_iter().enumerate().rev() {
        if !kept.contains(&api) {
            allocation.remove_nth_allocation_meta(index as u32);
        }
    }
}

/// Asks for as many frames more as the queue keeps from going back to their pool.
fn keep_frames(allocation: &mut gst::query::Allocation) {
    let pools: Vec<_> = allocation.allocation_pools().collect();
    for (index, (pool, size, minimum, maximum)) in pools.into_iter().enumerate() {
        let wanted = minimum + CAPACITY as u32;
        if maximum == 0 || wanted <= maximum {
            allocation.set_nth_allocation_pool(index as u32, pool.as_ref(), size, wanted, maximum);
        }
    }
}
