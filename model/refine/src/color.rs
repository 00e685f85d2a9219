//! The frame's own colours as a second opinion on its regions.
//!
//! A network that saw many pictures knows roughly where the object is; the colours of *this* picture say more exactly which
//! pixels belong together. Each region gets a histogram of the colours that it holds, and each pixel is judged again by how
//! typical its colour is of each region, beside what the network said. No training, no labels; it works at the
//! network's resolution, so that its cost does not grow with the frame.

use crate::barrier;
use crate::guided::Guide;
use crate::map::{InputImage, RegionMap};
use crate::pieces::{Hole, crumbs, misplaced};
use crate::plane::{Plane, gaussian, mirrored, to_logarithms};
use crate::simd::exp;
use crate::vectorised;

/// Cells of the colour cube along each of R, G and B.
pub const CELLS: usize = 32;
/// Cells of the whole cube.
const CUBE: usize = CELLS * CELLS * CELLS;
/// Standard deviation of the histograms' blur, in cells: 5.6 of 256 levels.
const BLUR: f32 = 0.7;
/// Cells on either side that the blur reaches.
const REACH: usize = 3;
/// Log-odds against the background of a pixel that stands apart from the picture's frame, for each deviation.
const APART: f32 = 0.5;
/// They are at most this.
const APART_LIMIT: f32 = 4.0;
/// Weight of the log-probabilities of network and frame together.
const NETWORK: f32 = 1.5;
/// Weight of the colours' log-likelihoods.
const COLORS: f32 = 2.0;
/// Width of the picture's frame, as a share of its shorter side.
const FRAME: f32 = 1.0 / 16.0;
/// How often a pixel of the frame counts as background, beside once as what the network says.
const FRAME_WEIGHT: f32 = 2.0;
/// What a colour that a region does not hold counts, as a share of the region's pixels.
const FLOOR: f32 = 1e-4;
/// Standard deviation, in pixels, of the blur of the log-likelihoods over the picture.
const SMOOTHING: f32 = 1.0;
/// Half the side of the windows in which scores follow colours, both at half their size.
const WINDOW: usize = 3;
/// A hole is a gap where its colours are this much likelier outside of the object than in it: the mean logarithm.
const GAP: f32 = 4.0;

/// A blurred histogram over the colour cube; keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct ColorHistogram {
    cube: Vec<f32>,
    scratch: Vec<f32>,
}

impl ColorHistogram {
    /// The cell of each pixel of a planar RGB picture `[3, pixels]` with values from -1 to 1 (what lies outside is clamped).
    pub fn cells(picture: &[f32]) -> Vec<u16> {
        let pixels = picture.len() / 3;
        let level = |value: f32| (((value + 1.0) * (CELLS as f32 / 2.0)) as usize).min(CELLS - 1);
        (0..pixels)
            .map(|pixel| {
                let [r, g, b] = [0, 1, 2].map(|channel| level(picture[channel * pixels + pixel]));
                ((r * CELLS + g) * CELLS + b) as u16
            })
            .collect()
    }

    /// Counts `weights` of the pixels with these cells and blurs the counts; the sum is kept.
    ///
    /// # Panics
    /// If a cell did not come from [`ColorHistogram::cells`].
    pub fn count(&mut self, cells: &[u16], weights: impl IntoIterator<Item = f32>) {
        self.cube.clear();
        self.cube.resize(CUBE, 0.0);
        for (cell, weight) in cells.iter().zip(weights) {
            self.cube[usize::from(*cell)] += weight;
        }
        let weights = gaussian(BLUR);
        self.blur_lines(&weights);
        for stride in [CELLS, CELLS * CELLS] {
            self.blur_along(stride, &weights);
        }
    }

    /// The blurred counts of all cells.
    pub fn counts(&self) -> &[f32] {
        &self.cube
    }

    /// The blurred count of a cell.
    pub fn at(&self, cell: u16) -> f32 {
        self.cube[usize::from(cell)]
    }

