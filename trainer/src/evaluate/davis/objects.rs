//! Each object by the proposal that fits it best over its sequence: DAVIS-2017's measure of unsupervised methods.
//!
//! As in its evaluation package, proposals (here the regions of the foreground, or its pieces, at most 20) are matched with the objects of the
//! first annotation so that the sum of their means of (J + F) / 2 is largest. An object that is left over is measured
//! against nothing.

use super::layout::Frame;
use super::report::VideoScores;
use super::tally::Measured;
use crate::evaluate::boundary::{Boundary, f_measure, radius};
use crate::evaluate::metrics::{Scores, Truth};

/// Proposals of a sequence, at most.
const MOST_PROPOSALS: usize = 20;

/// J and F of each object and each proposal.
pub(super) struct Objects {
    /// A region or a piece, or nothing.
    proposals: Vec<Option<u8>>,
    measured: Vec<Vec<Measured>>,
}

impl Objects {
    /// For so many objects; `regions` are the proposals.
    pub(super) fn new(objects: usize, regions: &[usize]) -> Self {
        let regions = regions.iter().take(MOST_PROPOSALS).map(|region| Some(*region as u8));
        let mut proposals: Vec<_> = regions.collect();
        proposals.resize(proposals.len().max(objects), None);
        Self {
            measured: vec![vec![Measured::default(); proposals.len()]; objects],
            proposals,
        }
    }

    /// Adds a frame; `regions` are `[height, width]`.
    pub(super) fn add(&mut self, frame: &Frame, regions: &[u8]) {
        let (width, height) = frame.size();
        let outlined = |mask: Vec<bool>| {
            let mask = frame.judged(mask);
            let outline = Boundary::of(&mask, width, height, radius(width, height));
            (mask, outline)
        };
        let mut seen = [false; 256];
        regions.iter().for_each(|region| seen[usize::from(*region)] = true);
        let mask = |region: u8| outlined(regions.iter().map(|one| *one == region).collect());
        let seen = |proposal: &Option<u8>| proposal.filter(|region| seen[usize::from(*region)]);
        let proposals: Vec<_> = self.proposals.iter().map(|proposal| seen(proposal).map(mask)).collect();
        // Most of the pieces are not there yet, or not any more.
        let nothing = outlined(vec![false; regions.len()]);
        for (number, row) in (1..).zip(&mut self.measured) {
            let (object, outline) = outlined(frame.numbers.iter().map(|one| *one == number).collect());
            let truth: Vec<Truth> = (0..object.len())
                .map(|at| {
                    if frame.void.get(at) == Some(&true) {
                        Truth::Ignored
                    } else {
                        object[at].into()
                    }
                })
                .collect();
            let measure = |(mask, boundary): &(Vec<bool>, Boundary)| {
                let j = Scores::of(mask.iter().copied(), &truth).iou;
                (j, f_measure(boundary, &outline))
            };
            let of_nothing = measure(&nothing);
            for (proposal, measured) in proposals.iter().zip(row) {
                measured.add(proposal.as_ref().map_or(of_nothing, measure));
            }
        }
    }

    /// Of each object, by the proposal that is matched with it.
    pub(super) fn scores(&self) -> Vec<VideoScores> {
        let all: Vec<Vec<VideoScores>> = self
            .measured
            .iter()
            .map(|row| row.iter().map(Measured::scores).collect())
            .collect();
        let worth = |scores: &VideoScores| (scores.j.mean + scores.f.mean) / 2.0;
        let worths: Vec<Vec<f64>> = all.iter().map(|row| row.iter().map(worth).collect()).collect();
        all.iter()
            .zip(matching(&worths))
            .map(|(row, proposal)| row[proposal])
            .collect()
    }
}

/// A column of its own for each row so that the sum is largest; there are no fewer columns than rows. Hungarian method: one row after
/// the other along the shortest augmenting path.
fn matching(worths: &[Vec<f64>]) -> Vec<usize> {
    let (rows, columns) = (worths.len(), worths.first().map_or(0, Vec::len));
    // Column 0 and row 0 stand for "none".
    let (mut of_row, mut of_column) = (vec![0.0; rows + 1], vec![0.0; columns + 1]);
    let mut taken = vec![0; columns + 1];
    for row in 1..=rows {
        let (mut least, mut from, mut done) = (
            vec![f64::INFINITY; columns + 1],
            vec![0; columns + 1],
            vec![false; columns + 1],
        );
        taken[0] = row;
        let mut at = 0;
        while taken[at] != 0 {
            done[at] = true;
            let (row, mut next, mut step) = (taken[at], 0, f64::INFINITY);
            for column in (1..=columns).filter(|column| !done[*column]) {
                let cost = -worths[row - 1][column - 1] - of_row[row] - of_column[column];
                if cost < least[column] {
                    (least[column], from[column]) = (cost, at);
                }
                if least[column] < step {
                    (step, next) = (least[column], column);
                }
            }
            for column in 0..=columns {
                if done[column] {
                    of_row[taken[column]] += step;
                    of_column[column] -= step;
                } else {
                    least[column] -= step;
                }
            }
            at = next;
        }
        while at != 0 {
            taken[at] = taken[from[at]];
            at = from[at];
        }
    }
    let column = |row: usize| (1..=columns).find(|column| taken[*column] == row).unwrap_or(1) - 1;
    (1..=rows).map(column).collect()
}

#[cfg(test)]
mod tests;
