//! The masks of a video judged again by what moves on its own ([`factorseg_motion`]).

use factorseg_motion::{MotionModel, Plane};

use crate::segmenter::{InputImage, RegionMap};

/// Sides of the picture that motion is looked for in, in multiples of the network's input.
const SCALE: usize = 2;
/// Probabilities are kept this far from 0 and 1, where odds have no logarithm.
const LEAST: f32 = 1e-4;

/// The size, `(width, height)`, at which [`MotionMasks::refine`] wants the frame that the network sees at `input`.
pub fn motion_size((width, height): (usize, usize)) -> (usize, usize) {
    (SCALE * width, SCALE * height)
}

/// Judges the masks of successive frames; keeps what it knows of the last one.
#[derive(Clone, Debug, Default)]
pub struct MotionMasks {
    model: MotionModel,
}

impl MotionMasks {
    /// Forgets the frame before: the next one begins a scene.
    pub fn reset(&mut self) {
        self.model.reset();
    }

    /// The regions of a frame at the frame's size, after the one that was told last.
    ///
    /// `frame` is best of [`motion_size`]; `map` may be smaller. `foreground` says which regions are the object: their sum
    /// is judged by [`MotionModel::refine`], and regions keep their shares of the foreground and of the rest.
    /// Where all regions are foreground, or none is, motion says nothing, and the map comes back as it is.
    pub fn refine(&mut self, frame: &InputImage, map: &RegionMap, foreground: &[bool]) -> RegionMap {
        let (width, height) = (frame.width, frame.height);
        let pixels = width * height;
        let fits = frame.data.len() == 3 * pixels && foreground.len() == map.regions && pixels > 0;
        if !fits || foreground.iter().all(|is| *is) || !foreground.contains(&true) {
            self.reset();
            return map.clone();
        }
        let cells = map.width * map.height;
        let plane = |region: usize| Plane {
            width: map.width,
            height: map.height,
            values: map.probabilities[region * cells..(region + 1) * cells].to_vec(),
        };
        let regions: Vec<Plane> = (0..map.regions).map(plane).collect();
        let object = sum(&regions, foreground, true);
        let colors = [0, 1, 2].map(|channel: usize| Plane {
            width,
            height,
            values: frame.data[channel * pixels..(channel + 1) * pixels]
                .iter()
                .map(|value| (value + 1.0) / 2.0)
                .collect(),
        });
        let judged = self.model.refine(&colors, &object.map(log_odds)).map(probability);

        let regions: Vec<Plane> = regions.iter().map(|plane| plane.resized(width, height)).collect();
        let before = [false, true].map(|kind| sum(&regions, foreground, kind));
        let members = [false, true].map(|kind| foreground.iter().filter(|is| **is == kind).count() as f32);
        let mut probabilities = Vec::with_capacity(map.regions * pixels);
        for (plane, is_object) in regions.iter().zip(foreground) {
            let kind = usize::from(*is_object);
            let sums = before[kind].values.iter().zip(&judged.values);
            probabilities.extend(plane.values.iter().zip(sums).map(|(p, (before, object))| {
                let now = if *is_object { *object } else { 1.0 - object };
                // A group that had nothing has no shares: all of it are alike.
                if *before > f32::MIN_POSITIVE {
                    now * (p / before)
                } else {
                    now / members[kind]
                }
            }));
        }
        RegionMap {
            regions: map.regions,
            width,
            height,
            probabilities,
        }
    }
}

/// The sum of the regions that are foreground, or of those that are not.
fn sum(regions: &[Plane], foreground: &[bool], kind: bool) -> Plane {
    let mut sum = Plane::filled(regions[0].width, regions[0].height, 0.0);
    for (plane, _) in regions.iter().zip(foreground).filter(|(_, is)| **is == kind) {
        sum.values.iter_mut().zip(&plane.values).for_each(|(sum, p)| *sum += p);
    }
    sum
}

fn log_odds(probability: f32) -> f32 {
    let p = probability.clamp(LEAST, 1.0 - LEAST);
    (p / (1.0 - p)).ln()
}

fn probability(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs of brightness on a 64x48 frame, whose reddish square of 16 pixels has moved to the right by `moved`.
    fn frame(moved: usize) -> InputImage {
        let (width, height) = (64, 48);
        let plane = |red: f32| {
            (0..width * height).map(move |at| {
                let (x, y) = (at % width, at / width);
                let square = (12 + moved..28 + moved).contains(&x) && (16..32).contains(&y);
                let place = if square { (x - moved + 1000, y) } else { (x, y) };
                let mixed = (place.0 / 3 * 7919 + place.1 / 3 * 104_729) % 97;
                mixed as f32 / 97.0 - 0.5 + if square { red } else { 0.0 }
            })
        };
        InputImage {
            width,
            height,
            data: plane(0.4).chain(plane(-0.2)).chain(plane(-0.2)).collect(),
        }
    }

    /// Three regions: background, and two that share what is left as 3 to 1.
    fn unsure() -> RegionMap {
        let cells = 32 * 24;
        let mut probabilities = vec![0.6; cells];
        probabilities.resize(2 * cells, 0.3);
        probabilities.resize(3 * cells, 0.1);
        RegionMap {
            regions: 3,
            width: 32,
            height: 24,
            probabilities,
        }
    }

    #[test]
    fn what_moves_becomes_the_object_and_parts_keep_their_shares() {
        let mut masks = MotionMasks::default();
        let foreground = [false, true, true];
        let (mut map, pixels) = (unsure(), 64 * 48);
        for moved in 0..4 {
            map = masks.refine(&frame(2 * moved), &unsure(), &foreground);
        }
        assert_eq!((map.regions, map.width, map.height), (3, 64, 48));
        let at = |region: usize, x: usize, y: usize| map.probabilities[region * pixels + y * 64 + x];
        let object = |x, y| at(1, x, y) + at(2, x, y);
        // The square is at 18..34 now.
        assert!(object(26, 24) > 0.8, "{}", object(26, 24));
        assert!(
            object(50, 10) < 0.2 && object(4, 44) < 0.2,
            "{} {}",
            object(50, 10),
            object(4, 44)
        );
        for (x, y) in [(26, 24), (50, 10), (0, 0)] {
            assert!((object(x, y) + at(0, x, y) - 1.0).abs() < 1e-5);
            assert!((at(1, x, y) / at(2, x, y) - 3.0).abs() < 1e-3);
        }
    }

    #[test]
    fn a_still_video_is_the_networks() {
        let mut masks = MotionMasks::default();
        let mut map = unsure();
        for _ in 0..3 {
            map = masks.refine(&frame(0), &unsure(), &[false, true, true]);
        }
        let worst = map.probabilities[..64 * 48]
            .iter()
            .map(|p| (p - 0.6).abs())
            .fold(0.0, f32::max);
        assert!(worst < 1e-3, "{worst}");
    }

    #[test]
    fn without_an_object_nothing_is_judged() {
        let mut masks = MotionMasks::default();
        for foreground in [&[true; 3][..], &[false; 3], &[true, false]] {
            assert_eq!(masks.refine(&frame(0), &unsure(), foreground), unsure());
        }
        let torn = InputImage {
            data: vec![0.0; 5],
            ..frame(0)
        };
        assert_eq!(masks.refine(&torn, &unsure(), &[false, true, true]), unsure());
    }
}
