//! Objects are few and whole: specks beside them are mistakes, and so are most holes in them.

/// A piece stays where it holds this share of the evidence that the piece with the most of it holds.
const STAYS: f32 = 0.3;
/// A piece of a region with less than this share of the region's largest is a crumb.
const CRUMB: f32 = 0.05;

/// Which pixels `[height, width]` are of pieces of the `object` (4-connected) with fewer than `least` pixels.
pub fn specks(object: &[bool], width: usize, least: usize) -> Vec<bool> {
    let pieces = Pieces::of(object, width);
    let mut sizes = vec![0; pieces.count()];
    pieces.of_pixel.iter().for_each(|piece| sizes[*piece] += 1);
    let is_speck = |piece: &usize| pieces.value[*piece] && sizes[*piece] < least;
    pieces.of_pixel.iter().map(is_speck).collect()
}

/// A hole in an object, and what is around it.
pub struct Hole<'a> {
    /// Its pixels.
    pub pixels: &'a [usize],
    /// Pixels of the pieces that stay.
    pub object: &'a [bool],
    /// Pixels that are in no hole and in no piece that stays.
    pub outside: &'a [bool],
}

/// Which pixels `[height, width]` are on the wrong side: those of pieces of the `object` (4-connected) whose sum of `evidence`
/// is small beside that of the largest, and those around which the pieces that stay are closed, where `is_filled` says so of
/// the hole.
pub fn misplaced(
    object: &[bool],
    evidence: &[f32],
    width: usize,
    mut is_filled: impl FnMut(&Hole<'_>) -> bool,
) -> Vec<bool> {
    let pieces = Pieces::of(object, width);
    let mut mass = vec![0.0f32; pieces.count()];
    for (piece, evidence) in pieces.of_pixel.iter().zip(evidence) {
        mass[*piece] += evidence;
    }
    let held = |piece: usize| pieces.value[piece].then_some(mass[piece]);
    let most = (0..pieces.count()).filter_map(held).fold(0.0, f32::max);
    let stays = |piece: usize| held(piece).is_some_and(|mass| mass >= STAYS * most);
    let kept: Vec<bool> = pieces.of_pixel.iter().map(|piece| stays(*piece)).collect();
    let around = Pieces::of(&kept, width);
    let outside: Vec<bool> = around
        .of_pixel
        .iter()
        .map(|piece| around.open[*piece] && !around.value[*piece])
        .collect();
    let mut holes: Vec<Vec<usize>> = vec![Vec::new(); around.count()];
    for (pixel, piece) in around.of_pixel.iter().enumerate() {
        if !around.value[*piece] && !around.open[*piece] {
            holes[*piece].push(pixel);
        }
    }
    let mut whole = kept.clone();
    for pixels in holes.iter().filter(|pixels| !pixels.is_empty()) {
        let hole = Hole {
            pixels,
            object: &kept,
            outside: &outside,
        };
        let filled = is_filled(&hole);
        pixels.iter().for_each(|pixel| whole[*pixel] = filled);
    }
    whole
        .iter()
        .zip(object)
        .map(|(whole, object)| whole != object)
        .collect()
}

/// The pixels of crumbs, and the region that each of them should have: pieces of a region (4-connected) that are small beside its largest
/// become what borders on them most.
pub fn crumbs(region_of: &[usize], regions: usize, width: usize) -> Vec<(usize, usize)> {
    let pieces = Pieces::of(region_of, width);
    let mut sizes = vec![0; pieces.count()];
    pieces.of_pixel.iter().for_each(|piece| sizes[*piece] += 1);
    let mut largest = vec![0; regions];
    for (region, size) in pieces.value.iter().zip(&sizes) {
        largest[*region] = largest[*region].max(*size);
    }
    let is_crumb = |piece: usize| (sizes[piece] as f32) < CRUMB * largest[pieces.value[piece]] as f32;
    let mut borders = vec![vec![0; regions]; pieces.count()];
    for (at, &piece) in pieces.of_pixel.iter().enumerate() {
        let right = (at % width + 1 < width).then_some(at + 1);
        let below = (at + width < region_of.len()).then_some(at + width);
        for other in right.into_iter().chain(below).map(|next| pieces.of_pixel[next]) {
            if other != piece {
                borders[piece][pieces.value[other]] += 1;
                borders[other][pieces.value[piece]] += 1;
            }
        }
    }
    let becomes = |piece: usize| (0..regions).max_by_key(|region| borders[piece][*region]);
    let crumbs = pieces
        .of_pixel
        .iter()
        .enumerate()
        .filter(|(_, piece)| is_crumb(**piece));
    crumbs.filter_map(|(at, piece)| Some((at, becomes(*piece)?))).collect()
}

/// The 4-connected pieces of equal values: of a mask and of what is not in it, or of regions.
pub(crate) struct Pieces<T> {
    /// Piece of each pixel.
    pub(crate) of_pixel: Vec<usize>,
    /// The value of each piece: whether it is of the mask, or its region.
    pub(crate) value: Vec<T>,
    /// Whether a piece touches the border of the picture.
    open: Vec<bool>,
}

impl<T: Copy + PartialEq> Pieces<T> {
    /// Pieces are numbered by their first pixels.
    pub(crate) fn of(values: &[T], width: usize) -> Self {
        // Runs of a row, each with an earlier one of its piece, or itself.
        let (mut run_of, mut earlier) = (vec![0; values.len()], Vec::new());
        for (at, value) in values.iter().enumerate() {
            let is_same = |other: usize| values[other] == *value;
            let begins_row = at % width == 0;
            let continues = !begins_row && is_same(at - 1);
            if !continues {
                earlier.push(earlier.len());
            }
            run_of[at] = earlier.len() - 1;
            let above = at.checked_sub(width).filter(|above| is_same(*above));
            // What lies above its left neighbour has been joined.
            if let Some(above) = above.filter(|above| !continues || !is_same(above - 1)) {
                let (a, b) = (first(&mut earlier, run_of[at]), first(&mut earlier, run_of[above]));
                earlier[a.max(b)] = a.min(b);
            }
        }
        let mut value = Vec::new();
        let mut piece_of_run: Vec<usize> = Vec::with_capacity(earlier.len());
        let mut of_pixel = run_of;
        for (pixel, of) in of_pixel.iter_mut().enumerate() {
            let run = *of;
            if run == piece_of_run.len() {
                piece_of_run.push(match earlier[run] {
                    itself if itself == run => value.len(),
                    before => piece_of_run[before],
                });
                if earlier[run] == run {
                    value.push(values[pixel]);
                }
            }
            *of = piece_of_run[run];
        }
        let mut open = vec![false; value.len()];
        let last_row = values.len().saturating_sub(width);
        let sides = (0..values.len())
            .step_by(width.max(1))
            .flat_map(|start| [start, start + width - 1]);
        for at in (0..width.min(values.len())).chain(last_row..values.len()).chain(sides) {
            open[of_pixel[at]] = true;
        }
        Self { of_pixel, value, open }
    }

    pub(crate) fn count(&self) -> usize {
        self.value.len()
    }
}

/// The first run of a piece, from one of its runs; what lies on the way points further on from now on.
fn first(earlier: &mut [usize], mut run: usize) -> usize {
    while earlier[run] != run {
        earlier[run] = earlier[earlier[run]];
        run = earlier[run];
    }
    run
}

#[cfg(test)]
mod tests;
