//! Optical flow: Dense Inverse Search (Kroeger, Timofte, Dai and Van Gool, "Fast Optical Flow using Dense Inverse
//! Search", 2016), without its variational refinement.
//!
//! From the coarsest level of a pyramid to the finest, overlapping patches of the current picture (side by side in the
//! finest level) look for their place in the previous one: they start from where the coarser level or a neighbour went,
//! descend the squared difference by Gauss-Newton steps whose matrix is the patch's own (the inverse search), and then
//! vote for the displacement of each pixel that they cover. Differences count without their mean, so that a change of light
//! is no motion.

use crate::plane::Plane;
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

    /// Values of the previous picture, at the places that the current picture's pixels come from.
    pub fn warp(&self, previous: &Plane) -> Plane {
        let (width, height) = self.size();
        Plane::from_fn(width, height, |x, y| {
            let [dx, dy] = self.at(x, y);
            previous.at(x as f32 + dx, y as f32 + dy)
        })
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

    /// The flow of pictures of another size.
    fn resized(&self, width: usize, height: usize) -> Self {
        let (across, down) = (width as f32 / self.x.width as f32, height as f32 / self.x.height as f32);
        Self {
            x: self.x.resized(width, height).map(|value| value * across),
            y: self.y.resized(width, height).map(|value| value * down),
        }
    }
}

/// A picture at all sizes that flow is looked for, the full one first.
#[derive(Clone, Debug, PartialEq)]
pub struct Pyramid {
    levels: Vec<Plane>,
}

impl Pyramid {
    /// The pyramid of a picture of brightness from 0 to 255.
    pub fn new(picture: Plane) -> Self {
        let mut levels = vec![picture];
        while let Some(last) = levels.last()
            && last.width.min(last.height) / 2 >= COARSEST
        {
            let half = last.halved();
            levels.push(half);
        }
        Self { levels }
    }

    /// The picture at its full size.
    pub fn picture(&self) -> &Plane {
        &self.levels[0]
    }
}

/// The flow from `current` to `previous`, pictures of one size; none between pictures smaller than a patch.
pub fn flow(current: &Pyramid, previous: &Pyramid) -> Flow {
    let mut flow: Option<Flow> = None;
    for (level, (current, previous)) in current.levels.iter().zip(&previous.levels).enumerate().rev() {
        let (width, height) = current.size();
        let start = match flow {
            Some(coarser) => coarser.resized(width, height),
            None => Flow {
                x: Plane::filled(width, height, 0.0),
                y: Plane::filled(width, height, 0.0),
            },
        };
        let stride = if level == 0 { FINEST_STRIDE } else { STRIDE };
        flow = Some(if width.min(height) < PATCH {
            start
        } else {
            Level::new(current, previous, &start, stride).search()
        });
    }
    flow.unwrap_or_default()
}

/// The search at one level of the pyramids.
struct Level<'a> {
    current: &'a Plane,
    /// Slopes of the current picture.
    slopes: Flow,
    previous: Padded,
    /// Left columns of the patches.
    columns: Vec<usize>,
    /// Top rows of the patches.
    rows: Vec<usize>,
    /// The displacement of each patch, row by row.
    found: Vec<[f32; 2]>,
}

impl<'a> Level<'a> {
    fn new(current: &'a Plane, previous: &Plane, start: &Flow, stride: usize) -> Self {
        let (columns, rows) = (starts(current.width, stride), starts(current.height, stride));
        let middle = |patch: usize| patch + PATCH / 2;
        let found = rows
            .iter()
            .flat_map(|y| columns.iter().map(|x| start.at(middle(*x), middle(*y))));
        Self {
            slopes: slopes(current),
            previous: Padded::new(previous),
            found: found.collect(),
            columns,
            rows,
            current,
        }
    }

    fn search(mut self) -> Flow {
        self.sweep(false);
        self.sweep(true);
        self.densify()
    }

    /// Moves each patch, from the first to the last or back: the neighbours before it are where it may start.
    fn sweep(&mut self, back: bool) {
        let (across, down) = (self.columns.len(), self.rows.len());
        for turn in 0..across * down {
            let index = if back { across * down - 1 - turn } else { turn };
            let (column, row) = (index % across, index / across);
            let beside = if back {
                (column + 1 < across).then(|| index + 1)
            } else {
                column.checked_sub(1).map(|_| index - 1)
            };
            let above = if back {
                (row + 1 < down).then(|| index + across)
            } else {
                row.checked_sub(1).map(|_| index - across)
            };
            let mut starts = [self.found[index]; 3];
            for (start, neighbour) in starts[1..].iter_mut().zip([beside, above]) {
                if let Some(neighbour) = neighbour {
                    *start = self.found[neighbour];
                }
            }
            let place = [self.columns[column], self.rows[row]];
            let [values, slopes_x, slopes_y] = [self.current, &self.slopes.x, &self.slopes.y].map(|p| cut(p, place));
            let mut result = starts[0];
            descend(
                &self.previous,
                &place,
                &values,
                &slopes_x,
                &slopes_y,
                &starts,
                &mut result,
            );
            self.found[index] = result;
        }
    }

