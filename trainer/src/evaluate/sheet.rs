//! Contact sheets: pictures beside what was found in them.

use image::{Rgb, RgbImage, imageops};

/// Width and height that a picture is fitted into.
const CELL: (u32, u32) = (240, 135);
/// Pixels between cells.
const GAP: u32 = 4;
/// Pictures in a row, each with its overlay.
const PER_ROW: usize = 2;
/// Colour that the foreground is tinted with, half and half.
const TINT: [u8; 3] = [230, 60, 60];

/// Each picture beside itself with its foreground (`[height, width]`) tinted, two pairs to a row.
pub fn contact_sheet(entries: &[(&RgbImage, Vec<bool>)]) -> RgbImage {
    let rows = entries.len().div_ceil(PER_ROW) as u32;
    let columns = 2 * entries.len().clamp(1, PER_ROW) as u32;
    let mut sheet = RgbImage::from_pixel(
        columns * (CELL.0 + GAP) - GAP,
        (rows * (CELL.1 + GAP)).max(GAP + 1) - GAP,
        Rgb([24; 3]),
    );
    for (index, (picture, foreground)) in entries.iter().enumerate() {
        let mut overlay = (*picture).clone();
        for (pixel, _) in overlay.pixels_mut().zip(foreground).filter(|(_, inside)| **inside) {
            for (value, tint) in pixel.0.iter_mut().zip(TINT) {
                *value = ((u16::from(*value) + u16::from(tint)) / 2) as u8;
            }
        }
        let (column, row) = (2 * (index % PER_ROW) as u32, (index / PER_ROW) as u32);
        for (column, shown) in [(column, *picture), (column + 1, &overlay)] {
            let cell = fitted(shown);
            let left = column * (CELL.0 + GAP) + (CELL.0 - cell.width()) / 2;
            let top = row * (CELL.1 + GAP) + (CELL.1 - cell.height()) / 2;
            imageops::replace(&mut sheet, &cell, i64::from(left), i64::from(top));
        }
    }
    sheet
}

fn fitted(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scale = (f64::from(CELL.0) / f64::from(width)).min(f64::from(CELL.1) / f64::from(height));
    let side = |length: u32, most: u32| ((f64::from(length) * scale).round() as u32).clamp(1, most);
    imageops::thumbnail(picture, side(width, CELL.0), side(height, CELL.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_laid_out_in_rows() {
        let picture = RgbImage::from_pixel(480, 270, Rgb([100; 3]));
        let foreground: Vec<bool> = (0..480 * 270).map(|at| at % 480 < 240).collect();
        let entries: Vec<_> = (0..3).map(|_| (&picture, foreground.clone())).collect();
        let sheet = contact_sheet(&entries);
        assert_eq!(sheet.dimensions(), (4 * 244 - 4, 2 * 139 - 4));
        // Third pair: the picture, then its tinted left half.
        assert_eq!(sheet.get_pixel(120, 200).0, [100; 3]);
        assert_eq!(sheet.get_pixel(244 + 60, 200).0, [165, 80, 80]);
        assert_eq!(sheet.get_pixel(244 + 180, 200).0, [100; 3]);
        assert_eq!(sheet.get_pixel(2 * 244 + 100, 200).0, [24; 3]);
    }
}
