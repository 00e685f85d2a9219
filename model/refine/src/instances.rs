//! The object taken apart: its connected pieces, followed from frame to frame.
//!
//! Regions say what is object, not how many objects there are. Pieces that do not touch are likely to be several; a piece is the one
//! of the frame before that it overlaps most with. What touches is one, and what comes apart is new.

use crate::pieces::Pieces;

/// Numbers that are given, at most.
pub const MOST: usize = 20;

/// Pieces with a smaller share of the frame have no number.
const LEAST_SHARE: f64 = 0.001;

/// Pieces of successive frames.
#[derive(Debug, Default)]
pub struct Instances {
    /// Each number's pixels when it was seen last, in the order of the numbers from 1.
    last: Vec<Vec<bool>>,
}

impl Instances {
    /// The number of the piece (4-connected) that each pixel `[height, width]` of the object is of, from 1 to [`MOST`]; 0 where there is
    /// no object, where a piece is too small, and where all numbers are given.
    ///
    /// A piece has the number of that one which it overlaps most with, as the share of both together (IoU); the pair that overlaps most
    /// goes first. One that overlaps with none has the next number.
    pub fn follow(&mut self, object: &[bool], width: usize) -> Vec<u8> {
        if self.last.first().is_some_and(|last| last.len() != object.len()) {
            self.last.clear();
        }
        let pieces = Pieces::of(object, width);
        let mut sizes = vec![0; pieces.count()];
        pieces.of_pixel.iter().for_each(|piece| sizes[*piece] += 1);
        let least = (LEAST_SHARE * object.len() as f64).max(1.0) as usize;
        let counts = |piece: usize| pieces.value[piece] && sizes[piece] >= least;

        let mut pairs = Vec::new();
        for (number, last) in self.last.iter().enumerate() {
            let mut shared = vec![0; pieces.count()];
            let inside = pieces.of_pixel.iter().zip(last).filter(|(_, last)| **last);
            inside.for_each(|(piece, _)| shared[*piece] += 1);
            let size = last.iter().filter(|last| **last).count();
            for piece in (0..pieces.count()).filter(|piece| counts(*piece) && shared[*piece] > 0) {
                let iou = shared[piece] as f64 / (size + sizes[piece] - shared[piece]) as f64;
                pairs.push((iou, number, piece));
            }
        }
        // Of the same overlap, the oldest number and the piece furthest up.
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let (mut number_of, mut taken) = (vec![None; pieces.count()], vec![false; self.last.len()]);
        for (_, number, piece) in pairs {
            if !taken[number] && number_of[piece].is_none() {
                (taken[number], number_of[piece]) = (true, Some(number));
            }
        }
        // The largest first: numbers run out.
        let mut new: Vec<usize> = (0..pieces.count())
            .filter(|piece| counts(*piece) && number_of[*piece].is_none())
            .collect();
        new.sort_by_key(|piece| (std::cmp::Reverse(sizes[*piece]), *piece));
        for piece in new.into_iter().take(MOST - self.last.len()) {
            number_of[piece] = Some(self.last.len());
            self.last.push(Vec::new());
        }
        let numbers = pieces.of_pixel.iter().map(|piece| number_of[*piece]);
        let numbers: Vec<u8> = numbers
            .map(|number| number.map_or(0, |number| number as u8 + 1))
            .collect();
        for number in number_of.into_iter().flatten() {
            self.last[number] = numbers.iter().map(|one| usize::from(*one) == number + 1).collect();
        }
        numbers
    }
}

#[cfg(test)]
mod tests;
