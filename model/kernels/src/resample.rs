//! Half and twice the resolution without weights, as residual blocks have it that change the resolution: averages of
//! 2 x 2 pixels, and every pixel 2 x 2 times. What is normalised and activated is so on the way.

use crate::convolution::Workspace;
use crate::memory::Shared;
use crate::simd::{InstructionSet, Vector, dispatch, silu};
use crate::source::Source;
use crate::threads::for_each;

/// The direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resampling {
    /// Each pixel of the output is the mean of 2 x 2.
    Halve,
    /// Each pixel of the input is repeated 2 x 2.
    Double,
}

impl Resampling {
    /// The level of the output for an input at `level`, counted in halvings.
    pub(crate) fn level(self, level: usize) -> usize {
        match self {
            Self::Halve => level + 1,
            Self::Double => level - 1,
        }
    }

    /// The smaller of both sides, for an input of `side` pixels.
    fn smaller(self, side: usize) -> usize {
        match self {
            Self::Halve => side / 2,
            Self::Double => side,
        }
    }
}

/// Resamples the first `batch` images of a single activation, whose sides are even where they are halved. `output` is
/// [batch, height, width, channels] of the new size.
pub(crate) fn resample(
    set: InstructionSet,
    workspaces: &mut [Workspace],
    resampling: Resampling,
    batch: usize,
    source: Source<'_>,
    output: &mut [f32],
) {
    source.check(batch);
    assert!(source.second.is_none() && !source.upsample, "one activation, as it is");
    let (height, width) = (resampling.smaller(source.height), resampling.smaller(source.width));
    let channels = source.first.channels;
    let (item, large) = (height * width * channels, 4 * height * width * channels);
    let (from_item, to_item) = match resampling {
        Resampling::Halve => (large, item),
        Resampling::Double => (item, large),
    };
    assert!(
        from_item == source.height * source.width * channels && output.len() >= batch * to_item,
        "sizes of a resampled activation"
    );
    let output = Shared::new(output);
    for_each(workspaces, batch * height, |_, task| {
        let (index, row) = (task / height, task % height);
        let affine = source.affine.map(|affine| {
            let place = index * channels;
            (
                affine.scale[place..].as_ptr(),
                affine.shift[place..].as_ptr(),
                affine.activate,
            )
        });
        let line = Line {
            width,
            channels,
            from: source.first.data[index * from_item + row * (from_item / height)..].as_ptr(),
            to: output.pointer(index * to_item + row * (to_item / height)),
            affine,
        };
        // SAFETY: source and output were measured; a line of the smaller size, which is two of the larger, belongs to
        // one task alone.
        unsafe {
            match resampling {
                Resampling::Halve => halve(set, line),
                Resampling::Double => double(set, line),
            }
        }
    });
}

/// One line of the smaller size, two of the larger.
#[derive(Clone, Copy)]
struct Line {
    /// Pixels of the smaller size.
    width: usize,
    channels: usize,
    from: *const f32,
    to: *mut f32,
    /// Scale and shift by channel, and whether SiLU follows.
    affine: Option<(*const f32, *const f32, bool)>,
}

/// What becomes of numbers on the way.
#[inline(always)]
unsafe fn mapped<V: Vector>(affine: Option<(*const f32, *const f32, bool)>, channel: usize, value: V) -> V {
    // SAFETY: scale and shift hold all channels.
    unsafe {
        match affine {
            None => value,
            Some((scale, shift, activate)) => {
                let value = value.mul_add(V::load(scale.add(channel)), V::load(shift.add(channel)));
                if activate { silu(value) } else { value }
            }
        }
    }
}

dispatch!(
    /// Averages two lines into one.
    ///
    /// # Safety
    /// `from` holds two lines of twice the width, `to` has room for one, used by nothing else meanwhile; channels are
    /// whole blocks.
    unsafe fn halve = halve_body(line: Line)
);

#[inline(always)]
unsafe fn halve_body<V: Vector>(line: Line) {
    let Line {
        width,
        channels,
        from,
        to,
        affine,
    } = line;
    let below = 2 * width * channels;
    for x in 0..width {
        for channel in (0..channels).step_by(V::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let from = from.add(2 * x * channels + channel);
                let at = |place: usize| mapped(affine, channel, V::load(from.add(place)));
                let sum = at(0).add(at(channels)).add(at(below).add(at(below + channels)));
                sum.mul(V::splat(0.25)).store(to.add(x * channels + channel));
            }
        }
    }
}

dispatch!(
    /// Spreads one line over two.
    ///
    /// # Safety
    /// `from` holds a line, `to` has room for two of twice the width, used by nothing else meanwhile; channels are
    /// whole blocks.
    unsafe fn double = double_body(line: Line)
);

#[inline(always)]
unsafe fn double_body<V: Vector>(line: Line) {
    let Line {
        width,
        channels,
        from,
        to,
        affine,
    } = line;
    let below = 2 * width * channels;
    for x in 0..width {
        for channel in (0..channels).step_by(V::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let value = mapped(affine, channel, V::load(from.add(x * channels + channel)));
                let to = to.add(2 * x * channels + channel);
                for place in [0, channels, below, below + channels] {
                    value.store(to.add(place));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
