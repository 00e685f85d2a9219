//! The result of one inference: soft regions and what can be said of them.

use std::sync::Arc;

use factorseg_model::RegionMap;
use gstreamer as gst;

/// A region in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RegionFacts {
    /// Share of the picture that the region wins, `0..=1`.
    pub area: f64,
    /// The box around what it wins, in shares of the picture's size; `None` if it wins nothing.
    pub bounds: Option<Bounds>,
}

/// A rectangle in normalised coordinates: `0` is the left or top border, `1` the right or bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// Soft regions of one frame.
#[derive(Clone, Debug)]
pub struct Mask {
    /// Probabilities on a grid that covers the whole frame: the network's, or twice as fine from the motion model.
    pub map: RegionMap,
    /// Timestamp of the frame that they were computed from.
    pub pts: Option<gst::ClockTime>,
    /// Name of the class that the network was conditioned on, `none` without one.
    pub class: Arc<str>,
    /// Noise level.
    pub timestep: usize,
    /// Areas and boxes, one for each region.
    pub regions: Vec<RegionFacts>,
}

/// Why a result of an engine is no mask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// Not one map for one image.
    #[error("the engine returned {0} region maps for one frame")]
    Count(usize),
    /// Another size than the input's, or another number of regions than the engine declares.
    #[error("the engine returned {0} instead of {1}")]
    Size(String, String),
    /// NaN, infinite, or not between 0 and 1.
    #[error("the engine returned {0}, which is no probability")]
    Value(String),
}

/// Takes the one map of a result, if it is what was asked for.
///
/// # Errors
/// If it has another size or number of regions, or a value is no probability.
pub fn check(maps: Vec<RegionMap>, regions: usize, width: usize, height: usize) -> Result<RegionMap, MaskError> {
    let count = maps.len();
    let mut maps = maps.into_iter();
    let (Some(mut map), None) = (maps.next(), maps.next()) else {
        return Err(MaskError::Count(count));
    };
    let fits = (map.regions, map.width, map.height) == (regions, width, height)
        && map.probabilities.len() == regions * width * height;
    if !fits {
        let (k, w, h, values) = (map.regions, map.width, map.height, map.probabilities.len());
        let found = format!("{k} regions of {w}x{h} ({values} values)");
        return Err(MaskError::Size(found, format!("{regions} of {width}x{height}")));
    }
    // Rounding of a softmax may leave the range by a little.
    const SLACK: f32 = 1e-3;
    for value in &mut map.probabilities {
        if !(-SLACK..=1.0 + SLACK).contains(value) {
            return Err(MaskError::Value(value.to_string()));
        }
        *value = value.clamp(0.0, 1.0);
    }
    Ok(map)
}

/// Raises probabilities to a power and divides them by their sum: above 1, the winner takes more.
pub fn sharpen(map: &mut RegionMap, exponent: f32) {
    if exponent == 1.0 {
        return;
    }
    let cells = map.width * map.height;
    for cell in 0..cells {
        let values = (0..map.regions).map(|region| map.probabilities[region * cells + cell]);
        let best = values.fold(0.0, f32::max);
        if best <= 0.0 {
            continue;
        }
        let mut sum = 0.0;
        for region in 0..map.regions {
            // Relative to the winner, so that nothing underflows to 0 / 0.
            let value = &mut map.probabilities[region * cells + cell];
            *value = (*value / best).powf(exponent);
            sum += *value;
        }
        for region in 0..map.regions {
            map.probabilities[region * cells + cell] /= sum;
        }
    }
}

/// Moves the probability at which the foreground wins from one half to `threshold`: its odds are divided by the threshold's.
/// Where everything is foreground, or nothing, there is nothing to move.
pub fn shift(map: &mut RegionMap, is_foreground: &[bool], threshold: f32) {
    if threshold == 0.5 || is_foreground.iter().all(|is| *is) || !is_foreground.contains(&true) {
        return;
    }
    for cell in 0..map.width * map.height {
        let (rest, object) = map.sums(cell, is_foreground);
        let (rest, object) = (rest * threshold, object * (1.0 - threshold));
        let sum = rest + object;
        if sum > 0.0 {
            map.share_out(cell, is_foreground, (rest / sum, object / sum));
        }
    }
}

/// Gives pieces of the foreground that are smaller than this share of the picture to the rest.
pub fn drop_specks(map: &mut RegionMap, is_foreground: &[bool], share: f32) {
    let cells = map.width * map.height;
    if share <= 0.0 || !is_foreground.contains(&false) {
        return;
    }
    let object: Vec<bool> = foreground(map, is_foreground).iter().map(|p| *p > 0.5).collect();
    let least = (share * cells as f32).ceil() as usize;
    let specks = factorseg_refine::pieces::specks(&object, map.width, least);
    for cell in (0..cells).filter(|cell| specks[*cell]) {
        let (rest, object) = map.sums(cell, is_foreground);
        map.share_out(cell, is_foreground, (object, rest));
    }
}

/// The numbers of the regions that are foreground, from 0.
pub fn chosen(is_foreground: &[bool]) -> impl Iterator<Item = usize> {
    (0..is_foreground.len()).filter(|region| is_foreground[*region])
}

/// Probability that a cell belongs to the foreground, cell by cell.
pub fn foreground(map: &RegionMap, is_foreground: &[bool]) -> Vec<f32> {
    let mut sum = map.sum(is_foreground);
    sum.iter_mut().for_each(|p| *p = p.clamp(0.0, 1.0));
    sum
}

/// The region that wins at each cell, row by row.
pub fn winners(map: &RegionMap) -> Vec<usize> {
    let cells = map.width * map.height;
    (0..cells)
        .map(|cell| {
            (1..map.regions).fold(0, |best, region| {
                let value = |region: usize| map.probabilities[region * cells + cell];
                if value(region) > value(best) { region } else { best }
            })
        })
        .collect()
}

