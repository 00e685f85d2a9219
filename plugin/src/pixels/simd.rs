//! Inner loops of pixels, compiled for AVX2 too: the macro is [`factorseg_refine::vectorised`]. Both have the same results.

pub use factorseg_refine::simd::use_portable;
pub(crate) use factorseg_refine::vectorised;

#[cfg(test)]
mod tests {
    use factorseg_model::RegionMap;
    use gstreamer_video::{VideoFormat, VideoInfo};

    use super::use_portable;
    use crate::paint::blend::Blender;
    use crate::paint::guided::{self, Refiner};
    use crate::paint::layers::Painter;
    use crate::paint::overlay;
    use crate::pixels::layout::{Layout, Plane, PlaneMut};
    use crate::pixels::sampling::Sampler;

    /// Samples, tints and refines one frame of noise; returns its bytes, its foreground and the network's input.
    fn everything(format: VideoFormat) -> (Vec<Vec<u8>>, Vec<u8>, Vec<f32>) {
        let info = VideoInfo::builder(format, 101, 67).build().unwrap();
        let layout = Layout::new(&info);
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 24) as u8
        };
        let mut planes: Vec<Vec<u8>> = (0..layout.planes)
            .map(|plane| {
                let length = info.stride()[plane] as usize * layout.plane_size(plane).1;
                (0..length).map(|_| noise()).collect()
            })
            .collect();
        let (width, height) = (13, 9);
        let first: Vec<f32> = (0..width * height).map(|_| f32::from(noise()) / 255.0).collect();
        let map = RegionMap {
            regions: 2,
            width,
            height,
            probabilities: first.iter().copied().chain(first.iter().map(|p| 1.0 - p)).collect(),
        };
        let colors = overlay::PALETTE.map(overlay::rgb);
        let stride = |plane: usize| info.stride()[plane] as usize;
        let mut sampler = Sampler::new(&layout, width, height);
        let mut foreground = Vec::new();
        let views: Vec<Plane<'_>> = planes
            .iter()
            .enumerate()
            .map(|(plane, data)| Plane {
                data,
                stride: stride(plane),
            })
            .collect();
        let input = sampler.sample(&layout, &views).data;
        let coarse = overlay::foreground(&map, &[true, false]);
        let fit = guided::fit(&coarse, sampler.average(&views), width, height);
        Refiner::default().refine(&layout, &views, &fit, &mut foreground);
        let mut views: Vec<PlaneMut<'_>> = planes
            .iter_mut()
            .enumerate()
            .map(|(plane, data)| PlaneMut {
                data,
                stride: stride(plane),
            })
            .collect();
        let layer = overlay::tint(&map, &[true, false], &colors, 0.5, &layout);
        Painter::default().paint(&layout, &layer, &mut views);
        let blend = overlay::tint_blend(&map, &[true, false], &colors, 0.5, &layout);
        Blender::default().paint(&layout, &foreground, &blend, &mut views);
        (planes, foreground, input)
    }

    #[test]
    fn wide_vectors_change_no_bit() {
        gstreamer::init().unwrap();
        for format in [
            VideoFormat::I420,
            VideoFormat::Nv12,
            VideoFormat::Bgrx,
            VideoFormat::Yuy2,
        ] {
            let wide = everything(format);
            use_portable(true);
            let portable = everything(format);
            use_portable(false);
            assert!(wide == portable, "{format:?}");
        }
    }
}
