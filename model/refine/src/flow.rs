//! Optical flow: Dense Inverse Search (Kroeger, Timofte, Dai and Van Gool, "Fast Optical Flow using Dense Inverse
//! Search", 2016), without its variational refinement.
//!
//! From the coarsest level of a pyramid to the finest, overlapping patches of the current picture (side by side in the
//! finest level) look for their place in the previous one: they start from where the coarser level or a neighbour went,
//! descend the squared difference by Gauss-Newton steps whose matrix is the patch's own (the inverse search), and then
//! vote for the displacement of each pixel that they cover. Differences count without their mean, so that a change of light
//! is no motion.

use crate::map::RegionMap;
use crate::plane::{Between, Plane, Tap};
use crate::simd::Lanes;
use crate::vectorised;

/// Side of a patch, in pixels.
const PATCH: usize = 8;
/// Pixels of a patch.
const AREA: usize = PATCH * PATCH;
/// Distance of neighbouring patches, in pixels.
const STRIDE: usize = 4;
/// The same at the full size, where most of the work is: they lie side by side.
const FINEST_STRIDE: usize = PATCH;
/// Gauss-Newton steps of a patch in each of two sweeps.
const STEPS: usize = 3;
/// No level is lower or narrower, in pixels.
const COARSEST: usize = 2 * PATCH;
/// Added to the diagonal of a patch's matrix: patches without texture stay where they started.
const RIDGE: f32 = 10.0;
/// How far patches may lie outside the picture, whose border's values go on there.
const MARGIN: usize = 16;

/// Displacements: what a pixel of the current picture shows, the previous one shows at `(x + flow.x, y + flow.y)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// To the right, in pixels.
    pub x: Plane,
    /// Down, in pixels.
    pub y: Plane,
}

impl Flow {
    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        self.x.size()
    }

    /// The displacement of a pixel, (x, y).
    pub fn at(&self, x: usize, y: usize) -> [f32; 2] {
        let at = y * self.x.width + x;
        [self.x.values[at], self.y.values[at]]
    }

    /// Values of planes of the previous picture, all of one size, at the places that the current picture's pixels come from.
    pub fn warp<const PLANES: usize>(&self, previous: [&Plane; PLANES]) -> [Plane; PLANES] {
        let (width, height) = self.size();
        let mut out = previous.map(|_| Plane::filled(width, height, 0.0));
        let size = previous[0].size();
        for y in 0..height {
            for (x, (dx, dy)) in self.x.row(y).iter().zip(self.y.row(y)).enumerate() {
                let place = Between::new(size, x as i32 as f32 + dx, y as i32 as f32 + dy);
                for (out, plane) in out.iter_mut().zip(previous) {
                    out.values[y * width + x] = plane.value(&place);
                }
            }
        }
        out
    }

    /// The regions of the previous picture at those places.
    pub fn warp_map(&self, previous: &RegionMap) -> RegionMap {
        let (width, height) = self.size();
        let planes = previous.planes();
        let warped = planes
            .iter()
            .flat_map(|plane| self.warp([&plane.resized(width, height)]));
        RegionMap {
            regions: previous.regions,
            width,
            height,
            probabilities: warped.flat_map(|plane| plane.values).collect(),
        }
    }

    /// The flow of pictures of half the size: means of two by two.
    #[must_use]
    pub fn halved(&self) -> Self {
        let half = |plane: &Plane| plane.halved().map(|value| value / 2.0);
        Self {
            x: half(&self.x),
            y: half(&self.y),
        }
    }

    /// The flow of pictures of another size, in the middle of the patches that start at these columns and rows.
    fn sampled(&self, (width, height): (usize, usize), columns: &[usize], rows: &[usize]) -> Self {
        let middles = |starts: &[usize], source: usize, target: usize| -> Vec<Tap> {
            let middle = |start: &usize| Tap::new(start + PATCH / 2, source, target);
            starts.iter().map(middle).collect()
        };
        let (columns, rows) = (
            middles(columns, self.x.width, width),
            middles(rows, self.x.height, height),
        );
        let (across, down) = (width as f32 / self.x.width as f32, height as f32 / self.x.height as f32);
        Self {
            x: self.x.sampled(&columns, &rows).map(|value| value * across),
            y: self.y.sampled(&columns, &rows).map(|value| value * down),
        }
    }
}

/// A picture at all sizes that flow is looked for, the full one first.
#[derive(Clone, Debug, PartialEq)]
pub struct Pyramid {
    levels: Vec<Padded>,
}

impl Pyramid {
    /// The pyramid of a picture of brightness from 0 to 255.
    pub fn new(picture: &Plane) -> Self {
        let mut levels = vec![Padded::new(picture)];
        let mut half = picture.halved();
        while half.width.min(half.height) >= COARSEST {
            levels.push(Padded::new(&half));
            half = half.halved();
        }
        Self { levels }
    }
}

