//! Pictures of images and their masks.

use image::{Rgb, RgbImage};

/// One colour for each region; repeats after eight.
pub const REGION_COLOURS: [[u8; 3]; 8] = [
    [230, 60, 60],
    [60, 120, 230],
    [70, 190, 90],
    [240, 180, 40],
    [160, 80, 200],
    [60, 190, 200],
    [240, 120, 180],
    [150, 150, 150],
];

/// Pixels between two images of a grid.
const GAP: u32 = 2;

/// A grid of held-out images, two to a row; each is shown as the image, its regions drawn over it,
/// and each region's soft mask (white is 1).
///
/// `images` is `[count, 3, side, side]` in -1..=1, `masks` is `[count, regions, side, side]`.
/// Every pixel is drawn `scale` times `scale`.
pub fn mask_grid(images: &[f32], masks: &[f32], side: usize, regions: usize, scale: u32) -> RgbImage {
    let pixels = side * side;
    let count = (images.len() / (3 * pixels).max(1)).min(masks.len() / (regions * pixels).max(1));
    let columns = 2 + regions as u32;
    let cell = side as u32 * scale + GAP;
    let per_row = count.clamp(1, 2) as u32;
    let rows = (count as u32).div_ceil(per_row);
    let group = columns * cell + 2 * GAP;
    let mut grid = RgbImage::from_pixel(per_row * group, rows * cell, Rgb([24; 3]));
    for index in 0..count {
        let (left, top) = (index as u32 % per_row * group, index as u32 / per_row * cell);
        let image = &images[index * 3 * pixels..(index + 1) * 3 * pixels];
        let masks = &masks[index * regions * pixels..(index + 1) * regions * pixels];
        for pixel in 0..pixels {
            let colour: [u8; 3] = std::array::from_fn(|channel| to_byte(image[channel * pixels + pixel]));
            let largest = (0..regions)
                .max_by(|a, b| masks[a * pixels + pixel].total_cmp(&masks[b * pixels + pixel]))
                .unwrap_or(0);
            let region = REGION_COLOURS[largest % REGION_COLOURS.len()];
            let over: [u8; 3] =
                std::array::from_fn(|channel| ((u16::from(colour[channel]) + u16::from(region[channel])) / 2) as u8);
            let mut put = |column: u32, colour: [u8; 3]| {
                let (x, y) = ((pixel % side) as u32 * scale, (pixel / side) as u32 * scale);
                for dy in 0..scale {
                    for dx in 0..scale {
                        grid.put_pixel(left + column * cell + x + dx, top + y + dy, Rgb(colour));
                    }
                }
            };
            put(0, colour);
            put(1, over);
            for region in 0..regions {
                put(
                    2 + region as u32,
                    [(masks[region * pixels + pixel].clamp(0.0, 1.0) * 255.0).round() as u8; 3],
                );
            }
        }
    }
    grid
}

/// A value in -1..=1 as a byte.
pub fn to_byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_shows_image_regions_and_masks() {
        let (side, regions) = (4, 2);
        let images = vec![1.0; 3 * 3 * 16];
        let masks: Vec<f32> = (0..3)
            .flat_map(|_| (0..32).map(|i| if i < 16 { 1.0 } else { 0.0 }))
            .collect();
        let grid = mask_grid(&images, &masks, side, regions, 2);
        assert_eq!(grid.dimensions(), (2 * (4 * 10 + 4), 2 * 10));
        assert_eq!(grid.get_pixel(0, 0), &Rgb([255; 3]));
        assert_eq!(grid.get_pixel(10, 0), &Rgb([242, 157, 157]));
        assert_eq!(
            (grid.get_pixel(20, 0), grid.get_pixel(30, 0)),
            (&Rgb([255; 3]), &Rgb([0; 3]))
        );
    }
}
