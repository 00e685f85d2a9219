//! Group normalisation with scale, shift and SiLU: the affine map of the forward pass, and all of its gradients.
//!
//! The forward map of an item and channel is z = S x + T, a = silu(z); convolutions apply it while they load. The
//! backward pass goes over the gradient twice, item by item: first dz = da silu'(z) with its sums by channel, from
//! which everything else follows, then dx = S dz + P x + Q.

use crate::convolution::Workspaces;
use crate::memory::{Buffer, Shared};
use crate::normalisation::{ChannelSums, moments};
use crate::simd::{InstructionSet, Vector, dispatch, sigmoid};
use crate::threads::for_each;

/// One normalisation of one or two joined activations, with what a pass leaves for its gradient.
#[derive(Clone)]
pub(crate) struct Norm {
    pub(crate) gamma: usize,
    pub(crate) beta: usize,
    pub(crate) channels: usize,
    pub(crate) groups: usize,
    /// Channels of the first activation, and the padded widths of both.
    pub(crate) first: usize,
    pub(crate) widths: [usize; 2],
    pub(crate) activate: bool,
    /// Index of the linear layer whose output scales and shifts, if there is one.
    pub(crate) modulation: Option<usize>,
    /// [items, width]
    pub(crate) scale: Buffer,
    pub(crate) shift: Buffer,
    /// [items, groups]
    mean: Vec<f64>,
    inverse: Vec<f64>,
    /// [items, 2, width]: sums of dz and of dz x, then P and Q.
    sums: Buffer,
    coefficients: Buffer,
}

