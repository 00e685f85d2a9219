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