    /// The mean of the displacements of the patches over each pixel; those that fit there count more.
    fn densify(&self) -> Flow {
        let (width, height) = self.current.size();
        let mut sums = [(); 3].map(|()| vec![0.0f32; width * height]);
        for (index, found) in self.found.iter().enumerate() {
            let place = [
                self.columns[index % self.columns.len()],
                self.rows[index / self.columns.len()],
            ];
            let values = cut(self.current, place);
            vote(&self.previous, &place, &values, found, &width, &mut sums);
        }
        let [x, y, weights] = sums;
        let mean = |sums: Vec<f32>| Plane {
            width,
            height,
            values: sums.iter().zip(&weights).map(|(sum, weight)| sum / weight).collect(),
        };
        Flow { x: mean(x), y: mean(y) }
    }
}

/// Where patches start along a side: every `stride` pixels and at the end, so that they cover it.
fn starts(length: usize, stride: usize) -> Vec<usize> {
    let last = length - PATCH;
    (0..last).step_by(stride).chain([last]).collect()
}

/// Central differences, the border's values going on outside.
fn slopes(plane: &Plane) -> Flow {
    let (width, height) = plane.size();
    let mut slopes = [(); 2].map(|()| Vec::with_capacity(width * height));
    for y in 0..height {
        let row = plane.row(y);
        slopes[0].push((row[1.min(width - 1)] - row[0]) / 2.0);
        slopes[0].extend(row.windows(3).map(|pixels| (pixels[2] - pixels[0]) / 2.0));
        if width > 1 {
            slopes[0].push((row[width - 1] - row[width - 2]) / 2.0);
        }
        let (above, below) = (plane.row(y.saturating_sub(1)), plane.row((y + 1).min(height - 1)));
        slopes[1].extend(above.iter().zip(below).map(|(above, below)| (below - above) / 2.0));
    }
    let [x, y] = slopes.map(|values| Plane { width, height, values });
    Flow { x, y }
}

/// The pixels of the patch at (column, row).
fn cut(plane: &Plane, [x, y]: [usize; 2]) -> [f32; AREA] {
    let mut patch = [0.0; AREA];
    for (row, out) in patch.as_chunks_mut::<PATCH>().0.iter_mut().enumerate() {
        // A length that the compiler knows spares a call for each row.
        if let Some(line) = plane.row(y + row)[x..].first_chunk() {
            *out = *line;
        }
    }
    patch
}

/// A picture with a margin.
struct Padded {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Padded {
    fn new(plane: &Plane) -> Self {
        let inside = |at: usize, length: usize| at.saturating_sub(MARGIN).min(length - 1);
        let (width, height) = (plane.width + 2 * MARGIN, plane.height + 2 * MARGIN);
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = plane.row(inside(y, plane.height));
            values.extend((0..width).map(|x| row[inside(x, plane.width)]));
        }
        Self { width, height, values }
    }

    /// What the picture has more than `values` where the patch is moved to, and the mean of that.
    #[inline(always)]
    fn differences(&self, place: &[usize; 2], moved: [f32; 2], values: &[f32; AREA], out: &mut [f32; AREA]) -> f32 {
        // One pixel more than the patch is read each way.
        let position = |start: usize, by: f32, length: usize| {
            let limit = (length - PATCH - 2) as f32;
            ((start + MARGIN) as f32 + by).clamp(0.0, limit)
        };
        let (x, y) = (
            position(place[0], moved[0], self.width),
            position(place[1], moved[1], self.height),
        );
        let (left, top) = (x as usize, y as usize);
        let (across, down) = (x - left as f32, y - top as f32);
        let weights = [
            (1.0 - across) * (1.0 - down),
            across * (1.0 - down),
            (1.0 - across) * down,
            across * down,
        ];
        let mut sums = [0.0f32; PATCH];
        for row in 0..PATCH {
            let start = (top + row) * self.width + left;
            // The lengths are known to the compiler, which leaves out checks.
            let line = |start: usize| self.values[start..].first_chunk::<{ PATCH + 1 }>();
            let (Some(above), Some(below)) = (line(start), line(start + self.width)) else {
                continue;
            };
            for x in 0..PATCH {
                let value = weights[0] * above[x]
                    + weights[1] * above[x + 1]
                    + weights[2] * below[x]
                    + weights[3] * below[x + 1];
                out[row * PATCH + x] = value - values[row * PATCH + x];
                sums[x] += value - values[row * PATCH + x];
            }
        }
        sums.iter().sum::<f32>() / AREA as f32
    }
}

