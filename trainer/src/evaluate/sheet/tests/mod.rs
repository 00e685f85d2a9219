use super::*;

#[test]
fn pairs_are_laid_out_in_rows() {
    let picture = RgbImage::from_pixel(480, 270, Rgb([100; 3]));
    let foreground: Vec<bool> = (0..480 * 270).map(|at| at % 480 < 240).collect();
    let entries: Vec<_> = (0..3).map(|_| (&picture, foreground.clone())).collect();
    let sheet = contact_sheet(&entries, SheetStyle::Overlay);
    assert_eq!(sheet.dimensions(), (4 * 244 - 4, 2 * 139 - 4));
    // Third pair: the picture, then its tinted left half.
    assert_eq!(sheet.get_pixel(120, 200).0, [100; 3]);
    assert_eq!(sheet.get_pixel(244 + 60, 200).0, [165, 80, 80]);
    assert_eq!(sheet.get_pixel(244 + 180, 200).0, [100; 3]);
    assert_eq!(sheet.get_pixel(2 * 244 + 100, 200).0, [24; 3]);
}

#[test]
fn silhouettes_hold_two_colours_and_no_picture() {
    let picture = RgbImage::from_fn(240, 135, |x, _| {
        Rgb([if x < 120 { 40 } else { 200 }, (x % 2) as u8 * 100, 0])
    });
    let foreground: Vec<bool> = (0..240 * 135).map(|at| at % 240 < 120).collect();
    let sheet = contact_sheet(&[(&picture, foreground)], SheetStyle::Silhouette);
    assert_eq!(sheet.dimensions(), (240, 135));
    assert_eq!(
        (sheet.get_pixel(3, 9).0, sheet.get_pixel(200, 9).0),
        ([40, 50, 0], [200, 50, 0])
    );
    assert_eq!(contact_sheet(&[], SheetStyle::Silhouette).dimensions(), (240, 1));
}
