//! What moves on its own in footage: the masks that a single frame's are learned from. See [`crate::recipe::SelfTraining`].

use factorseg_model::segmenter::Engine;
use factorseg_model::{InputImage, RegionMap, SegmentError, Segmenter};
use factorseg_refine::MotionModel;
use image::{GrayImage, RgbImage};

use super::packing::Witness;
use super::teacher::Teacher;
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
        let judged = self.with(|segmenter| judge(segmenter, self.foreground_regions(), frames));
        judged.map_err(|error| error.to_string())
    }
}

fn judge(
    segmenter: &mut Segmenter,
    foreground: &[usize],
    frames: &[RgbImage],
) -> Result<Vec<Option<GrayImage>>, SegmentError> {
    let is_object: Vec<bool> = (0..segmenter.info().regions).map(|k| foreground.contains(&k)).collect();
    let mut seen = Vec::with_capacity(frames.len());
    for frame in frames {
        let size = segmenter.input_size(frame.width() as usize, frame.height() as usize);
        let fine = network_input(frame, MotionModel::frame_size(size));
        let map = segmenter.segment(&[MotionModel::network_input(&fine)])?.remove(0);
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
    let judge = |(frame, map): &(InputImage, RegionMap)| {
        let map = model.refine(frame, map, is_object);
        let mut object = vec![0.0; map.width * map.height];
        for (region, _) in is_object.iter().enumerate().filter(|(_, is)| **is) {
            let plane = &map.probabilities[region * object.len()..][..object.len()];
            object.iter_mut().zip(plane).for_each(|(sum, p)| *sum += p);
        }
        Judged {
            width: map.width,
            height: map.height,
            object,
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
mod tests {
    use super::*;
    use factorseg_model::CheckpointSource;
    use image::Rgb;

    /// A textured square before a textured ground, with their motion in pixels a frame.
    fn clip(own: i32, ground: i32) -> Vec<RgbImage> {
        let texture = |x: i32, y: i32, seed: i32| {
            let (x, y) = (x.div_euclid(5), y.div_euclid(5));
            ((x.wrapping_mul(7919) ^ y.wrapping_mul(104_729) ^ seed).wrapping_mul(2_654_435) >> 9 & 0x7f) as u8 + 40
        };
        let frame = |t: i32| {
            RgbImage::from_fn(224, 128, |x, y| {
                let (x, y, left) = (x as i32, y as i32, 60 + own * t);
                let is_object = (left..left + 50).contains(&x) && (40..90).contains(&y);
                let value = if is_object {
                    texture(x - left, y, 5)
                } else {
                    texture(x - ground * t, y, 0)
                };
                Rgb([value, if is_object { value / 2 } else { value }, value])
            })
        };
        (0..10).map(frame).collect()
    }

    #[test]
    fn what_moves_on_its_own_is_found_and_a_still_scene_says_nothing() {
        let teacher = Teacher::load(CheckpointSource::Embedded).unwrap();
        let found = teacher.objects(&clip(3, 1)).unwrap();
        let sure: Vec<_> = found
            .iter()
            .enumerate()
            .filter_map(|(t, object)| Some((t, object.as_ref()?)))
            .collect();
        assert!(sure.len() >= 5, "{} of 10", sure.len());
        for (t, object) in sure {
            // In a grid that is as fine as the frames.
            assert_eq!(object.dimensions(), (224, 128));
            let left = 60 + 3 * t as u32;
            let inside = |x: u32, y: u32| (left..left + 50).contains(&x) && (40..90).contains(&y);
            let (mut both, mut any) = (0, 0);
            for (x, y, value) in object.enumerate_pixels() {
                let (a, b) = (value.0[0] > 127, inside(x, y));
                both += usize::from(a && b);
                any += usize::from(a || b);
            }
            assert!(2 * both > any, "frame {t}: {both} of {any}");
        }
        assert!(teacher.objects(&clip(0, 0)).unwrap().iter().all(Option::is_none));
        assert!(teacher.objects(&[]).unwrap().is_empty());
    }
}