/// Finds flow; keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct Search {
    patches: Vec<Patch>,
    /// What each patch has found.
    found: Vec<Tried>,
    /// Of the displacements that were summed for each pixel.
    weights: Vec<f32>,
    flow: Flow,
}

impl Search {
    /// The flow from `current` to `previous`, pictures of one size; none between pictures smaller than a patch.
    pub fn flow(&mut self, current: &Pyramid, previous: &Pyramid) -> &Flow {
        self.resize_flow(0, 0);
        for (level, (current, previous)) in current.levels.iter().zip(&previous.levels).enumerate().rev() {
            let (width, height) = current.picture_size();
            if width.min(height) < PATCH {
                self.resize_flow(width, height);
                break;
            }
            let stride = if level == 0 { FINEST_STRIDE } else { STRIDE };
            self.level(current, previous, stride);
        }
        &self.flow
    }

    /// Takes the flow from a coarser level to this one.
    fn level(&mut self, current: &Padded, previous: &Padded, stride: usize) {
        let (width, height) = current.picture_size();
        let (columns, rows) = (starts(width, stride), starts(height, stride));
        let coarser = !self.flow.x.values.is_empty();
        let starts = coarser.then(|| self.flow.sampled((width, height), &columns, &rows));
        let places = [columns.as_slice(), rows.as_slice()];
        self.patches.resize(columns.len() * rows.len(), Patch::default());
        self.found.clear();
        begin(
            current,
            previous,
            places,
            starts.as_ref(),
            &mut self.patches,
            &mut self.found,
        );
        for back in [false, true] {
            sweep(previous, &self.patches, columns.len(), back, &mut self.found);
        }
        self.resize_flow(width, height);
        let Flow { x, y } = &mut self.flow;
        if stride >= PATCH {
            // No pixel has several patches to choose from.
            for (patch, found) in self.patches.iter().zip(&self.found) {
                for (plane, found) in [&mut *x, &mut *y].into_iter().zip(found.at) {
                    patch.rows(width).for_each(|pixels| plane.values[pixels].fill(found));
                }
            }
            return;
        }
        self.weights.clear();
        self.weights.resize(width * height, 0.0);
        let mut planes = [&mut x.values, &mut y.values].map(Vec::as_mut_slice);
        planes.iter_mut().for_each(|plane| plane.fill(0.0));
        vote(previous, &self.patches, &self.found, width, planes, &mut self.weights);
    }

    fn resize_flow(&mut self, width: usize, height: usize) {
        for plane in [&mut self.flow.x, &mut self.flow.y] {
            (plane.width, plane.height) = (width, height);
            plane.values.resize(width * height, 0.0);
        }
    }
}

/// The pixels of a patch, row by row.
type Pixels = [[f32; PATCH]; PATCH];

/// A patch of the current picture.
#[derive(Clone, Debug, Default)]
struct Patch {
    /// Left column and top row, in pixels of the picture.
    place: [usize; 2],
    values: Pixels,
    /// To the right and down, without their means.
    slopes: [Pixels; 2],
    /// Sums of products of the slopes: of x with x, x with y, y with y.
    matrix: [f32; 3],
}

impl Patch {
    /// Becomes the one of a picture whose left column and top row are these.
    #[inline(always)]
    fn cut<L: Lanes>(&mut self, lanes: L, picture: &Padded, [x, y]: [usize; 2]) {
        self.place = [x, y];
        let lines: [&[f32; PATCH + 2]; PATCH + 2] = picture.lines(x + MARGIN - 1, y + MARGIN - 1);
        let (half, zero) = (lanes.splat(0.5), lanes.splat(0.0));
        let mut slopes = [[zero; PATCH]; 2];
        let mut totals = [zero; 4];
        for row in 0..PATCH {
            let [above, line, below] = [lines[row], lines[row + 1], lines[row + 2]];
            self.values[row] = lanes.load(part(line, 1)).array();
            slopes[0][row] = lanes.load(part(line, 2)).minus(lanes.load(part(line, 0))).times(half);
            slopes[1][row] = lanes.load(part(below, 1)).minus(lanes.load(part(above, 1))).times(half);
            totals[0] = totals[0].plus(slopes[0][row]);
            totals[1] = totals[1].plus(slopes[1][row]);
        }
        let means = L::sums(totals).map(|sum| lanes.splat(sum / AREA as f32));
        let mut products = [zero; 4];
        for row in 0..PATCH {
            let [x, y] = [slopes[0][row].minus(means[0]), slopes[1][row].minus(means[1])];
            products[0] = products[0].plus(x.times(x));
            products[1] = products[1].plus(x.times(y));
            products[2] = products[2].plus(y.times(y));
            (self.slopes[0][row], self.slopes[1][row]) = (x.array(), y.array());
        }
        let [xx, xy, yy, _] = L::sums(products);
        self.matrix = [xx, xy, yy];
    }