    /// [`Self::blur_along`] for neighbouring cells, which needs a line with mirrored ends to be as fast.
    fn blur_lines(&mut self, weights: &[f32]) {
        let mut padded = [0.0; CELLS + 2 * REACH];
        for line in self.cube.chunks_exact_mut(CELLS) {
            // Most colours occur in no picture.
            if line.iter().all(|value| *value == 0.0) {
                continue;
            }
            for (at, value) in padded.iter_mut().enumerate() {
                *value = line[mirrored(at as isize - REACH as isize, CELLS)];
            }
            line.fill(0.0);
            for shift in 0..=2 * REACH {
                let weight = weights[shift.abs_diff(REACH)];
                for (out, value) in line.iter_mut().zip(&padded[shift..]) {
                    *out += weight * value;
                }
            }
        }
    }

    /// Convolves along the axis whose cells lie `stride` apart, the cube mirrored at its faces.
    fn blur_along(&mut self, stride: usize, weights: &[f32]) {
        self.scratch.clear();
        self.scratch.resize(CUBE, 0.0);
        blur(&self.cube, stride, weights, &mut self.scratch);
        std::mem::swap(&mut self.cube, &mut self.scratch);
    }
}

vectorised! {
    fn blur(cube: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
        let lines = cube.chunks_exact(stride * CELLS);
        for (line, out) in lines.zip(out.chunks_exact_mut(stride * CELLS)) {
            for to in 0..CELLS {
                let out = &mut out[to * stride..][..stride];
                for from in to as isize - REACH as isize..=(to + REACH) as isize {
                    let weight = weights[from.abs_diff(to as isize)];
                    let from = mirrored(from, CELLS);
                    for (out, value) in out.iter_mut().zip(&line[from * stride..][..stride]) {
                        *out += weight * value;
                    }
                }
            }
        }
    }
}

/// Which holes in an object become object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FillHoles {
    /// All but those whose colours are the background's: the gap between an arm and the body.
    #[default]
    Auto,
    /// All.
    All,
    /// None.
    None,
}

/// Judges the pixels of a picture again by the colours of its regions; keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct ColorModel {
    /// What becomes of holes.
    pub fill_holes: FillHoles,
    histogram: ColorHistogram,
    unjudged: u64,
}

impl ColorModel {
    /// One that fills such holes.
    pub fn new(fill_holes: FillHoles) -> Self {
        Self {
            fill_holes,
            ..Self::default()
        }
    }

    /// How many maps so far were left as they were because a step came to no finite result.
    pub fn unjudged(&self) -> u64 {
        self.unjudged
    }

    /// Sharpens `map`, the regions of `image`, by the image's colours. Probabilities sum to 1. `foreground` says which regions are the
    /// object; where it says nothing of use (none are, or all), all are but the one that holds most of the picture's frame.
    ///
    /// With q the network's probabilities and e how far a pixel stands apart from the frame ([`barrier::evidence`]), p is q of
    /// background and `q exp(min(e / 2, 4))` of foreground, made to sum to 1. A pixel counts `p_k^2 / sum_j p_j^2` for region k; in the
    /// frame, a sixteenth of the shorter side wide, it counts nothing for foreground and 2 more for that region of the background which
    /// has most of it. With `a_k` the mean of that (region k's area) and `h_k(c)` its share in the
    /// blurred cell of colour c, each region's score is `1.5 log p_k + 2 blur(log(h_k(c) / a_k + 1e-4))`, brought along the edges of
    /// the colours ([`Guide`]), and the new probabilities are the softmax of the scores. Where the foreground has specks or holes
    /// ([`misplaced`], by p), it and the background exchange their probabilities; which holes count,
    /// [`Self::fill_holes`] says: by default those where the mean of log(o(c) / i(c)) is below 4, with o and i the shares of the
    /// blurred cell of colour c among pixels outside of the object and in it. Of more than two regions, pieces with less than a twentieth
    /// of their region's largest exchange their probability with that of the region that borders on them most ([`crumbs`]).
    ///
    /// One region, an image of another size than the map's, and what cannot be judged ([`Self::unjudged`]: an image that is
    /// not finite) are left as they are.
    pub fn refine(&mut self, image: &InputImage, map: &mut RegionMap, foreground: &[bool]) {
        let pixels = map.width * map.height;
        if map.regions < 2 || pixels == 0 || image.data.len() != 3 * pixels || !map.is_whole() {
            return;
        }
        let network = map.probabilities.clone();
        self.judge(image, map, foreground);
        if !map.sums_to_one() {
            self.unjudged += 1;
            map.probabilities = network;
        }
    }

