use super::*;

/// 2x1 cells, three regions.
fn map() -> RegionMap {
    mask::tests::map(3, 2, 1, &[1.0, 0.0, 0.0, 0.75, 0.0, 0.25])
}

fn rendered(format: MaskFormat) -> Vec<u8> {
    let mut out = vec![9; 10 * super::rows(format, 2, 3)];
    render(&map(), format, &[false, true, true], (8, 2), 10, &mut out);
    out
}

#[test]
fn labels_count_from_one_and_change_where_another_region_leads() {
    // Region 1 falls from 1 at column 1.5 to 0 at column 5.5, region 2 rises to 0.75: they meet at 3.79.
    let row = [1, 1, 1, 1, 2, 2, 2, 2, 9, 9];
    assert_eq!(rendered(MaskFormat::Labels), [row, row].concat());
}

#[test]
fn the_foreground_is_the_sum_of_its_regions() {
    let soft = [0, 0, 32, 96, 159, 223, 255, 255, 9, 9];
    assert_eq!(rendered(MaskFormat::Foreground), [soft, soft].concat());
    let hard = [0, 0, 0, 0, 255, 255, 255, 255, 9, 9];
    assert_eq!(rendered(MaskFormat::HardForeground), [hard, hard].concat());
}

#[test]
fn regions_are_stacked() {
    let out = rendered(MaskFormat::Regions);
    assert_eq!(out.len(), 60);
    assert_eq!(out[..8], [255, 255, 223, 159, 96, 32, 0, 0]);
    assert_eq!(out[40 + 7], 64);
    assert_eq!((out[0], out[20], out[20 + 7]), (255, 0, 191));
}