    /// Its pixels in a picture of this width, row by row.
    fn rows(&self, width: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let [x, y] = self.place;
        (y..y + PATCH).map(move |y| y * width + x..y * width + x + PATCH)
    }
}

/// A displacement that a patch has tried.
#[derive(Clone, Copy, Debug)]
struct Tried {
    at: [f32; 2],
    /// The sum of squared differences without their mean; infinite where it is no number.
    error: f32,
    /// Sums of products of the differences with the slopes.
    gradient: [f32; 2],
    /// Whether it is known that the next step brings nothing.
    settled: bool,
}

/// Where patches start along a side: every `stride` pixels and at the end, so that they cover it.
fn starts(length: usize, stride: usize) -> Vec<usize> {
    let last = length - PATCH;
    (0..last).step_by(stride).chain([last]).collect()
}

/// A picture with a margin, in which the border's values go on.
#[derive(Clone, Debug, PartialEq)]
struct Padded {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Padded {
    fn new(plane: &Plane) -> Self {
        let (width, height) = (plane.width + 2 * MARGIN, plane.height + 2 * MARGIN);
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = plane.row(y.saturating_sub(MARGIN).min(plane.height - 1));
            values.extend([row[0]; MARGIN]);
            values.extend_from_slice(row);
            values.extend([row[plane.width - 1]; MARGIN]);
        }
        Self { width, height, values }
    }

    /// Width and height without the margin.
    fn picture_size(&self) -> (usize, usize) {
        (self.width - 2 * MARGIN, self.height - 2 * MARGIN)
    }

    /// The first pixels of rows from (x, y) on; zeros outside of the picture.
    #[inline(always)]
    fn lines<const LENGTH: usize, const ROWS: usize>(&self, x: usize, y: usize) -> [&[f32; LENGTH]; ROWS] {
        let first = y * self.width + x;
        if first + (ROWS - 1) * self.width + LENGTH > self.values.len() {
            return [&[0.0; LENGTH]; ROWS];
        }
        // SAFETY: the last row ends inside of the values, and so do those before. A check for each would cost as much as the row.
        std::array::from_fn(|row| unsafe { &*self.values.as_ptr().add(first + row * self.width).cast() })
    }

    /// What a patch that is moved has here more than there.
    #[inline(always)]
    fn differences<L: Lanes>(&self, lanes: L, patch: &Patch, moved: [f32; 2]) -> [L; PATCH] {
        let (left, across) = position(patch.place[0], moved[0], self.width);
        let (top, down) = position(patch.place[1], moved[1], self.height);
        let weights = [
            lanes.splat((1.0 - across) * (1.0 - down)),
            lanes.splat(across * (1.0 - down)),
            lanes.splat((1.0 - across) * down),
            lanes.splat(across * down),
        ];
        let lines: [&[f32; PATCH + 1]; PATCH + 1] = self.lines(left, top);
        let mut above = [lanes.load(part(lines[0], 0)), lanes.load(part(lines[0], 1))];
        let mut differences = [lanes.splat(0.0); PATCH];
        for row in 0..PATCH {
            let line = lines[row + 1];
            let below = [lanes.load(part(line, 0)), lanes.load(part(line, 1))];
            let upper = weights[0].times(above[0]).plus(weights[1].times(above[1]));
            let mixed = upper.plus(weights[2].times(below[0])).plus(weights[3].times(below[1]));
            differences[row] = mixed.minus(lanes.load(&patch.values[row]));
            above = below;
        }
        differences
    }

    /// Tries a displacement of a patch.
    #[inline(always)]
    fn attempt<L: Lanes>(&self, lanes: L, patch: &Patch, at: [f32; 2]) -> Tried {
        let differences = self.differences(lanes, patch, at);
        let zero = lanes.splat(0.0);
        let (mut sum, mut squares, mut gradient_x, mut gradient_y) = (zero, zero, zero, zero);
        let [slopes_x, slopes_y] = &patch.slopes;
        for row in 0..PATCH {
            let difference = differences[row];
            sum = sum.plus(difference);
            squares = squares.plus(difference.times(difference));
            gradient_x = gradient_x.plus(lanes.load(&slopes_x[row]).times(difference));
            gradient_y = gradient_y.plus(lanes.load(&slopes_y[row]).times(difference));
        }
        let [sum, squares, gradient_x, gradient_y] = L::sums([sum, squares, gradient_x, gradient_y]);
        let mean = sum / AREA as f32;
        let error = squares - mean * mean * AREA as f32;
        let known = !error.is_nan();
        Tried {
            at,
            error: if known { error } else { f32::INFINITY },
            gradient: if known { [gradient_x, gradient_y] } else { [0.0; 2] },
            settled: false,
        }
    }

