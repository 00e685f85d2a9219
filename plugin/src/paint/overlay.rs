//! What each value of the property `overlay` draws: from soft regions to a [`Layer`] in the frame's own colours, or to a
//! [`Blend`] where the foreground is known for each pixel.

use factorseg_model::RegionMap;
use factorseg_refine::Plane;

use super::blend::{Blend, Weight, kept_color};
use super::grid::Grids;
use super::layers::{ChannelLayer, Layer};
use crate::engine::mask::{chosen, foreground};
use crate::pixels::colorimetry::Rgb;
use crate::pixels::layout::Layout;

/// A layer that keeps `keep` of every channel and adds what `add` says.
fn layer(map: &RegionMap, keep: &[f32], layout: &Layout, add: impl Fn(usize) -> Vec<f32>) -> Layer {
    Layer::of_colors(map.width, map.height, layout, |channel| {
        let mut add = add(channel);
        for (add, keep) in add.iter_mut().zip(keep) {
            // Rounding must not lift a byte above 255.
            *add = add.clamp(0.0, 255.0 * (1.0 - keep));
        }
        ChannelLayer {
            keep: keep.to_vec(),
            add,
        }
    })
}

/// Foreground regions painted in their colours, as strongly as they are probable, at most with opacity
/// `alpha` (`0..=1`).
pub fn tint(map: &RegionMap, is_foreground: &[bool], colors: &[Rgb], alpha: f32, layout: &Layout) -> Layer {
    let cells = map.width * map.height;
    let keep: Vec<f32> = foreground(map, is_foreground)
        .into_iter()
        .map(|p| 1.0 - alpha * p)
        .collect();
    layer(map, &keep, layout, |channel| {
        let mut add = vec![0.0; cells];
        for region in chosen(is_foreground) {
            let sample = alpha * layout.colorimetry.samples_of(colors[region % colors.len()])[channel];
            for (add, p) in add.iter_mut().zip(&map.probabilities[region * cells..]) {
                *add += p * sample;
            }
        }
        add
    })
}

/// How far the background of a cut-out is mixed in at least. Elements that know no opacity then show its colour, not what
/// was there.
const LEAST: f32 = 1.0 / 64.0;

/// Everything but the foreground painted over with a colour; where pixels have an opacity, they get the colour's there.
pub fn cut_out(map: &RegionMap, is_foreground: &[bool], (background, opacity): (Rgb, f32), layout: &Layout) -> Layer {
    let keep = foreground(map, is_foreground);
    let background = layout.colorimetry.samples_of(background);
    let covered = |keep: &[f32]| {
        layer(map, keep, layout, |channel| {
            keep.iter().map(|keep| (1.0 - keep) * background[channel]).collect()
        })
    };
    if !layout.has_alpha() {
        return covered(&keep);
    }
    let colors: Vec<f32> = keep.iter().map(|p| kept_color(*p, opacity.max(LEAST))).collect();
    let add = keep.iter().map(|keep| (1.0 - keep) * opacity * 255.0).collect();
    Layer {
        alpha: Some(ChannelLayer { keep, add }),
        ..covered(&colors)
    }
}

/// Everything but the foreground blurred, by `strength` hundredths of the map's shorter side: the same for coarse and fine masks.
///
/// `averages` is the frame averaged on the map's grid, `[components, height, width]`, as
/// [`crate::pixels::sampling::Sampler::average`] gives it. The blur leaves the foreground's own colours out, so that
/// the object has no halo.
pub fn blur_background(
    map: &RegionMap,
    is_foreground: &[bool],
    averages: &[f32],
    strength: usize,
    layout: &Layout,
) -> Layer {
    let keep = foreground(map, is_foreground);
    let blurred = blurred_background(map, &keep, averages, strength);
    layer(map, &keep, layout, |channel| {
        let values = blurred[channel].iter().zip(&keep);
        values.map(|(value, keep)| (1.0 - keep) * value).collect()
    })
}

/// The averages of the background alone, blurred, for each component.
fn blurred_background(map: &RegionMap, foreground: &[f32], averages: &[f32], strength: usize) -> Vec<Vec<f32>> {
    // Two passes of a box, about a Gaussian with a deviation of `radius` cells.
    let radius = (strength * map.width.min(map.height)).div_ceil(100);
    let blurred = |values: Vec<f32>| {
        let plane = Plane {
            width: map.width,
            height: map.height,
            values,
        };
        plane.window_means(radius).window_means(radius).values
    };
    // A little weight everywhere, so that the middle of a large foreground has a colour too.
    let weights: Vec<f32> = foreground.iter().map(|p| 1.0 - p + 1e-3).collect();
    let sum = blurred(weights.clone());
    let component = |values: &[f32]| {
        let weighted = values.iter().zip(&weights).map(|(value, weight)| value * weight);
        let weighted = blurred(weighted.collect());
        weighted
            .iter()
            .zip(&sum)
            .map(|(value, weight)| value / weight)
            .collect()
    };
    averages.chunks_exact(foreground.len()).map(component).collect()
}

/// [`tint`] for a foreground that is known for each pixel: in the mixed colour of the regions around.
pub fn tint_blend(map: &RegionMap, is_foreground: &[bool], colors: &[Rgb], alpha: f32, layout: &Layout) -> Blend {
    let cells = map.width * map.height;
    let targets = Grids::of_colors(map.width, map.height, layout, |channel| {
        let mut sum = vec![0.0; cells];
        let mut weight = vec![0.0; cells];
        for region in chosen(is_foreground) {
            let sample = layout.colorimetry.samples_of(colors[region % colors.len()])[channel];
            let probabilities = &map.probabilities[region * cells..(region + 1) * cells];
            for ((sum, weight), p) in sum.iter_mut().zip(&mut weight).zip(probabilities) {
                // Cells without any foreground have the mean colour: one of their pixels may be foreground.
                let p = p + 1e-3;
                *sum += p * sample;
                *weight += p;
            }
        }
        sum.iter()
            .zip(&weight)
            .map(|(sum, weight)| sum / weight.max(1e-6))
            .collect()
    });
    Blend {
        weight: Weight::Foreground(alpha),
        targets,
    }
}

/// [`cut_out`] for a foreground that is known for each pixel.
pub fn cut_out_blend((background, opacity): (Rgb, f32), layout: &Layout) -> Blend {
    let background = layout.colorimetry.samples_of(background);
    let alpha = layout.has_alpha();
    Blend {
        weight: match alpha {
            true => Weight::Seen(opacity.max(LEAST)),
            false => Weight::Background,
        },
        targets: Grids {
            alpha: alpha.then(|| vec![255.0 * opacity]),
            ..Grids::of_colors(1, 1, layout, |channel| vec![background[channel]])
        },
    }
}

/// [`blur_background`] for a foreground that is known for each pixel.
pub fn blur_blend(
    map: &RegionMap,
    is_foreground: &[bool],
    averages: &[f32],
    strength: usize,
    layout: &Layout,
) -> Blend {
    let blurred = blurred_background(map, &foreground(map, is_foreground), averages, strength);
    Blend {
        weight: Weight::Background,
        targets: Grids::of_colors(map.width, map.height, layout, |channel| blurred[channel].clone()),
    }
}

#[cfg(test)]
mod tests;
