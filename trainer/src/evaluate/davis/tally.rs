//! What is summed up over the frames of a sequence.

use factorseg_refine::instances::{self, Instances};

use super::fit::Fitted;
use super::layout::Frame;
use super::objects::Objects;
use super::report::{SequenceReport, VideoScores};
use crate::evaluate::assignment::Assignment;
use crate::evaluate::baselines::Line;
use crate::evaluate::boundary::{Boundary, f_measure, radius};
use crate::evaluate::metrics::{Scores, Truth};
use crate::evaluate::picture_baselines::{K_MEANS, Ranks, UNLIKE_THE_FRAME};
use crate::evaluate::series::Statistics;

/// The fixed masks and their outlines at the size seen last.
#[derive(Default)]
pub(super) struct FixedMasks {
    size: (usize, usize),
    masks: Vec<(Vec<bool>, Boundary)>,
}

impl FixedMasks {
    pub(super) fn fit(&mut self, size: (usize, usize), fitted: &Fitted) {
        if self.size != size || self.masks.is_empty() {
            let (width, height) = size;
            self.size = size;
            self.masks = fitted
                .fixed
                .iter()
                .map(|(_, mask)| {
                    let mask: Vec<bool> = mask.pixels(width, height).collect();
                    let boundary = Boundary::of(&mask, width, height, radius(width, height));
                    (mask, boundary)
                })
                .collect();
        }
    }
}

/// J and F of frames.
#[derive(Clone, Default)]
pub(super) struct Measured {
    j: Vec<f64>,
    f: Vec<f64>,
}

impl Measured {
    pub(super) fn add(&mut self, (j, f): (f64, f64)) {
        self.j.push(j);
        self.f.push(f);
    }

    pub(super) fn scores(&self) -> VideoScores {
        VideoScores {
            j: Statistics::of(&self.j),
            f: Statistics::of(&self.f),
        }
    }
}

/// What is summed up over a sequence.
pub(super) struct Tally {
    all: Vec<Assignment>,
    model: Measured,
    oracle: Measured,
    baselines: Vec<(&'static str, Measured)>,
    flicker: Flicker,
    annotation_flicker: Flicker,
    objects: Objects,
    instances: Instances,
    pieces: Objects,
}

impl Tally {
    pub(super) fn new(fitted: &Fitted, regions: usize, objects: usize) -> Self {
        let names = fitted.fixed.iter().map(|(name, _)| *name);
        let looking = [K_MEANS, UNLIKE_THE_FRAME];
        Self {
            all: Assignment::all(regions),
            model: Measured::default(),
            oracle: Measured::default(),
            baselines: names.chain(looking).map(|name| (name, Measured::default())).collect(),
            flicker: Flicker::default(),
            annotation_flicker: Flicker::default(),
            objects: Objects::new(objects, &fitted.assignment.regions()),
            instances: Instances::default(),
            pieces: Objects::new(objects, &Vec::from_iter(1..=instances::MOST)),
        }
    }

    pub(super) fn add(&mut self, frame: &Frame, regions: &[u8], fitted: &Fitted, fixed: &FixedMasks) {
        let (width, height) = frame.size();
        let truth = frame.truth();
        let outline = |mask: &[bool]| Boundary::of(mask, width, height, radius(width, height));
        let truth_outline = outline(&frame.object);
        let against_truth = |mask: &[bool], boundary: &Boundary| {
            let j = Scores::of(mask.iter().copied(), &truth).iou;
            (j, f_measure(boundary, &truth_outline))
        };
        let measure = |mask: &[bool]| {
            let mask = frame.judged(mask.to_vec());
            against_truth(&mask, &outline(&mask))
        };
        let of = |assignment: Assignment| -> Vec<bool> { assignment.mask(regions).collect() };

        let mask = of(fitted.assignment);
        let found = measure(&mask);
        self.model.add(found);
        let others = self.all.iter().filter(|assignment| **assignment != fitted.assignment);
        self.oracle.add(others.fold(found, |best, assignment| {
            let (j, f) = measure(&of(*assignment));
            (best.0.max(j), best.1.max(f))
        }));
        self.pieces.add(frame, &self.instances.follow(&mask, width));
        self.flicker.add(mask);
        self.annotation_flicker.add(frame.object.clone());
        self.objects.add(frame, regions);

        let looking = [
            Ranks::k_means(&frame.picture).mask(0.5, width, height),
            Ranks::unlike_the_frame(&frame.picture).mask(fitted.share, width, height),
        ];
        let of_fixed = fixed.masks.iter().map(|(mask, boundary)| {
            // The outlines at hand are those of whole masks.
            if frame.void.is_empty() {
                against_truth(mask, boundary)
            } else {
                measure(mask)
            }
        });
        let scores = of_fixed.chain(looking.iter().map(|mask| measure(mask)));
        for ((_, baseline), scores) in self.baselines.iter_mut().zip(scores) {
            baseline.add(scores);
        }
    }

    pub(super) fn report(self, name: &str) -> SequenceReport {
        SequenceReport {
            name: name.to_owned(),
            frames: self.model.j.len(),
            model: self.model.scores(),
            oracle: self.oracle.scores(),
            baselines: self
                .baselines
                .iter()
                .map(|(what, measured)| Line::from((*what, measured.scores())))
                .collect(),
            flicker: self.flicker.mean(),
            annotation_flicker: self.annotation_flicker.mean(),
            objects: self.objects.scores(),
            pieces: self.pieces.scores(),
        }
    }
}

/// 1 - IoU of each mask and the one before it.
#[derive(Default)]
struct Flicker {
    last: Option<Vec<bool>>,
    sum: f64,
    pairs: u64,
}

impl Flicker {
    fn add(&mut self, mask: Vec<bool>) {
        if let Some(last) = self.last.as_ref().filter(|last| last.len() == mask.len()) {
            let last: Vec<Truth> = last.iter().map(|inside| Truth::from(*inside)).collect();
            self.sum += 1.0 - Scores::of(mask.iter().copied(), &last).iou;
            self.pairs += 1;
        }
        self.last = Some(mask);
    }

    /// 0 for fewer than two masks.
    fn mean(&self) -> f64 {
        self.sum / self.pairs.max(1) as f64
    }
}