    /// Moves a patch from the best of what it has found and what its neighbours have to where it differs least.
    #[inline(always)]
    fn descend<L: Lanes>(&self, lanes: L, patch: &Patch, own: &Tried, neighbours: [[f32; 2]; 2]) -> Tried {
        let mut best = *own;
        for start in neighbours {
            if start != own.at && start != best.at {
                let tried = self.attempt(lanes, patch, start);
                if tried.error < best.error {
                    best = tried;
                }
            }
        }
        let begin = best;
        let [xx, xy, yy] = patch.matrix;
        let (xx, yy) = (xx + RIDGE, yy + RIDGE);
        let determinant = xx * yy - xy * xy;
        for _ in 0..STEPS {
            if best.settled {
                break;
            }
            let [bx, by] = best.gradient;
            let next = [
                best.at[0] - (yy * bx - xy * by) / determinant,
                best.at[1] - (xx * by - xy * bx) / determinant,
            ];
            let tried = self.attempt(lanes, patch, next);
            if tried.error >= best.error {
                best.settled = true;
                break;
            }
            best = tried;
        }
        // What leaves its own neighbourhood has lost its track.
        let [x, y] = [0, 1].map(|axis| (best.at[axis] - begin.at[axis]).abs());
        if x.max(y) > PATCH as f32 { begin } else { best }
    }
}

/// Where a patch that is moved begins along a side of a [`Padded`] picture: the pixel, and how far behind it. One pixel more
/// than the patch is read.
#[inline(always)]
fn position(start: usize, by: f32, length: usize) -> (usize, f32) {
    let at = ((start + MARGIN) as i32 as f32 + by).clamp(0.0, (length - PATCH - 2) as i32 as f32);
    let pixel = at as i32;
    (pixel as usize, at - pixel as f32)
}

/// Neighbouring values of a line, from the one at `from` on.
#[inline(always)]
fn part<const LENGTH: usize>(line: &[f32; LENGTH], from: usize) -> &[f32; PATCH] {
    line[from..].first_chunk().unwrap_or(&[0.0; PATCH])
}

vectorised! {
    /// Cuts out the patches of these columns and rows, and tries where they start.
    fn begin(
        lanes;
        current: &Padded,
        previous: &Padded,
        places: [&[usize]; 2],
        starts: Option<&Flow>,
        patches: &mut [Patch],
        found: &mut Vec<Tried>,
    ) {
        for (index, patch) in patches.iter_mut().enumerate() {
            let (column, row) = (index % places[0].len(), index / places[0].len());
            patch.cut(lanes, current, [places[0][column], places[1][row]]);
            let start = starts.map_or([0.0; 2], |starts| starts.at(column, row));
            found.push(previous.attempt(lanes, patch, start));
        }
    }
}

vectorised! {
    /// Moves each patch, from the first to the last or back: the neighbours before it are where it may start.
    fn sweep(lanes; previous: &Padded, patches: &[Patch], across: usize, back: bool, found: &mut [Tried]) {
        let count = patches.len();
        for turn in 0..count {
            let index = if back { count - 1 - turn } else { turn };
            let column = index % across;
            let (mut beside, mut above) = (index, index);
            if back {
                beside += usize::from(column + 1 < across);
                above += if index + across < count { across } else { 0 };
            } else {
                beside -= usize::from(column > 0);
                above = above.checked_sub(across).unwrap_or(index);
            }
            let neighbours = [found[beside].at, found[above].at];
            found[index] = previous.descend(lanes, &patches[index], &found[index], neighbours);
        }
    }
}

vectorised! {
    /// For each pixel the mean of the displacements of the patches over it, x and y; those that fit there count more. All begin
    /// with zeros.
    fn vote(
        lanes;
        previous: &Padded,
        patches: &[Patch],
        found: &[Tried],
        width: usize,
        flow: [&mut [f32]; 2],
        weights: &mut [f32],
    ) {
        let [x, y] = flow;
        for (patch, Tried { at, .. }) in patches.iter().zip(found) {
            let differences = previous.differences(lanes, patch, *at);
            for (pixels, differences) in patch.rows(width).zip(differences) {
                let differences = differences.array();
                let (x, y, weights) = (&mut x[pixels.clone()], &mut y[pixels.clone()], &mut weights[pixels]);
                for pixel in 0..PATCH {
                    let weight = 1.0 / differences[pixel].abs().max(1.0);
                    x[pixel] += weight * at[0];
                    y[pixel] += weight * at[1];
                    weights[pixel] += weight;
                }
            }
        }
        for ((x, y), weight) in x.iter_mut().zip(y).zip(weights) {
            *x /= *weight;
            *y /= *weight;
        }
    }
}

#[cfg(test)]
mod tests;
