//! From a frame to the network's input: the frame's components are averaged over the area of each input
//! pixel straight from its planes, and only the small picture is converted to RGB.
//!
//! Rows are summed first, in 16-bit integers over whole rows of a plane, which compilers vectorise; columns
//! are summed once for each input row. Samples wider than a byte are averaged in floats, component by component. A size
//! above the frame's own is interpolated linearly.

use factorseg_model::InputImage;

use factorseg_refine::vectorised;

use super::layout::{Channel, Component, Layout, Plane};

/// As many taps of columns have loops of their own.
const TAPS: [usize; 5] = [2, 3, 4, 6, 10];

/// How one target sample is made from the source samples `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    first: usize,
    last: usize,
    /// Weight of `first`.
    head: f32,
    /// Weight of every sample strictly between.
    interior: f32,
    /// Weight of `last`, 0 where it is `first`.
    tail: f32,
}

impl Tap {
    /// Of a single source sample.
    fn one(sample: usize) -> Self {
        Self {
            first: sample,
            last: sample,
            head: 1.0,
            interior: 0.0,
            tail: 0.0,
        }
    }
}

/// The taps that resample `extent` source samples (of which `length` exist) to `target`.
fn taps(length: usize, extent: f64, target: usize) -> Vec<Tap> {
    let scale = extent / target as f64;
    let limit = length - 1;
    (0..target)
        .map(|index| {
            if scale >= 1.0 {
                let begin = index as f64 * scale;
                let end = ((index + 1) as f64 * scale).min(extent);
                let first = (begin.floor() as usize).min(limit);
                let last = ((end.ceil() as usize).max(1) - 1).clamp(first, limit);
                if first == last {
                    return Tap::one(first);
                }
                let head = (first + 1) as f64 - begin;
                let tail = end - last as f64;
                let total = head + tail + (last - first - 1) as f64;
                Tap {
                    first,
                    last,
                    head: (head / total) as f32,
                    interior: (1.0 / total) as f32,
                    tail: (tail / total) as f32,
                }
            } else {
                let center = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, limit as f64);
                let first = center.floor() as usize;
                let fraction = (center - first as f64) as f32;
                let last = (first + 1).min(limit);
                if last == first {
                    return Tap::one(first);
                }
                Tap {
                    first,
                    last,
                    head: 1.0 - fraction,
                    interior: 0.0,
                    tail: fraction,
                }
            }
        })
        .collect()
}

/// Resamples frames of one layout to one input size. Holds its tables and scratch rows, so that a frame
/// costs no allocation but its result.
#[derive(Debug)]
pub struct Sampler {
    width: usize,
    height: usize,
    /// For each plane: bytes in a row, the taps of its rows.
    planes: Vec<(usize, Vec<Tap>)>,
    columns: Vec<(Component, Columns)>,
    sums: Vec<u16>,
    row: Vec<f32>,
    /// One row of samples that are wider than a byte.
    wide: Vec<f32>,
    small: Vec<f32>,
}