    fn judge(&mut self, image: &InputImage, map: &mut RegionMap, foreground: &[bool]) {
        let (width, height) = (map.width, map.height);
        let pixels = width * height;
        let cells = ColorHistogram::cells(&image.data);
        let frame = frame((width, height));
        let foreground = match foreground {
            known if known.len() == map.regions && known.contains(&true) && known.contains(&false) => known.to_vec(),
            _ => all_but_most_of(&frame, &map.probabilities, pixels),
        };
        let factors = barrier::evidence(image).map(|apart| exp((APART * apart).min(APART_LIMIT)));
        for (region, plane) in map.probabilities.chunks_exact_mut(pixels).enumerate() {
            if foreground[region] {
                plane
                    .iter_mut()
                    .zip(&factors.values)
                    .for_each(|(p, factor)| *p *= factor);
            }
        }
        normalise(&mut map.probabilities, map.regions);
        let mut counts: Vec<f32> = map.probabilities.iter().map(|p| p * p).collect();
        normalise(&mut counts, map.regions);
        for at in &frame {
            for region in (0..map.regions).filter(|region| foreground[*region]) {
                counts[region * pixels + at] = 0.0;
            }
            counts[most_probable(map, &foreground, false, *at)] += FRAME_WEIGHT;
        }
        let evidence = map.sum(&foreground);
        let colors = image.colors();
        let guide = (width.min(height) > 1).then(|| Guide::halved(&colors, WINDOW));
        // Scores beside the first region's: what smooths and guides them is linear, and only differences count.
        let (mut scores, mut first) = (vec![0.0; pixels], None);
        for (plane, counts) in map.probabilities.chunks_exact(pixels).zip(counts.chunks_exact(pixels)) {
            let area = (counts.iter().sum::<f32>() / pixels as f32).max(f32::MIN_POSITIVE);
            self.histogram.count(&cells, counts.iter().copied());
            let scale = 1.0 / (area * pixels as f32);
            let likelihood = cells.iter().map(|cell| self.histogram.at(*cell) * scale + FLOOR);
            let network = plane.iter().map(|p| p.max(f32::MIN_POSITIVE));
            let own = [likelihood.collect(), network.collect()].map(|mut values: Vec<f32>| {
                to_logarithms(&mut values);
                Plane { width, height, values }
            });
            let Some(first) = &first else {
                first = Some(own);
                continue;
            };
            let [likelihood, network] = [0, 1].map(|of| own[of].zip(&first[of], |own, first| own - first));
            let likelihood = likelihood.blurred(SMOOTHING);
            let mut score = likelihood.zip(&network, |colors, network| COLORS * colors + NETWORK * network);
            if let Some(guide) = &guide {
                score = guide.follow(&colors, &score);
            }
            scores.extend(score.values);
        }
        let mut most = vec![0.0f32; pixels];
        for plane in scores.chunks_exact(pixels) {
            most.iter_mut()
                .zip(plane)
                .for_each(|(most, score)| *most = most.max(*score));
        }
        for (probabilities, scores) in map
            .probabilities
            .chunks_exact_mut(pixels)
            .zip(scores.chunks_exact(pixels))
        {
            to_shares(scores, &most, probabilities);
        }
        self.make_whole(map, &foreground, &evidence, &cells);
        if map.regions > 2 {
            sweep(map);
        }
        normalise(&mut map.probabilities, map.regions);
    }

    /// Exchanges what the background has with what the foreground has, where an object's pixels are [`misplaced`].
    fn make_whole(&mut self, map: &mut RegionMap, foreground: &[bool], evidence: &[f32], cells: &[u16]) {
        let pixels = map.width * map.height;
        let most = |kind, pixel| map.probabilities[most_probable(map, foreground, kind, pixel)];
        let of_object = |pixel: usize| most(true, pixel) > most(false, pixel);
        let object: Vec<bool> = (0..pixels).map(of_object).collect();
        let fill = self.fill_holes;
        let mut typical: Option<Vec<f32>> = None;
        let wrong = misplaced(&object, evidence, map.width, |hole| match fill {
            FillHoles::All => true,
            FillHoles::None => false,
            FillHoles::Auto => {
                let typical = typical.get_or_insert_with(|| self.typical_of_outside(hole, cells));
                let mean = hole.pixels.iter().map(|pixel| typical[*pixel]).sum::<f32>() / hole.pixels.len() as f32;
                mean < GAP
            }
        });
        for pixel in (0..pixels).filter(|pixel| wrong[*pixel]) {
            // Not 1 - own: near 1 that is rounding, which their shares would be divided by.
            let (rest, object) = map.sums(pixel, foreground);
            map.share_out(pixel, foreground, (object, rest));
        }
    }

