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

/// A square picture, row by row.
pub type Cell = Vec<[u8; 3]>;

/// An image, `[3, side, side]` in -1..=1.
pub fn image_cell(image: &[f32]) -> Cell {
    let pixels = image.len() / 3;
    let colour = |pixel: usize| std::array::from_fn(|channel| to_byte(image[channel * pixels + pixel]));
    (0..pixels).map(colour).collect()
}

/// The regions of the masks, `[regions, side, side]`, over an image.
pub fn region_cell(image: &[f32], masks: &[f32]) -> Cell {
    let pixels = image.len() / 3;
    let over = |(pixel, colour): (usize, [u8; 3])| {
        let planes = (0..masks.len() / pixels)
            .map(|region| masks[region * pixels + pixel])
            .enumerate();
        let largest = planes
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(0, |(region, _)| region);
        let region = REGION_COLOURS[largest % REGION_COLOURS.len()];
        std::array::from_fn(|channel| ((u16::from(colour[channel]) + u16::from(region[channel])) / 2) as u8)
    };
    image_cell(image).into_iter().enumerate().map(over).collect()
}

/// A soft mask, `[side, side]`: white is 1.
pub fn mask_cell(mask: &[f32]) -> Cell {
    let grey = |value: &f32| [(value.clamp(0.0, 1.0) * 255.0).round() as u8; 3];
    mask.iter().map(grey).collect()
}

/// Pictures in rows of `columns`, with more room behind each `group` of them. Every pixel is drawn `scale` times `scale`.
pub fn sheet(cells: &[Cell], columns: usize, group: usize, scale: u32) -> RgbImage {
    let side = cells.first().map_or(0, |cell| cell.len().isqrt()) as u32;
    let step = side * scale + GAP;
    let left = |column: usize| column as u32 * step + (column / group) as u32 * 2 * GAP;
    let rows = cells.len().div_ceil(columns) as u32;
    let mut sheet = RgbImage::from_pixel(left(columns), rows * step, Rgb([24; 3]));
    for (index, cell) in cells.iter().enumerate() {
        let (left, top) = (left(index % columns), (index / columns) as u32 * step);
        for y in 0..side * scale {
            for x in 0..side * scale {
                let pixel = y / scale * side + x / scale;
                sheet.put_pixel(left + x, top + y, Rgb(cell[pixel as usize]));
            }
        }
    }
    sheet
}

/// How large small pictures of a side are drawn.
pub fn scale(side: usize) -> u32 {
    (128 / side as u32).max(1)
}

/// A grid, two images to a row; each is shown as the image, its regions drawn over it, and each region's soft mask.
///
/// `images` is `[count, 3, side, side]` in -1..=1, `masks` is `[count, regions, side, side]`.
pub fn mask_grid(images: &[f32], masks: &[f32], side: usize, regions: usize, scale: u32) -> RgbImage {
    let pixels = side * side;
    let both = images
        .chunks_exact(3 * pixels)
        .zip(masks.chunks_exact(regions * pixels));
    let cells: Vec<Cell> = both
        .flat_map(|(image, masks)| {
            let soft = masks.chunks_exact(pixels).map(mask_cell);
            [image_cell(image), region_cell(image, masks)].into_iter().chain(soft)
        })
        .collect();
    let group = 2 + regions;
    sheet(&cells, (cells.len() / group).clamp(1, 2) * group, group, scale)
}

/// A value in -1..=1 as a byte.
pub fn to_byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}
#[cfg(test)]
mod tests;
