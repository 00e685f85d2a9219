//! From a mask to what is seen: the overlay in the frame's own planes.

use gst::glib;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::imp::{FactorSeg, Format};
use super::outputs::is_foreground;
use super::{FactorSegMaskPad, Overlay, Refine};
use crate::engine::mask::Mask;
use crate::meta::FrameReport;
use crate::paint::blend::{Blend, Blender};
use crate::paint::contour;
use crate::paint::guided::{self, Refiner};
use crate::paint::layers::{Layer, Painter};
use crate::paint::overlay;
use crate::pixels::layout::{Layout, Plane, PlaneMut};
use crate::pixels::sampling::Sampler;
use crate::settings::Plan;
use crate::sync::lock;

/// What drawing keeps from frame to frame. Only the thread that finishes frames works on it; it is never locked while
/// that thread waits or pushes.
#[derive(Default)]
pub(super) struct Canvas {
    sampler: Option<Sampler>,
    painter: Painter,
    blender: Blender,
    refiner: Refiner,
    /// The last frame's refined foreground, kept for its memory.
    pub(super) refined: Vec<u8>,
}

/// The sampler of a format to a size, made anew if the one there has another size.
pub(super) fn sampler<'a>(sampler: &'a mut Option<Sampler>, layout: &Layout, size: (usize, usize)) -> &'a mut Sampler {
    sampler.take_if(|sampler| sampler.size() != size);
    sampler.get_or_insert_with(|| Sampler::new(layout, size.0, size.1))
}

impl Canvas {
    /// Frames of another format come.
    pub(super) fn forget_format(&mut self) {
        self.sampler = None;
    }
}

impl FactorSeg {
    /// The foreground of each pixel, where it is to be refined and somebody sees it.
    pub(super) fn refine(
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
        let mut canvas = lock(&self.canvas);
        let canvas = &mut *canvas;
        let (width, height) = (mask.map.width, mask.map.height);
        let averages = sampler(&mut canvas.sampler, layout, (width, height)).average(&planes);
        let coarse = overlay::foreground(&mask.map, &plan.foreground);
        let fit = guided::fit(&coarse, averages, width, height);
        let mut refined = std::mem::take(&mut canvas.refined);
        canvas.refiner.refine(layout, &planes, &fit, &mut refined);
        Ok(Some(refined))
    }

    /// Draws a mask on a frame and tells its facts.
    pub(super) fn decorate(
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
        #[cfg(feature = "analytics")]
        crate::analytics::attach(&mask.map, (format.layout.width, format.layout.height), buffer)
            .map_err(|error| self.meta_error(&error))?;
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
        let mut canvas = lock(&self.canvas);
        let canvas = &mut *canvas;
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
                let sampler = sampler(&mut canvas.sampler, layout, (map.width, map.height));
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
            Drawing::Layer(layer) => canvas.painter.paint(layout, &layer, &mut planes),
            Drawing::Blend(blend, refined) => canvas.blender.paint(layout, refined, &blend, &mut planes),
            Drawing::Contour => contour::paint(layout, map, chosen, &plan.colors, plan.alpha, &mut planes),
        }
        Ok(())
    }

    pub(super) fn planes<'a>(
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

    pub(super) fn unmappable(&self, error: &glib::BoolError) -> gst::FlowError {
        self.fail(
            gst::StreamError::Format,
            &format!("A buffer does not hold the frame that its caps promise: {error}"),
        );
        gst::FlowError::Error
    }
}