    /// For each pixel, the logarithm of how much likelier its colour is outside of an object than in it.
    fn typical_of_outside(&mut self, hole: &Hole<'_>, cells: &[u16]) -> Vec<f32> {
        let mut likelihood = |inside: &[bool]| -> Vec<f32> {
            let count = inside.iter().filter(|is| **is).count().max(1) as f32;
            self.histogram
                .count(cells, inside.iter().map(|is| f32::from(u8::from(*is))));
            cells
                .iter()
                .map(|cell| (self.histogram.at(*cell) / count + FLOOR).ln())
                .collect()
        };
        let (outside, object) = (likelihood(hole.outside), likelihood(hole.object));
        outside
            .iter()
            .zip(object)
            .map(|(outside, object)| outside - object)
            .collect()
    }
}

vectorised! {
    /// e to the power of each score, beside the most of its pixel.
    fn to_shares(scores: &[f32], most: &[f32], out: &mut [f32]) {
        for ((out, score), most) in out.iter_mut().zip(scores).zip(most) {
            *out = exp(score - most);
        }
    }
}

/// Divides by the sums over `regions` planes.
fn normalise(values: &mut [f32], regions: usize) {
    let pixels = values.len() / regions;
    for pixel in 0..pixels {
        let sum: f32 = (0..regions).map(|k| values[k * pixels + pixel]).sum();
        // Quotients: none of them rounds to more than 1.
        (0..regions).for_each(|k| values[k * pixels + pixel] /= sum.max(f32::MIN_POSITIVE));
    }
}

/// The pixels of a picture's frame.
fn frame((width, height): (usize, usize)) -> Vec<usize> {
    let deep = ((FRAME * width.min(height) as f32).round() as usize).max(1);
    let in_frame = |at: &usize| {
        let (x, y) = (at % width, at / width);
        x.min(width - 1 - x).min(y).min(height - 1 - y) < deep
    };
    (0..width * height).filter(in_frame).collect()
}

/// Gives [`crumbs`] of regions, such as the eyes that have the colours of hair, to what is around them.
fn sweep(map: &mut RegionMap) {
    let pixels = map.width * map.height;
    let all = vec![true; map.regions];
    let region_of: Vec<usize> = (0..pixels)
        .map(|pixel| most_probable(map, &all, true, pixel) / pixels)
        .collect();
    for (pixel, region) in crumbs(&region_of, map.regions, map.width) {
        map.probabilities
            .swap(region_of[pixel] * pixels + pixel, region * pixels + pixel);
    }
}

/// Whether each region is another than the one that has most of `places`.
fn all_but_most_of(places: &[usize], probabilities: &[f32], pixels: usize) -> Vec<bool> {
    let held = |plane: &[f32]| places.iter().map(|at| plane[*at]).sum::<f32>();
    let held: Vec<f32> = probabilities.chunks_exact(pixels).map(held).collect();
    let most = (0..held.len()).max_by(|a, b| held[*a].total_cmp(&held[*b]));
    (0..held.len()).map(|region| Some(region) != most).collect()
}

/// Where in the map the most probable region of the foreground, or of the background, has a pixel's probability.
fn most_probable(map: &RegionMap, foreground: &[bool], kind: bool, pixel: usize) -> usize {
    let pixels = map.width * map.height;
    let places = (0..map.regions).filter(|region| foreground[*region] == kind);
    let places = places.map(|region| region * pixels + pixel);
    places
        .max_by(|a, b| map.probabilities[*a].total_cmp(&map.probabilities[*b]))
        .unwrap_or(pixel)
}

#[cfg(test)]
mod tests;