/// The sum of products of two patches.
#[inline(always)]
fn product(a: &[f32; AREA], b: &[f32; AREA]) -> f32 {
    let mut sums = [0.0f32; PATCH];
    for row in 0..PATCH {
        for x in 0..PATCH {
            sums[x] += a[row * PATCH + x] * b[row * PATCH + x];
        }
    }
    sums.iter().sum()
}

/// Subtracts the mean.
#[inline(always)]
fn centred(patch: &[f32; AREA]) -> [f32; AREA] {
    let mut sums = [0.0f32; PATCH];
    for row in 0..PATCH {
        for x in 0..PATCH {
            sums[x] += patch[row * PATCH + x];
        }
    }
    let mean = sums.iter().sum::<f32>() / AREA as f32;
    let mut out = *patch;
    out.iter_mut().for_each(|value| *value -= mean);
    out
}

vectorised! {
    /// Moves a patch from the best of `starts` to where it differs least from the previous picture.
    fn descend(
        previous: &Padded,
        place: &[usize; 2],
        values: &[f32; AREA],
        slopes_x: &[f32; AREA],
        slopes_y: &[f32; AREA],
        starts: &[[f32; 2]; 3],
        result: &mut [f32; 2],
    ) {
        let (slopes_x, slopes_y) = (centred(slopes_x), centred(slopes_y));
        let (mut differences, mut tried) = ([0.0; AREA], [0.0; AREA]);
        let (mut at, mut least) = (starts[0], f32::INFINITY);
        for (index, start) in starts.iter().enumerate() {
            if starts[..index].contains(start) {
                continue;
            }
            let mean = previous.differences(place, *start, values, &mut tried);
            let error = product(&tried, &tried) - mean * mean * AREA as f32;
            if error < least {
                (at, least, differences) = (*start, error, tried);
            }
        }
        let begin = at;
        let xx = product(&slopes_x, &slopes_x) + RIDGE;
        let yy = product(&slopes_y, &slopes_y) + RIDGE;
        let xy = product(&slopes_x, &slopes_y);
        let determinant = xx * yy - xy * xy;
        for _ in 0..STEPS {
            let (bx, by) = (product(&slopes_x, &differences), product(&slopes_y, &differences));
            let next = [
                at[0] - (yy * bx - xy * by) / determinant,
                at[1] - (xx * by - xy * bx) / determinant,
            ];
            let mean = previous.differences(place, next, values, &mut tried);
            let error = product(&tried, &tried) - mean * mean * AREA as f32;
            if error >= least || error.is_nan() {
                break;
            }
            (at, least, differences) = (next, error, tried);
        }
        // What leaves its own neighbourhood has lost its track.
        let far = (at[0] - begin[0]).abs().max((at[1] - begin[1]).abs()) > PATCH as f32;
        *result = if far { begin } else { at };
    }
}

vectorised! {
    /// Adds a patch's displacement to the sums of the pixels that it covers: x, y and weights.
    fn vote(
        previous: &Padded,
        place: &[usize; 2],
        values: &[f32; AREA],
        found: &[f32; 2],
        width: &usize,
        sums: &mut [Vec<f32>; 3],
    ) {
        let mut differences = [0.0; AREA];
        previous.differences(place, *found, values, &mut differences);
        let [x, y, weights] = sums;
        for (row, differences) in differences.chunks_exact(PATCH).enumerate() {
            let start = (place[1] + row) * width + place[0];
            let pixels = start..start + PATCH;
            let (x, y, weights) = (&mut x[pixels.clone()], &mut y[pixels.clone()], &mut weights[pixels]);
            for pixel in 0..PATCH {
                let weight = 1.0 / differences[pixel].abs().max(1.0);
                x[pixel] += weight * found[0];
                y[pixel] += weight * found[1];
                weights[pixel] += weight;
            }
        }
    }
}

#[cfg(test)]
mod tests;
