//! What is drawn: from soft regions to a [`Layer`] in the frame's own colours, or to a [`Blend`] where the
//! foreground is known for each pixel.

use factorseg_model::RegionMap;

use crate::paint::blend::{Blend, Weight};
use crate::paint::layers::{ChannelLayer, Layer};
use crate::pixels::colorimetry::Rgb;
use crate::pixels::layout::Layout;

/// Colours of the regions where the user gives none, told apart by most people with colour-blindness
/// (Okabe and Ito).
pub const PALETTE: [u32; 8] = [
    0xe69f00, 0x56b4e9, 0x009e73, 0xf0e442, 0x0072b2, 0xd55e00, 0xcc79a7, 0xffffff,
];

/// `0xRRGGBB` as RGB in `0..=1`.
pub fn rgb(code: u32) -> Rgb {
    [code >> 16, code >> 8, code].map(|value| (value & 0xff) as f32 / 255.0)
}

/// Probability that a cell belongs to the foreground, cell by cell.
pub fn foreground(map: &RegionMap, is_foreground: &[bool]) -> Vec<f32> {
    let cells = map.width * map.height;
    let mut sum = vec![0.0f32; cells];
    for region in chosen(is_foreground) {
        for (sum, p) in sum.iter_mut().zip(&map.probabilities[region * cells..]) {
            *sum += p;
        }
    }
    for sum in &mut sum {
        *sum = sum.clamp(0.0, 1.0);
    }
    sum
}

fn chosen(is_foreground: &[bool]) -> impl Iterator<Item = usize> {
    is_foreground
        .iter()
        .enumerate()
        .filter(|(_, chosen)| **chosen)
        .map(|(region, _)| region)
}

fn layer(map: &RegionMap, layout: &Layout, channel: impl Fn(usize) -> Option<ChannelLayer>) -> Layer {
    let mut colors = [None, None, None];
    for (index, color) in colors.iter_mut().enumerate().take(layout.color.components()) {
        *color = channel(index);
    }
    Layer {
        width: map.width,
        height: map.height,
        colors,
        alpha: None,
    }
}

/// Foreground regions painted in their colours, as strongly as they are probable, at most with opacity
/// `alpha` (`0..=1`).
pub fn tint(map: &RegionMap, is_foreground: &[bool], colors: &[Rgb], alpha: f32, layout: &Layout) -> Layer {
    let cells = map.width * map.height;
    let keep: Vec<f32> = foreground(map, is_foreground)
        .into_iter()
        .map(|p| 1.0 - alpha * p)
        .collect();
    layer(map, layout, |channel| {
        let mut add = vec![0.0; cells];
        for region in chosen(is_foreground) {
            let sample = alpha * layout.color.from_rgb(colors[region % colors.len()])[channel];
            for (add, p) in add.iter_mut().zip(&map.probabilities[region * cells..]) {
                *add += p * sample;
            }
        }
        limit(&keep, &mut add);
        Some(ChannelLayer {
            keep: keep.clone(),
            add,
        })
    })
}

/// Everything but the foreground painted over with `background`; where pixels have an opacity, they become
/// transparent there instead.
pub fn cut_out(map: &RegionMap, is_foreground: &[bool], background: Rgb, layout: &Layout) -> Layer {
    let keep = foreground(map, is_foreground);
    if layout.has_alpha() {
        let add = vec![0.0; keep.len()];
        return Layer {
            alpha: Some(ChannelLayer { keep, add }),
            ..layer(map, layout, |_| None)
        };
    }
    let background = layout.color.from_rgb(background);
    layer(map, layout, |channel| {
        let mut add: Vec<f32> = keep.iter().map(|keep| (1.0 - keep) * background[channel]).collect();
        limit(&keep, &mut add);
        Some(ChannelLayer {
            keep: keep.clone(),
            add,
        })
    })
}

/// Everything but the foreground blurred.
///
/// `averages` is the frame averaged on the map's grid, `[components, height, width]`, as
/// [`crate::pixels::sampling::Sampler::average`] gives it. The blur leaves the foreground's own colours out, so that
/// the object has no halo.
pub fn blur_background(map: &RegionMap, is_foreground: &[bool], averages: &[f32], layout: &Layout) -> Layer {
    let keep = foreground(map, is_foreground);
    let blurred = blurred_background(map, &keep, averages);
    let cells = map.width * map.height;
    layer(map, layout, |channel| {
        let mut add: Vec<f32> = blurred[channel * cells..(channel + 1) * cells]
            .iter()
            .zip(&keep)
            .map(|(value, keep)| (1.0 - keep) * value)
            .collect();
        limit(&keep, &mut add);
        Some(ChannelLayer {
            keep: keep.clone(),
            add,
        })
    })
}

