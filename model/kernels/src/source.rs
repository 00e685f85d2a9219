//! The input side of a convolution: one or two activations side by side, normalised and activated while loaded.

use crate::simd::{Vector, dispatch, silu};

/// One activation [batch, height, width, channels], channels padded to whole blocks.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) data: &'a [f32],
    /// Channels with their padding.
    pub(crate) channels: usize,
}

/// `scale[item][channel] * x + shift[item][channel]`, then SiLU if `activate`; over the padded channels of all parts.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) activate: bool,
}

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) first: Part<'a>,
    /// Concatenated behind the first along the channels.
    pub(crate) second: Option<Part<'a>>,
    /// Size of the parts, before `upsample`.
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Read at twice the size, each pixel repeated 2 x 2.
    pub(crate) upsample: bool,
    pub(crate) affine: Option<Affine<'a>>,
}

impl Source<'_> {
    /// Padded channels of all parts.
    pub(crate) fn channels(&self) -> usize {
        self.first.channels + self.second.map_or(0, |part| part.channels)
    }

    /// Panics if a slice is too short for `batch` images.
    pub(crate) fn check(&self, batch: usize) {
        let pixels = batch * self.height * self.width;
        assert!(
            self.first.data.len() >= pixels * self.first.channels,
            "the source is too short"
        );
        if let Some(part) = self.second {
            assert!(
                part.data.len() >= pixels * part.channels,
                "the second source is too short"
            );
        }
        if let Some(affine) = self.affine {
            let length = batch * self.channels();
            assert!(
                affine.scale.len() >= length && affine.shift.len() >= length,
                "the affine map is too short"
            );
        }
    }
}

/// A rectangle of pixels of one image, in the coordinates after `upsample`; it may reach past the borders.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    pub(crate) item: usize,
    pub(crate) top: isize,
    pub(crate) left: isize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Channels `channels.0..channels.1`, multiples of the channel block.
    pub(crate) channels: (usize, usize),
}

dispatch!(
    /// Writes the region as [rows, columns, channels], zero outside the image.
    ///
    /// # Safety
    /// `source.check` has passed for more than `region.item` images, the channels are within the source's, and `to` has
    /// room for the region, used by nothing else meanwhile.
    pub(crate) unsafe fn load_region = load_region_body(source: &Source<'_>, region: Region, to: *mut f32)
);

#[inline(always)]
unsafe fn load_region_body<V: Vector>(source: &Source<'_>, region: Region, to: *mut f32) {
    let (from, until) = region.channels;
    let count = until - from;
    let shift = u32::from(source.upsample);
    let (height, width) = ((source.height << shift) as isize, (source.width << shift) as isize);
    // Columns of the region that are inside the image.
    let begin = (-region.left).clamp(0, region.columns as isize) as usize;
    let end = (width - region.left).clamp(begin as isize, region.columns as isize) as usize;
    let total = source.channels();
    for row in 0..region.rows {
        let y = region.top + row as isize;
        // SAFETY: `to` has room for the region; pixels between `begin` and `end` of rows inside the image are in the
        // source, as is the affine map for the item and the channels.
        unsafe {
            let to = to.add(row * region.columns * count);
            if y < 0 || y >= height || begin == end {
                std::ptr::write_bytes(to, 0, region.columns * count);
                continue;
            }
            std::ptr::write_bytes(to, 0, begin * count);
            std::ptr::write_bytes(to.add(end * count), 0, (region.columns - end) * count);
            let mut offset = 0;
            for part in [Some(source.first), source.second].into_iter().flatten() {
                let (start, stop) = (from.max(offset), until.min(offset + part.channels));
                if start < stop {
                    let line = (region.item * source.height + (y as usize >> shift)) * source.width;
                    let pixels = Pixels {
                        from: part.data.as_ptr().add(line * part.channels + start - offset),
                        from_pixel: part.channels,
                        to: to.add(start - from),
                        to_pixel: count,
                        channels: stop - start,
                    };
                    let columns = (begin, end, region.left, shift);
                    let far = part.data.len() > NEAR;
                    match source.affine {
                        None if far => load_line::<V, 0, true>(pixels, columns, pixels.from, pixels.from),
                        None => load_line::<V, 0, false>(pixels, columns, pixels.from, pixels.from),
                        Some(affine) => {
                            let index = region.item * total + start;
                            let (scale, bias) = (affine.scale.as_ptr().add(index), affine.shift.as_ptr().add(index));
                            match (affine.activate, far) {
                                (true, true) => load_line::<V, 2, true>(pixels, columns, scale, bias),
                                (true, false) => load_line::<V, 2, false>(pixels, columns, scale, bias),
                                (false, _) => load_line::<V, 1, false>(pixels, columns, scale, bias),
                            }
                        }
                    }
                }
                offset += part.channels;
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Pixels {
    from: *const f32,
    from_pixel: usize,
    to: *mut f32,
    to_pixel: usize,
    channels: usize,
}

/// Numbers of an activation that stays in the processor's cache from one layer to the next.
pub(crate) const NEAR: usize = 512 * 1024;
/// Numbers between what is loaded and what is asked for.
const AHEAD: usize = 1024;

/// `MODE` 0 copies, 1 maps, 2 maps and activates. What is `FAR` is asked for ahead, as the processor's own prefetching ends
/// with each page.
#[inline(always)]
unsafe fn load_line<V: Vector, const MODE: usize, const FAR: bool>(
    pixels: Pixels,
    (begin, end, left, shift): (usize, usize, isize, u32),
    scale: *const f32,
    bias: *const f32,
) {
    let ahead = (AHEAD / pixels.from_pixel).max(2) * pixels.from_pixel;
    for column in begin..end {
        let x = (left + column as isize) as usize >> shift;
        // SAFETY: the caller (`load_region_body`) passes columns inside the image and whole vectors of channels.
        unsafe {
            let from = pixels.from.add(x * pixels.from_pixel);
            let to = pixels.to.add(column * pixels.to_pixel);
            let mut channel = 0;
            while channel < pixels.channels {
                if FAR {
                    V::prefetch(from.wrapping_add(ahead + channel));
                }
                let mut value = V::load(from.add(channel));
                if MODE > 0 {
                    value = value.mul_add(V::load(scale.add(channel)), V::load(bias.add(channel)));
                }
                if MODE > 1 {
                    value = silu(value);
                }
                value.store(to.add(channel));
                channel += V::LANES;
            }
        }
    }
}