/// The slices that a normalisation's gradient reads and writes.
pub(crate) struct Gradients<'a> {
    /// da of the items under way, becomes dz: [items, pixels, width].
    pub(crate) da: &'a mut [f32],
    /// The activations, [items, pixels, their width].
    pub(crate) x: [&'a [f32]; 2],
    /// Their gradients, and whether these hold something that is to be added to.
    pub(crate) dx: [&'a mut [f32]; 2],
    pub(crate) written: [bool; 2],
    /// All parameters.
    pub(crate) parameters: &'a [f32],
    /// Scale and shift, [images, 2 channels]; empty without modulation.
    pub(crate) modulation: &'a [f32],
}

impl Norm {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        gamma: usize,
        beta: usize,
        groups: usize,
        counts: [usize; 2],
        widths: [usize; 2],
        activate: bool,
        modulation: Option<usize>,
        items: usize,
    ) -> Self {
        let width = widths[0] + widths[1];
        Self {
            gamma,
            beta,
            channels: counts[0] + counts[1],
            groups,
            first: counts[0],
            widths,
            activate,
            modulation,
            scale: Buffer::zeroed(items * width),
            shift: Buffer::zeroed(items * width),
            mean: vec![0.0; items * groups],
            inverse: vec![0.0; items * groups],
            sums: Buffer::zeroed(items * 2 * width),
            coefficients: Buffer::zeroed(items * 2 * width),
        }
    }

    fn width(&self) -> usize {
        self.widths[0] + self.widths[1]
    }

    /// The padded position of a channel.
    fn place(&self, channel: usize) -> usize {
        if channel < self.first {
            channel
        } else {
            self.widths[0] + channel - self.first
        }
    }

    /// (1 + scale, shift) of an item's channel.
    fn modulated(&self, modulation: &[f32], images: usize, item: usize, channel: usize) -> (f64, f64) {
        if modulation.is_empty() {
            return (1.0, 0.0);
        }
        let line = &modulation[item % images * 2 * self.channels..];
        (1.0 + f64::from(line[channel]), f64::from(line[self.channels + channel]))
    }

    /// Computes scale and shift of the first `items` items from the sums of the activations.
    pub(crate) fn forward(
        &mut self,
        parameters: &[f32],
        sums: [Option<&ChannelSums>; 2],
        modulation: &[f32],
        images: usize,
        items: usize,
        pixels: usize,
    ) {
        let (width, size) = (self.width(), self.channels / self.groups);
        for item in 0..items {
            for group in 0..self.groups {
                let channels = group * size..(group + 1) * size;
                let (mean, inverse) = moments(sums, item, self.first, channels.clone(), pixels);
                self.mean[item * self.groups + group] = mean;
                self.inverse[item * self.groups + group] = inverse;
                for channel in channels {
                    let (factor, term) = self.modulated(modulation, images, item, channel);
                    let slope = f64::from(parameters[self.gamma + channel]) * inverse;
                    let offset = f64::from(parameters[self.beta + channel]) - mean * slope;
                    let place = item * width + self.place(channel);
                    self.scale[place] = (slope * factor) as f32;
                    self.shift[place] = (offset * factor + term) as f32;
                }
            }
        }
    }

    /// Gradients of the activations of some items of `pixels` pixels; `images` of all have their own modulation. When
    /// all are done, [`Self::parameter_gradients`] follows.
    pub(crate) fn backward(
        &mut self,
        set: InstructionSet,
        workspaces: &mut Workspaces,
        data: Gradients<'_>,
        images: usize,
        items: std::ops::Range<usize>,
        pixels: usize,
    ) {
        let width = self.width();
        let Gradients {
            da,
            x,
            dx,
            written,
            parameters,
            modulation,
        } = data;
        assert!(da.len() >= items.len() * pixels * width, "the gradient is too short");
        let [dx_first, dx_second] = dx;
        for (part, length) in [dx_first.len(), dx_second.len()].into_iter().enumerate() {
            let needed = items.end * pixels * self.widths[part];
            assert!(
                length >= needed && x[part].len() >= needed,
                "an activation is too short"
            );
        }
        let da = Shared::new(da);
        let dx = [Shared::new(dx_first), Shared::new(dx_second)];
        let mut sums = std::mem::take(&mut self.sums);
        let mut coefficients = std::mem::take(&mut self.coefficients);
        let (shared_sums, shared_coefficients) = (Shared::new(&mut sums), Shared::new(&mut coefficients));
        let this = &*self;
        for_each(&mut workspaces.threads, items.len(), |_, index| {
            let item = items.start + index;
            // SAFETY: each item's part belongs to its task alone.
            let (sums, coefficients) = unsafe {
                (
                    shared_sums.part(item * 2 * width, 2 * width),
                    shared_coefficients.part(item * 2 * width, 2 * width),
                )
            };
            let pieces = |part: usize| {
                let (own, before) = (this.widths[part], if part == 0 { 0 } else { this.widths[0] });
                Piece {
                    pixels,
                    channels: own,
                    x: x[part][item * pixels * own..].as_ptr(),
                    dz: da.pointer(index * pixels * width + before),
                    dz_pixel: width,
                    dx: dx[part].pointer(item * pixels * own),
                    scale: this.scale[item * width + before..].as_ptr(),
                    shift: this.shift[item * width + before..].as_ptr(),
                    activate: this.activate,
                    add: written[part],
                }
            };
            for part in 0..2 {
                if this.widths[part] > 0 {
                    let before = part * this.widths[0];
                    let to = sums[before..].as_mut_ptr();
                    // SAFETY: all slices were measured above; `to` has room for two lines `width` apart.
                    unsafe { activation_gradient(set, &pieces(part), to, to.wrapping_add(width)) };
                }
            }
            this.coefficients(parameters, modulation, images, item, pixels, sums, coefficients);
            for part in 0..2 {
                if this.widths[part] > 0 {
                    let before = part * this.widths[0];
                    let from = coefficients[before..].as_ptr();
                    // SAFETY: as above.
                    unsafe { input_gradient(set, &pieces(part), from, from.wrapping_add(width)) };
                }
            }
        });
        self.sums = sums;
        self.coefficients = coefficients;
    }

    /// Sums of dz and of dz n over an item's channel, n being the normalised activation.
    fn channel_sums(&self, item: usize, channel: usize, sums: &[f32]) -> (f64, f64) {
        let place = self.place(channel);
        let group = item * self.groups + channel / (self.channels / self.groups);
        let (plain, weighted) = (f64::from(sums[place]), f64::from(sums[self.width() + place]));
        (plain, (weighted - self.mean[group] * plain) * self.inverse[group])
    }

    #[allow(clippy::too_many_arguments)]
    fn coefficients(
        &self,
        parameters: &[f32],
        modulation: &[f32],
        images: usize,
        item: usize,
        pixels: usize,
        sums: &[f32],
        coefficients: &mut [f32],
    ) {
        let size = self.channels / self.groups;
        for group in 0..self.groups {
            let (mut first, mut second) = (0.0, 0.0);
            for channel in group * size..(group + 1) * size {
                let (plain, weighted) = self.channel_sums(item, channel, sums);
                let factor =
                    f64::from(parameters[self.gamma + channel]) * self.modulated(modulation, images, item, channel).0;
                first += factor * plain;
                second += factor * weighted;
            }
            let count = (size * pixels) as f64;
            let (mean, inverse) = (
                self.mean[item * self.groups + group],
                self.inverse[item * self.groups + group],
            );
            let slope = -inverse * inverse * second / count;
            let offset = -inverse * first / count - mean * slope;
            for channel in group * size..(group + 1) * size {
                let place = self.place(channel);
                coefficients[place] = slope as f32;
                coefficients[self.width() + place] = offset as f32;
            }
        }
    }

    /// Adds to the gradients of gamma and beta, if wanted, and, [images, 2 channels], of the modulation, from what
    /// [`Self::backward`] has left of the first `items` items.
    pub(crate) fn parameter_gradients(
        &self,
        parameters: &[f32],
        mut gradients: Option<&mut [f32]>,
        modulation: &[f32],
        modulation_gradient: &mut [f32],
        images: usize,
        items: usize,
    ) {
        let width = self.width();
        for channel in 0..self.channels {
            let (gamma, beta) = (
                f64::from(parameters[self.gamma + channel]),
                f64::from(parameters[self.beta + channel]),
            );
            let (mut d_gamma, mut d_beta) = (0.0, 0.0);
            for item in 0..items {
                let (plain, weighted) = self.channel_sums(item, channel, &self.sums[item * 2 * width..][..2 * width]);
                let factor = self.modulated(modulation, images, item, channel).0;
                d_gamma += factor * weighted;
                d_beta += factor * plain;
                if !modulation.is_empty() {
                    let line = &mut modulation_gradient[item % images * 2 * self.channels..];
                    line[channel] += (gamma * weighted + beta * plain) as f32;
                    line[self.channels + channel] += plain as f32;
                }
            }
            if let Some(gradients) = &mut gradients {
                gradients[self.gamma + channel] += d_gamma as f32;
                gradients[self.beta + channel] += d_beta as f32;
            }
        }
    }
}

