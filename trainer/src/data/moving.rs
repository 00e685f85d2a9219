//! What moves on its own in footage: the masks that a single frame's are learned from. See [`crate::recipe::SelfTraining`].

use factorseg_model::segmenter::Engine;
use factorseg_model::{InputImage, RegionMap, SegmentError};
use factorseg_refine::{ColorModel, MotionModel};
use image::{GrayImage, RgbImage};

use super::packing::Witness;
use super::teacher::{Judge, Teacher};
use crate::evaluate::segment::network_input;

/// Least evidence of motion ([`MotionModel::evidence`]) in each direction of time.
const EVIDENCE: f32 = 0.5;
/// Least intersection over union of the objects that both directions of time show.
const AGREEMENT: f32 = 0.5;
/// Least and largest share of the frame.
const SHARE: (f32, f32) = (0.005, 0.5);

impl Witness for Teacher {
    /// The object as the network, its color model and motion see it together, forward and backward in time: the mean of both
    /// where both have evidence of motion and agree.
    fn objects(&self, frames: &[RgbImage]) -> Result<Vec<Option<GrayImage>>, String> {
        let judged = self.with(|teacher| judge(teacher, frames));
        judged.map_err(|error| error.to_string())
    }
}

fn judge(teacher: &mut Judge, frames: &[RgbImage]) -> Result<Vec<Option<GrayImage>>, SegmentError> {
    let is_object = teacher.network.info().is_foreground();
    let mut seen = Vec::with_capacity(frames.len());
    for frame in frames {
        let size = teacher
            .network
            .input_size(frame.width() as usize, frame.height() as usize);
        let fine = network_input(frame, MotionModel::frame_size(size));
        let map = teacher.network.segment(&[MotionModel::network_input(&fine)])?.remove(0);
        seen.push((fine, map));
    }
    let forward = watch(seen.iter(), &is_object);
    let mut backward = watch(seen.iter().rev(), &is_object);
    backward.reverse();
    Ok(forward
        .iter()
        .zip(&backward)
        .map(|(forward, backward)| agreed(forward, backward))
        .collect())
}

/// The object in a frame.
struct Judged {
    width: usize,
    height: usize,
    object: Vec<f32>,
    evidence: f32,
}

fn watch<'a>(frames: impl Iterator<Item = &'a (InputImage, RegionMap)>, is_object: &[bool]) -> Vec<Judged> {
    let mut model = MotionModel::default();
    model.colors = Some(ColorModel::default());
    let judge = |(frame, map): &(InputImage, RegionMap)| {
        let map = model.refine(frame, map, is_object);
        Judged {
            width: map.width,
            height: map.height,
            object: map.sum(is_object),
            evidence: model.evidence(),
        }
    };
    frames.map(judge).collect()
}

fn agreed(forward: &Judged, backward: &Judged) -> Option<GrayImage> {
    let pairs = || forward.object.iter().zip(&backward.object);
    let count = |is: fn(bool, bool) -> bool| pairs().filter(|(a, b)| is(**a > 0.5, **b > 0.5)).count() as f32;
    let (both, any) = (count(|a, b| a && b), count(|a, b| a || b));
    let share = both / forward.object.len() as f32;
    let sure = forward.evidence.min(backward.evidence) >= EVIDENCE
        && both >= AGREEMENT * any
        && (SHARE.0..=SHARE.1).contains(&share);
    if !sure {
        return None;
    }
    let mean = pairs().map(|(a, b)| (127.5 * (a + b)).round() as u8).collect();
    GrayImage::from_raw(forward.width as u32, forward.height as u32, mean)
}

#[cfg(test)]
mod tests;
