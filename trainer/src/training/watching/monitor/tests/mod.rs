use super::*;

const IMAGES: usize = 6;
const SIDE: usize = 8;

fn masks(regions: usize, mask: impl Fn(usize, usize, usize, usize) -> f32) -> Vec<f32> {
    let mask = &mask;
    (0..IMAGES)
        .flat_map(|i| {
            (0..regions).flat_map(move |r| (0..SIDE).flat_map(move |y| (0..SIDE).map(move |x| mask(i, r, y, x))))
        })
        .collect()
}

#[test]
fn uniform_masks() {
    let figures = MaskFigures::of(&masks(3, |_, _, _, _| 1.0 / 3.0), IMAGES, 3);
    assert!(figures.shares.iter().all(|s| (s - 1.0 / 3.0).abs() < 1e-6));
    assert!((figures.max_probability - 1.0 / 3.0).abs() < 1e-6 && (figures.entropy - 1.0).abs() < 1e-6);
    assert_eq!(figures.positional, None);
    assert!(matches!(figures.collapses()[..], [Collapse::Uniform { .. }]));
}

#[test]
fn bands_are_positional() {
    let figures = MaskFigures::of(
        &masks(2, |_, r, y, _| if (y < 4) == (r == 0) { 1.0 } else { 0.0 }),
        IMAGES,
        2,
    );
    assert_eq!(
        (figures.shares.clone(), figures.max_probability, figures.entropy),
        (vec![0.5, 0.5], 1.0, 0.0)
    );
    assert_eq!(figures.positional, Some(1.0));
    assert!(matches!(figures.collapses()[..], [Collapse::Bands { .. }]));
}

#[test]
fn content_is_not_positional_even_in_a_small_batch() {
    // Independent coin flips for each image: nothing in common but chance.
    let noise =
        |i: usize, y: usize, x: usize| (i * 7919 + y * 104_729 + x * 1_299_709).wrapping_mul(2_654_435_761) >> 13 & 1;
    let figures = MaskFigures::of(
        &masks(2, |i, r, y, x| if noise(i, y, x) == r { 1.0 } else { 0.0 }),
        IMAGES,
        2,
    );
    assert!(figures.positional.unwrap() < 0.15, "{figures:?}");
    assert!(figures.collapses().is_empty());
}

#[test]
fn one_region_and_dead_regions_are_named() {
    let figures = MaskFigures::of(&masks(3, |_, r, _, _| if r == 1 { 1.0 } else { 0.0 }), IMAGES, 3);
    let collapses = figures.collapses();
    assert_eq!(collapses.len(), 3);
    assert!(
        collapses
            .iter()
            .any(|c| matches!(c, Collapse::OneRegion { region: 1, .. }))
    );
    assert!(collapses[0].to_string().contains("region"));
    assert!(collapses[0].same_kind(&Collapse::DeadRegion {
        region: 0,
        share: 0.005
    }));
    assert!(!collapses[0].same_kind(&Collapse::DeadRegion {
        region: 2,
        share: 0.005
    }));
}