/// The averages of the background alone, blurred, `[components, height, width]`.
fn blurred_background(map: &RegionMap, foreground: &[f32], averages: &[f32]) -> Vec<f32> {
    let (width, height) = (map.width, map.height);
    // A little weight everywhere, so that the middle of a large foreground has a colour too.
    let weights: Vec<f32> = foreground.iter().map(|p| 1.0 - p + 1e-3).collect();
    let blurred_weights = blur(&weights, width, height);
    averages
        .chunks_exact(width * height)
        .flat_map(|values| {
            let weighted: Vec<f32> = values
                .iter()
                .zip(&weights)
                .map(|(value, weight)| value * weight)
                .collect();
            let sums = blur(&weighted, width, height);
            sums.into_iter()
                .zip(&blurred_weights)
                .map(|(sum, weight)| sum / weight)
                .collect::<Vec<f32>>()
        })
        .collect()
}

fn blend(
    weight: Weight,
    (width, height): (usize, usize),
    layout: &Layout,
    target: impl Fn(usize) -> Vec<f32>,
) -> Blend {
    let mut colors = [None, None, None];
    for (index, color) in colors.iter_mut().enumerate().take(layout.color.components()) {
        *color = Some(target(index));
    }
    Blend {
        weight,
        width,
        height,
        colors,
        alpha: None,
    }
}

/// [`tint`] for a foreground that is known for each pixel: in the mixed colour of the regions around.
pub fn tint_blend(map: &RegionMap, is_foreground: &[bool], colors: &[Rgb], alpha: f32, layout: &Layout) -> Blend {
    let cells = map.width * map.height;
    blend(Weight::Foreground(alpha), (map.width, map.height), layout, |channel| {
        let mut sum = vec![0.0; cells];
        let mut weight = vec![0.0; cells];
        for region in chosen(is_foreground) {
            let sample = layout.color.from_rgb(colors[region % colors.len()])[channel];
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
    })
}

/// [`cut_out`] for a foreground that is known for each pixel.
pub fn cut_out_blend(background: Rgb, layout: &Layout) -> Blend {
    if layout.has_alpha() {
        return Blend {
            weight: Weight::Background,
            width: 1,
            height: 1,
            colors: [None, None, None],
            alpha: Some(vec![0.0]),
        };
    }
    let background = layout.color.from_rgb(background);
    blend(Weight::Background, (1, 1), layout, |channel| vec![background[channel]])
}

/// [`blur_background`] for a foreground that is known for each pixel.
pub fn blur_blend(map: &RegionMap, is_foreground: &[bool], averages: &[f32], layout: &Layout) -> Blend {
    let blurred = blurred_background(map, &foreground(map, is_foreground), averages);
    let cells = map.width * map.height;
    blend(Weight::Background, (map.width, map.height), layout, |channel| {
        blurred[channel * cells..(channel + 1) * cells].to_vec()
    })
}

/// Rounding must not lift a byte above 255.
fn limit(keep: &[f32], add: &mut [f32]) {
    for (add, keep) in add.iter_mut().zip(keep) {
        *add = add.clamp(0.0, 255.0 * (1.0 - keep));
    }
}

/// Two passes of a box of 5 cells in each direction, about a Gaussian with a deviation of 2 cells.
fn blur(values: &[f32], width: usize, height: usize) -> Vec<f32> {
    const RADIUS: usize = 2;
    let mut values = values.to_vec();
    let mut next = values.clone();
    let mean = |values: &[f32], index: usize, length: usize, at: &dyn Fn(usize) -> usize| {
        let (begin, end) = (index.saturating_sub(RADIUS), (index + RADIUS + 1).min(length));
        (begin..end).map(|i| values[at(i)]).sum::<f32>() / (end - begin) as f32
    };
    for _ in 0..2 {
        for y in 0..height {
            for x in 0..width {
                next[y * width + x] = mean(&values, x, width, &|i| y * width + i);
            }
        }
        for y in 0..height {
            for x in 0..width {
                values[y * width + x] = mean(&next, y, height, &|i| i * width + x);
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::layout::tests::layout;
    use gstreamer_video::VideoFormat;

    fn map() -> RegionMap {
        RegionMap {
            regions: 3,
            width: 2,
            height: 1,
            probabilities: vec![0.5, 0.0, 0.25, 1.0, 0.25, 0.0],
        }
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
        let opaque = cut_out(&map(), &is_foreground, [0.0, 0.0, 1.0], &layout(VideoFormat::Bgr, 4, 2));
        assert_eq!(opaque.alpha, None);
        let blue = opaque.colors[2].as_ref().unwrap();
        assert_eq!(blue.keep, [0.25, 1.0]);
        assert!((blue.add[0] - 0.75 * 255.0).abs() < 1e-3 && blue.add[1] == 0.0);
        let transparent = cut_out(&map(), &is_foreground, [0.0; 3], &layout(VideoFormat::Bgra, 4, 2));
        assert_eq!(transparent.colors, [None, None, None]);
        assert_eq!(transparent.alpha.unwrap().keep, [0.25, 1.0]);
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
        let map = RegionMap {
            regions: 2,
            width,
            height,
            probabilities,
        };
        let layer = blur_background(&map, &[true, false], &averages, &layout);
        let grey = layer.colors[0].as_ref().unwrap();
        assert_eq!(grey.keep, inside);
        for (cell, inside) in inside.iter().enumerate() {
            if *inside == 0.0 {
                assert!(grey.add[cell] < 1.0, "cell {cell}: {}", grey.add[cell]);
            }
        }
    }
}
