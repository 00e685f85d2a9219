//! Objects are few and whole: specks beside them and holes in them are mistakes.

/// A piece stays where it holds this share of the evidence that the piece with the most of it holds.
const STAYS: f32 = 0.3;

/// Which pixels `[height, width]` are on the wrong side: those of pieces of the `object` (4-connected) whose sum of `evidence`
/// is small beside that of the largest, and those around which the pieces that stay are closed.
pub fn misplaced(object: &[bool], evidence: &[f32], width: usize) -> Vec<bool> {
    let pieces = Pieces::of(object, width);
    let mut mass = vec![0.0f32; pieces.count];
    for (piece, evidence) in pieces.of_pixel.iter().zip(evidence) {
        mass[*piece] += evidence;
    }
    let held = |piece: usize| pieces.inside[piece].then_some(mass[piece]);
    let most = (0..pieces.count).filter_map(held).fold(0.0, f32::max);
    let stays = |piece: usize| held(piece).is_some_and(|mass| mass >= STAYS * most);
    let kept: Vec<bool> = pieces.of_pixel.iter().map(|piece| stays(*piece)).collect();
    let around = Pieces::of(&kept, width);
    let whole = around
        .of_pixel
        .iter()
        .map(|piece| around.inside[*piece] || !around.open[*piece]);
    whole.zip(object).map(|(whole, object)| whole != *object).collect()
}

/// The 4-connected pieces of a mask and of what is not in it.
struct Pieces {
    count: usize,
    /// Piece of each pixel.
    of_pixel: Vec<usize>,
    /// Whether a piece is of the mask.
    inside: Vec<bool>,
    /// Whether a piece touches the border of the picture.
    open: Vec<bool>,
}

impl Pieces {
    fn of(mask: &[bool], width: usize) -> Self {
        const NONE: usize = usize::MAX;
        let mut pieces = Self {
            count: 0,
            of_pixel: vec![NONE; mask.len()],
            inside: Vec::new(),
            open: Vec::new(),
        };
        let mut next = Vec::new();
        for first in 0..mask.len() {
            if pieces.of_pixel[first] != NONE {
                continue;
            }
            let (piece, mut open) = (pieces.count, false);
            pieces.of_pixel[first] = piece;
            next.push(first);
            while let Some(at) = next.pop() {
                let x = at % width;
                let neighbours = [
                    (x > 0).then(|| at - 1),
                    (x + 1 < width).then(|| at + 1),
                    at.checked_sub(width),
                    (at + width < mask.len()).then(|| at + width),
                ];
                open |= neighbours.contains(&None);
                for neighbour in neighbours.into_iter().flatten() {
                    if mask[neighbour] == mask[first] && pieces.of_pixel[neighbour] == NONE {
                        pieces.of_pixel[neighbour] = piece;
                        next.push(neighbour);
                    }
                }
            }
            pieces.count += 1;
            pieces.inside.push(mask[first]);
            pieces.open.push(open);
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(rows: &[&str]) -> Vec<bool> {
        rows.iter()
            .flat_map(|row| row.chars())
            .map(|pixel| pixel == '#')
            .collect()
    }

    #[test]
    fn specks_go_and_holes_are_filled() {
        let object = mask(&[
            "#......#", // a speck in either corner
            ".####...", ".#..#...", ".####.#.", // a speck that touches the object by a corner only
            ".....#..",
        ]);
        let evidence = vec![1.0; object.len()];
        let wrong = misplaced(&object, &evidence, 8);
        let expected = mask(&["#......#", "........", "..##....", "......#.", ".....#.."]);
        assert_eq!(wrong, expected);
    }

    #[test]
    fn evidence_counts_not_size() {
        let object = mask(&["##..#", "##..."]);
        let weigh = |speck: f32| [0.5, 0.5, 0.0, 0.0, speck, 0.5, 0.5, 0.0, 0.0, 0.0];
        assert!(misplaced(&object, &weigh(0.59), 5)[4]);
        assert_eq!(misplaced(&object, &weigh(0.61), 5), [false; 10]);
    }

    #[test]
    fn a_hole_in_what_goes_is_not_filled_and_nothing_is_nothing() {
        let object = mask(&["###.....", "#.#.####", "###.####"]);
        let evidence: Vec<f32> = (0..24).map(|at| if at % 8 < 3 { 0.1 } else { 1.0 }).collect();
        assert_eq!(
            misplaced(&object, &evidence, 8),
            mask(&["###.....", "#.#.....", "###....."])
        );
        assert_eq!(misplaced(&[false; 6], &[1.0; 6], 3), [false; 6]);
        assert_eq!(misplaced(&[true; 6], &[0.0; 6], 3), [false; 6]);
        assert!(misplaced(&[], &[], 0).is_empty());
    }
}