/// Pixels whose channels are worked on together: whole cache lines, few enough for the first cache. The next ones are
/// asked for meanwhile.
const PIXELS: usize = 32;

/// One activation of one item.
#[derive(Clone, Copy)]
struct Piece {
    pixels: usize,
    channels: usize,
    /// [pixels, channels]
    x: *const f32,
    /// Lines `dz_pixel` apart.
    dz: *mut f32,
    dz_pixel: usize,
    dx: *mut f32,
    scale: *const f32,
    shift: *const f32,
    activate: bool,
    add: bool,
}

dispatch!(
    /// Turns da into dz and writes the sums by channel of dz and dz x.
    ///
    /// # Safety
    /// The piece's pointers hold what it describes, `plain` and `weighted` have room for its channels.
    unsafe fn activation_gradient = activation_gradient_body(piece: &Piece, plain: *mut f32, weighted: *mut f32)
);

#[inline(always)]
unsafe fn activation_gradient_body<V: Vector>(piece: &Piece, plain: *mut f32, weighted: *mut f32) {
    for start in (0..piece.pixels).step_by(PIXELS) {
        for channel in (0..piece.channels).step_by(V::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let (scale, shift) = (V::load(piece.scale.add(channel)), V::load(piece.shift.add(channel)));
                let (mut plain_sum, mut weighted_sum) = (V::zero(), V::zero());
                let one = V::splat(1.0);
                for pixel in start..(start + PIXELS).min(piece.pixels) {
                    let x = piece.x.add(pixel * piece.channels + channel);
                    let place = piece.dz.add(pixel * piece.dz_pixel + channel);
                    V::prefetch(x.wrapping_add(PIXELS * piece.channels));
                    V::prefetch(place.wrapping_add(PIXELS * piece.dz_pixel));
                    let x = V::load(x);
                    let mut dz = V::load(place);
                    if piece.activate {
                        let z = x.mul_add(scale, shift);
                        let gate = sigmoid(z);
                        let slope = gate.mul(z.mul(one.sub(gate)).add(one));
                        dz = dz.mul(slope);
                        dz.store(place);
                    }
                    plain_sum = plain_sum.add(dz);
                    weighted_sum = dz.mul_add(x, weighted_sum);
                }
                let (plain, weighted) = (plain.add(channel), weighted.add(channel));
                if start > 0 {
                    plain_sum = plain_sum.add(V::load(plain));
                    weighted_sum = weighted_sum.add(V::load(weighted));
                }
                plain_sum.store(plain);
                weighted_sum.store(weighted);
            }
        }
    }
}

dispatch!(
    /// dx (+)= scale dz + slope x + offset.
    ///
    /// # Safety
    /// The piece's pointers hold what it describes, `slope` and `offset` hold its channels.
    unsafe fn input_gradient = input_gradient_body(piece: &Piece, slope: *const f32, offset: *const f32)
);

#[inline(always)]
unsafe fn input_gradient_body<V: Vector>(piece: &Piece, slope: *const f32, offset: *const f32) {
    for start in (0..piece.pixels).step_by(PIXELS) {
        for channel in (0..piece.channels).step_by(V::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let scale = V::load(piece.scale.add(channel));
                let (slope, offset) = (V::load(slope.add(channel)), V::load(offset.add(channel)));
                for pixel in start..(start + PIXELS).min(piece.pixels) {
                    let x = piece.x.add(pixel * piece.channels + channel);
                    let dz = piece.dz.add(pixel * piece.dz_pixel + channel);
                    let place = piece.dx.add(pixel * piece.channels + channel);
                    V::prefetch(x.wrapping_add(PIXELS * piece.channels));
                    V::prefetch(dz.wrapping_add(PIXELS * piece.dz_pixel));
                    V::prefetch(place.wrapping_add(PIXELS * piece.channels));
                    let mut value = V::load(dz).mul_add(scale, V::load(x).mul_add(slope, offset));
                    if piece.add {
                        value = value.add(V::load(place));
                    }
                    value.store(place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