/// Area and box of each region.
pub fn facts(map: &RegionMap) -> Vec<RegionFacts> {
    // Cells, the first column and row, and those after the last.
    let mut tallies = vec![(0, [usize::MAX; 2], [0; 2]); map.regions];
    for (cell, region) in winners(map).into_iter().enumerate() {
        let (cells, first, end) = &mut tallies[region];
        *cells += 1;
        for (axis, at) in [cell % map.width, cell / map.width].into_iter().enumerate() {
            first[axis] = first[axis].min(at);
            end[axis] = end[axis].max(at + 1);
        }
    }
    let (width, height) = (map.width as f64, map.height as f64);
    let facts = |(cells, first, end): (usize, [usize; 2], [usize; 2])| RegionFacts {
        area: cells as f64 / (width * height),
        bounds: (cells > 0).then(|| Bounds {
            x: first[0] as f64 / width,
            y: first[1] as f64 / height,
            width: (end[0] - first[0]) as f64 / width,
            height: (end[1] - first[1]) as f64 / height,
        }),
    };
    tallies.into_iter().map(facts).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn map(regions: usize, width: usize, height: usize, probabilities: &[f32]) -> RegionMap {
        RegionMap {
            regions,
            width,
            height,
            probabilities: probabilities.to_vec(),
        }
    }

    #[test]
    fn results_that_are_no_masks_are_refused() {
        let good = map(2, 2, 1, &[0.25, 1.0, 0.75, 0.0]);
        assert!(check(vec![good.clone()], 2, 2, 1).is_ok());
        assert_eq!(check(vec![], 2, 2, 1).unwrap_err(), MaskError::Count(0));
        assert_eq!(
            check(vec![good.clone(), good.clone()], 2, 2, 1).unwrap_err(),
            MaskError::Count(2)
        );
        assert!(check(vec![good.clone()], 3, 2, 1).is_err());
        assert!(check(vec![good.clone()], 2, 1, 2).is_err());
        let mut short = good.clone();
        short.probabilities.pop();
        assert!(check(vec![short], 2, 2, 1).is_err());
        for bad in [f32::NAN, f32::INFINITY, -0.5, 1.5] {
            let mut wrong = good.clone();
            wrong.probabilities[1] = bad;
            assert!(matches!(check(vec![wrong], 2, 2, 1), Err(MaskError::Value(_))));
        }
    }

    #[test]
    fn sharpening_favours_the_winner_and_keeps_the_sum() {
        let mut soft = map(2, 3, 1, &[0.6, 0.5, 1e-30, 0.4, 0.5, 1.0]);
        sharpen(&mut soft, 2.0);
        let expected = [0.36 / 0.52, 0.5, 0.0, 0.16 / 0.52, 0.5, 1.0];
        for (got, expected) in soft.probabilities.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{:?}", soft.probabilities);
        }
        sharpen(&mut soft, 100.0);
        assert!(soft.probabilities[0] > 0.999 && soft.probabilities[3] < 0.001);
        assert_eq!((soft.probabilities[1], soft.probabilities[4]), (0.5, 0.5));
    }

    #[test]
    fn the_threshold_is_where_the_foreground_wins() {
        let mut soft = map(3, 3, 1, &[0.4, 0.1, 0.0, 0.4, 0.1, 0.0, 0.2, 0.8, 1.0]);
        shift(&mut soft, &[true, true, false], 0.8);
        // Odds of 4 are the threshold's own.
        let expected = [
            0.25,
            0.05882353 / 2.0,
            0.0,
            0.25,
            0.05882353 / 2.0,
            0.0,
            0.5,
            0.94117647,
            1.0,
        ];
        for (got, expected) in soft.probabilities.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{:?}", soft.probabilities);
        }
        let all = soft.clone();
        shift(&mut soft, &[true; 3], 0.8);
        shift(&mut soft, &[false; 3], 0.8);
        shift(&mut soft, &[true, true, false], 0.5);
        assert_eq!(soft, all);
    }

    #[test]
    fn specks_go_to_the_rest() {
        let first = [0.9, 0.8, 0.1, 0.1, 0.7];
        let both: Vec<f32> = first.iter().copied().chain(first.iter().map(|p| 1.0 - p)).collect();
        let mut specked = map(2, 5, 1, &both);
        drop_specks(&mut specked, &[true, false], 0.2);
        assert_eq!(specked.probabilities, both);
        drop_specks(&mut specked, &[true, false], 0.21);
        assert_eq!(winners(&specked), [0, 0, 1, 1, 1]);
        assert!((specked.probabilities[4] - 0.3).abs() < 1e-6 && (specked.probabilities[9] - 0.7).abs() < 1e-6);
    }

    #[test]
    fn areas_and_boxes_are_of_what_a_region_wins() {
        // Winners: 0 0 0 1 / 0 1 1 1
        let first = [0.9, 0.8, 0.7, 0.1, 0.6, 0.2, 0.1, 0.3];
        let mut probabilities = first.to_vec();
        probabilities.extend(first.iter().map(|p| 1.0 - p));
        probabilities.extend([0.0; 8]);
        let facts = facts(&map(3, 4, 2, &probabilities));
        assert_eq!(facts[0].area, 0.5);
        assert_eq!(
            facts[0].bounds,
            Some(Bounds {
                x: 0.0,
                y: 0.0,
                width: 0.75,
                height: 1.0
            })
        );
        assert_eq!(
            facts[1].bounds,
            Some(Bounds {
                x: 0.25,
                y: 0.0,
                width: 0.75,
                height: 1.0
            })
        );
        assert_eq!(facts[2], RegionFacts::default());
    }
}
