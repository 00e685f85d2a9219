//! From a mask to what is seen: the overlay in the frame's own planes.

use gstreamer as gst;

use crate::engine::mask::{self, Mask};
use crate::paint::blend::{Blend, Blender};
use crate::paint::contour;
use crate::paint::guided::{self, Refiner};
use crate::paint::layers::{Layer, Painter};
use crate::paint::overlay;
use crate::pixels::layout::Layout;
use crate::pixels::mapping::{FrameError, planes, planes_mut, readable, writable};
use crate::pixels::sampling::Sampler;
use crate::settings::{Overlay, Plan};

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

/// What is done to the planes, once they are writable.
enum Drawing<'a> {
    Layer(Layer),
    Blend(Blend, &'a [u8]),
    Contour,
}

impl Canvas {
    /// Frames of another format come.
    pub(super) fn forget_format(&mut self) {
        self.sampler = None;
    }

    /// The foreground of each pixel, along the frame's edges.
    pub(super) fn refine(
        &mut self,
        plan: &Plan,
        layout: &Layout,
        mask: &Mask,
        buffer: &gst::BufferRef,
    ) -> Result<Vec<u8>, FrameError> {
        let frame = readable(layout, buffer)?;
        let planes = planes(layout, &frame)?;
        let (width, height) = (mask.map.width, mask.map.height);
        let averages = Sampler::sized(&mut self.sampler, layout, (width, height)).average(&planes);
        let coarse = mask::foreground(&mask.map, &plan.foreground);
        let fit = guided::fit(&coarse, averages, width, height);
        let mut refined = std::mem::take(&mut self.refined);
        self.refiner.refine(layout, &planes, &fit, &mut refined);
        Ok(refined)
    }

    /// Draws a mask on a frame, by the foreground of each pixel where that is known.
    pub(super) fn draw(
        &mut self,
        plan: &Plan,
        layout: &Layout,
        mask: &Mask,
        refined: Option<&[u8]>,
        buffer: &mut gst::BufferRef,
    ) -> Result<(), FrameError> {
        let mut frame = writable(layout, buffer)?;
        let (map, chosen, colors) = (&mask.map, plan.foreground.as_slice(), &plan.colors);
        let alpha = plan.settings.alpha as f32;
        let behind = (plan.background, plan.opacity);
        let drawing = match (plan.settings.overlay, refined) {
            (Overlay::None, _) => return Ok(()),
            (Overlay::Contour, _) => Drawing::Contour,
            (Overlay::Tint, None) => Drawing::Layer(overlay::tint(map, chosen, colors, alpha, layout)),
            (Overlay::Tint, Some(refined)) => {
                Drawing::Blend(overlay::tint_blend(map, chosen, colors, alpha, layout), refined)
            }
            (Overlay::Foreground, None) => Drawing::Layer(overlay::cut_out(map, chosen, behind, layout)),
            (Overlay::Foreground, Some(refined)) => Drawing::Blend(overlay::cut_out_blend(behind, layout), refined),
            (Overlay::BlurBackground, refined) => {
                let sampler = Sampler::sized(&mut self.sampler, layout, (map.width, map.height));
                let averages = sampler.average(&planes(layout, &frame)?);
                let strength = plan.settings.blur_strength as usize;
                match refined {
                    None => Drawing::Layer(overlay::blur_background(map, chosen, averages, strength, layout)),
                    Some(refined) => {
                        Drawing::Blend(overlay::blur_blend(map, chosen, averages, strength, layout), refined)
                    }
                }
            }
        };
        let mut planes = planes_mut(layout, &mut frame)?;
        match drawing {
            Drawing::Layer(layer) => self.painter.paint(layout, &layer, &mut planes),
            Drawing::Blend(blend, refined) => self.blender.paint(layout, refined, &blend, &mut planes),
            Drawing::Contour => contour::paint(layout, map, chosen, colors, alpha, &mut planes),
        }
        Ok(())
    }
}
