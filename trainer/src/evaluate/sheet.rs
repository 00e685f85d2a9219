//! Contact sheets: pictures beside what was found in them.

use clap::ValueEnum;
use image::{Rgb, RgbImage, imageops};

/// Width and height that a picture is fitted into.
const CELL: (u32, u32) = (240, 135);
/// Pixels between cells.
const GAP: u32 = 4;
/// Cells in a row, at most.
const COLUMNS: usize = 4;
/// Colour that the foreground is tinted with, half and half.
const TINT: [u8; 3] = [230, 60, 60];

/// What is shown of a picture and its foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SheetStyle {
    /// The picture, and beside it the picture with its foreground tinted
    #[default]
    Overlay,
    /// Foreground and background alone, each in its mean colour: can be shown where the pictures cannot
    Silhouette,
}

/// A sheet of pictures with their foregrounds (`[height, width]`), four cells to a row.
pub fn contact_sheet(entries: &[(&RgbImage, Vec<bool>)], style: SheetStyle) -> RgbImage {
    let shown = |(picture, foreground): &(&RgbImage, Vec<bool>)| match style {
        SheetStyle::Overlay => vec![fitted(picture), fitted(&tinted(picture, foreground))],
        SheetStyle::Silhouette => vec![fitted(&silhouette(picture, foreground))],
    };
    let cells: Vec<RgbImage> = entries.iter().flat_map(shown).collect();
    let columns = cells.len().clamp(1, COLUMNS);
    let rows = cells.len().div_ceil(columns) as u32;
    let mut sheet = RgbImage::from_pixel(
        columns as u32 * (CELL.0 + GAP) - GAP,
        (rows * (CELL.1 + GAP)).max(GAP + 1) - GAP,
        Rgb([24; 3]),
    );
    for (index, cell) in cells.iter().enumerate() {
        let (column, row) = ((index % columns) as u32, (index / columns) as u32);
        let left = column * (CELL.0 + GAP) + (CELL.0 - cell.width()) / 2;
        let top = row * (CELL.1 + GAP) + (CELL.1 - cell.height()) / 2;
        imageops::replace(&mut sheet, cell, i64::from(left), i64::from(top));
    }
    sheet
}

fn tinted(picture: &RgbImage, foreground: &[bool]) -> RgbImage {
    let mut overlay = picture.clone();
    for (pixel, _) in overlay.pixels_mut().zip(foreground).filter(|(_, inside)| **inside) {
        for (value, tint) in pixel.0.iter_mut().zip(TINT) {
            *value = ((u16::from(*value) + u16::from(tint)) / 2) as u8;
        }
    }
    overlay
}

fn silhouette(picture: &RgbImage, foreground: &[bool]) -> RgbImage {
    let mut sums = [[0u64; 4]; 2];
    for (pixel, inside) in picture.pixels().zip(foreground) {
        let sum = &mut sums[usize::from(*inside)];
        sum[3] += 1;
        for (sum, value) in sum.iter_mut().zip(pixel.0) {
            *sum += u64::from(value);
        }
    }
    let colors = sums.map(|[r, g, b, count]| Rgb([r, g, b].map(|sum| (sum / count.max(1)) as u8)));
    let mut painted = picture.clone();
    for (pixel, inside) in painted.pixels_mut().zip(foreground) {
        *pixel = colors[usize::from(*inside)];
    }
    painted
}

fn fitted(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scale = (f64::from(CELL.0) / f64::from(width)).min(f64::from(CELL.1) / f64::from(height));
    let side = |length: u32, most: u32| ((f64::from(length) * scale).round() as u32).clamp(1, most);
    imageops::thumbnail(picture, side(width, CELL.0), side(height, CELL.1))
}

#[cfg(test)]
mod tests;