impl Sampler {
    /// A sampler from frames of `layout` to `width` x `height` input pixels.
    pub fn new(layout: &Layout, width: usize, height: usize) -> Self {
        let planes = (0..layout.planes)
            .map(|plane| {
                let (bytes, rows) = layout.plane_size(plane);
                let extents = layout.in_plane(plane).map(|component| component.extent_height);
                (bytes, taps(rows, extents.fold(0.0, f64::max), height))
            })
            .collect::<Vec<_>>();
        let columns = layout
            .components
            .iter()
            .filter(|component| matches!(component.channel, Channel::Color(_)))
            .map(|component| {
                let taps = taps(component.width, component.extent_width, width);
                (*component, Columns::new(&taps))
            })
            .collect::<Vec<_>>();
        let widest = columns.iter().map(|(component, columns)| columns.taps * component.step);
        let longest = planes.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0);
        let row = vec![0.0; longest + widest.max().unwrap_or(0)];
        Self {
            width,
            height,
            small: vec![0.0; columns.len() * width * height],
            planes,
            columns,
            sums: vec![0; longest],
            row,
            wide: Vec::new(),
        }
    }

    /// The sampler of a format to a size, made anew if the one there has another size.
    pub fn sized<'a>(slot: &'a mut Option<Self>, layout: &Layout, (width, height): (usize, usize)) -> &'a mut Self {
        slot.take_if(|sampler| (sampler.width, sampler.height) != (width, height));
        slot.get_or_insert_with(|| Self::new(layout, width, height))
    }

    /// Averages a frame to the input size and converts it to planar RGB in `-1..=1`.
    pub fn sample(&mut self, layout: &Layout, frame: &[Plane<'_>]) -> InputImage {
        self.average(frame);
        self.image(layout)
    }

    /// Averages a frame to the input size: its colour components one after the other,
    /// `[components, height, width]`, in sample values `0..=255`.
    pub fn average(&mut self, frame: &[Plane<'_>]) -> &[f32] {
        let pixels = self.width * self.height;
        for (index, plane) in frame.iter().enumerate().take(self.planes.len()) {
            for y in 0..self.height {
                let (bytes, rows) = &self.planes[index];
                let row = &mut self.row;
                let mut averaged = false;
                for (c, (component, columns)) in self.columns.iter().enumerate() {
                    if component.plane != index {
                        continue;
                    }
                    let at = c * pixels + y * self.width;
                    let out = &mut self.small[at..at + self.width];
                    if !component.is_bytes() {
                        self.wide.resize(component.width, 0.0);
                        average_wide_rows(plane, component, &rows[y], &mut self.wide, &mut row[..component.width]);
                        columns.average(row, 1, out);
                        continue;
                    }
                    if !std::mem::replace(&mut averaged, true) {
                        average_rows(plane, &rows[y], &mut self.sums[..*bytes], &mut row[..*bytes]);
                    }
                    columns.average(&row[component.offset..], component.step, out);
                }
            }
        }
        &self.small
    }

    /// The frame averaged last, as planar RGB in `-1..=1`.
    fn image(&self, layout: &Layout) -> InputImage {
        let pixels = self.width * self.height;
        let planes: Vec<&[f32]> = self.small.chunks_exact(pixels).collect();
        let mut data = vec![0.0; 3 * pixels];
        for (color, out) in data.chunks_exact_mut(pixels).enumerate() {
            layout.colorimetry.to_rgb(color, &planes, out);
        }
        InputImage {
            width: self.width,
            height: self.height,
            data,
        }
    }
}

/// Averages the rows of a tap into `row`, all bytes of the row alike.
fn average_rows(plane: &Plane<'_>, tap: &Tap, sums: &mut [u16], row: &mut [f32]) {
    let length = row.len();
    let source = |y: usize| &plane.data[y * plane.stride..y * plane.stride + length];
    row.fill(0.0);
    add_weighted(source(tap.first), tap.head, row);
    if tap.tail > 0.0 {
        add_weighted(source(tap.last), tap.tail, row);
    }
    if tap.interior > 0.0 {
        // 257 rows of 255 just fit 16 bits.
        let mut y = tap.first + 1;
        while y < tap.last {
            let end = tap.last.min(y + 257);
            sums.fill(0);
            for y in y..end {
                add(source(y), sums);
            }
            for (out, &sum) in row.iter_mut().zip(&*sums) {
                *out += tap.interior * f32::from(sum);
            }
            y = end;
        }
    }
}

/// Averages the rows of a tap into `row`, the samples of one component.
fn average_wide_rows(plane: &Plane<'_>, component: &Component, tap: &Tap, wide: &mut [f32], row: &mut [f32]) {
    row.fill(0.0);
    for y in tap.first..=tap.last {
        let weight = match y {
            y if y == tap.first => tap.head,
            y if y == tap.last => tap.tail,
            _ => tap.interior,
        };
        component.read(&plane.data[y * plane.stride..], 0, wide);
        for (out, value) in row.iter_mut().zip(&*wide) {
            *out += weight * value;
        }
    }
}

vectorised! {
    fn add_weighted(source: &[u8], weight: f32, row: &mut [f32]) {
        for (out, &byte) in row.iter_mut().zip(source) {
            *out += weight * f32::from(byte);
        }
    }
}

vectorised! {
    fn add(source: &[u8], sums: &mut [u16]) {
        for (sum, &byte) in sums.iter_mut().zip(source) {
            *sum += u16::from(byte);
        }
    }
}

/// The taps of columns, as weights of samples side by side; as many for each, so that no loop has to ask.
#[derive(Debug)]
struct Columns {
    /// Samples of a tap: those that have none of it have no weight.
    taps: usize,
    starts: Vec<usize>,
    /// `[columns, taps]`
    weights: Vec<f32>,
}

impl Columns {
    fn new(columns: &[Tap]) -> Self {
        let widest = columns.iter().map(|tap| tap.last - tap.first + 1).max().unwrap_or(1);
        let taps = TAPS.into_iter().find(|taps| *taps >= widest).unwrap_or(widest);
        let mut weights = vec![0.0; columns.len() * taps];
        for (weights, tap) in weights.chunks_exact_mut(taps).zip(columns) {
            let last = tap.last - tap.first;
            weights[..last].fill(tap.interior);
            weights[last] = tap.tail;
            weights[0] = tap.head;
        }
        let starts = columns.iter().map(|tap| tap.first).collect();
        Self { taps, starts, weights }
    }

    /// Averages the columns of one component, whose samples lie `step` apart, into `out`. A row ends with `taps * step` numbers
    /// that count nothing.
    fn average(&self, row: &[f32], step: usize, out: &mut [f32]) {
        match self.taps {
            2 => self.average_taps::<2>(row, step, out),
            3 => self.average_taps::<3>(row, step, out),
            4 => self.average_taps::<4>(row, step, out),
            6 => self.average_taps::<6>(row, step, out),
            10 => self.average_taps::<10>(row, step, out),
            taps => {
                let columns = self.starts.iter().zip(self.weights.chunks_exact(taps));
                for (out, (start, weights)) in out.iter_mut().zip(columns) {
                    let samples = row[start * step..].iter().step_by(step);
                    *out = samples.zip(weights).map(|(sample, weight)| sample * weight).sum();
                }
            }
        }
    }

    #[inline(always)]
    fn average_taps<const TAPS: usize>(&self, row: &[f32], step: usize, out: &mut [f32]) {
        let columns = self.starts.iter().zip(self.weights.as_chunks::<TAPS>().0);
        for (out, (start, weights)) in out.iter_mut().zip(columns) {
            let samples = &row[start * step..][..TAPS * step];
            let mut sum = weights[0] * samples[0];
            for tap in 1..TAPS {
                sum += weights[tap] * samples[tap * step];
            }
            *out = sum;
        }
    }
}

#[cfg(test)]
mod tests;
