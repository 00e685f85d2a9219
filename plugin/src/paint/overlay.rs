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

/// Everything but the foreground blurred, by `strength` cells of the map.
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
    // Two passes of a box, about a Gaussian with a deviation of `strength` cells.
    let blurred = |values: Vec<f32>| {
        let plane = Plane {
            width: map.width,
            height: map.height,
            values,
        };
        plane.window_means(strength).window_means(strength).values
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
mod tests {
    use super::*;
    use crate::engine::mask;
    use crate::pixels::layout::tests::layout;
    use gstreamer_video::VideoFormat;

    fn map() -> RegionMap {
        mask::tests::map(3, 2, 1, &[0.5, 0.0, 0.25, 1.0, 0.25, 0.0])
    }

    #[test]
    fn tint_mixes_the_colours_of_the_chosen_regions() {
        let layout = layout(VideoFormat::Rgb, 4, 2);
        let colors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let layer = tint(&map(), &[true, false, true], &colors, 0.8, &layout);
        let red = layer.colors[0].as_ref().unwrap();
        assert!((red.keep[0] - (1.0 - 0.8 * 0.75)).abs() < 1e-6);
        assert!((red.add[0] - 0.8 * 0.5 * 255.0).abs() < 1e-3);
        assert_eq!((red.keep[1], red.add[1]), (1.0, 0.0));
        let green = layer.colors[1].as_ref().unwrap();
        assert_eq!(green.add, [0.0, 0.0]);
    }

    #[test]
    fn cut_out_uses_the_opacity_where_there_is_one() {
        let is_foreground = [false, true, false];
        let opaque = cut_out(
            &map(),
            &is_foreground,
            ([0.0, 0.0, 1.0], 0.0),
            &layout(VideoFormat::Bgr, 4, 2),
        );
        assert_eq!(opaque.alpha, None);
        let blue = opaque.colors[2].as_ref().unwrap();
        assert_eq!(blue.keep, [0.25, 1.0]);
        assert!((blue.add[0] - 0.75 * 255.0).abs() < 1e-3 && blue.add[1] == 0.0);
        for opacity in [0.0, 0.5, 1.0] {
            let seen = cut_out(
                &map(),
                &is_foreground,
                ([0.0; 3], opacity),
                &layout(VideoFormat::Bgra, 4, 2),
            );
            let alpha = seen.alpha.unwrap();
            assert_eq!(alpha.keep, [0.25, 1.0]);
            assert_eq!(alpha.add, [0.75 * 255.0 * opacity, 0.0]);
            for color in seen.colors.map(Option::unwrap) {
                // Shown above anything, colours weigh by their own opacity: 0.25 of the frame's, 0.75 of the other's.
                let expected = 0.25 / (0.25 + 0.75 * opacity);
                assert!((color.keep[0] - expected).abs() < 0.05, "{}", color.keep[0]);
                assert_eq!((color.keep[1], color.add[1]), (1.0, 0.0));
            }
        }
        // What nobody sees has the background's colour all the same.
        let nothing = cut_out(
            &map(),
            &[false; 3],
            ([0.0, 1.0, 0.0], 0.0),
            &layout(VideoFormat::Bgra, 4, 2),
        );
        assert_eq!(nothing.colors[1].as_ref().unwrap().add, [255.0; 2]);
    }

    #[test]
    fn a_stronger_blur_leaves_less_of_the_background() {
        let layout = layout(VideoFormat::Gray8, 64, 64);
        let averages: Vec<f32> = (0..16 * 16)
            .map(|cell| f32::from(u8::from(cell % 16 / 4 % 2 == 0)) * 255.0)
            .collect();
        let map = mask::tests::map(2, 16, 16, &[vec![0.0; 256], vec![1.0; 256]].concat());
        let contrast = [1, 2, 4, 64].map(|strength| {
            let layer = blur_background(&map, &[true, false], &averages, strength, &layout);
            let grey = &layer.colors[0].as_ref().unwrap().add;
            grey.iter().copied().fold(0.0, f32::max) - grey.iter().copied().fold(255.0, f32::min)
        });
        assert!(contrast.is_sorted_by(|weak, strong| weak > strong), "{contrast:?}");
        assert!(contrast[0] > 150.0 && contrast[3] < 1.0, "{contrast:?}");
    }

    #[test]
    fn the_blurred_background_has_no_halo_of_the_foreground() {
        // A white object on black: the background stays black up to its edge.
        let layout = layout(VideoFormat::Gray8, 64, 64);
        let (width, height) = (16, 16);
        let inside: Vec<f32> = (0..width * height)
            .map(|cell| {
                let (x, y) = (cell % width, cell / width);
                f32::from(u8::from((5..11).contains(&x) && (5..11).contains(&y)))
            })
            .collect();
        let averages: Vec<f32> = inside.iter().map(|p| p * 255.0).collect();
        let mut probabilities = inside.clone();
        probabilities.extend(inside.iter().map(|p| 1.0 - p));
        let map = mask::tests::map(2, width, height, &probabilities);
        let layer = blur_background(&map, &[true, false], &averages, 2, &layout);
        let grey = layer.colors[0].as_ref().unwrap();
        assert_eq!(grey.keep, inside);
        for (cell, inside) in inside.iter().enumerate() {
            if *inside == 0.0 {
                assert!(grey.add[cell] < 1.0, "cell {cell}: {}", grey.add[cell]);
            }
        }
    }
}
