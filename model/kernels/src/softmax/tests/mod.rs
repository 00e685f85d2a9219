use super::*;
use crate::testing::Random;

#[test]
fn rows_and_regions_sum_to_one() {
    let mut random = Random::new(11);
    for set in InstructionSet::available() {
        for _ in 0..20 {
            let (rows, count) = (random.below(5) + 1, random.below(70) + 1);
            let row = count.next_multiple_of(CHANNEL_BLOCK);
            let input: Vec<f32> = random.values(rows * row).iter().map(|value| value * 20.0).collect();
            let (mut data, mut inverse) = (input.clone(), vec![0.0; rows]);
            // SAFETY: the rows are whole channel blocks.
            unsafe { exponentials(set, data.as_mut_ptr(), rows, count, row, inverse.as_mut_ptr()) };
            for index in 0..rows {
                let line = &input[index * row..][..count];
                let total: f64 = line.iter().map(|&value| f64::from(value).exp()).sum();
                for (column, &value) in line.iter().enumerate() {
                    let found = f64::from(data[index * row + column] * inverse[index]);
                    assert!((found - f64::from(value).exp() / total).abs() < 1e-6, "{}", set.name());
                }
                assert!(
                    data[index * row + count..(index + 1) * row]
                        .iter()
                        .all(|&value| value == 0.0)
                );
            }

            let (pixels, regions) = (random.below(150) + 1, random.below(16) + 1);
            let logits: Vec<f32> = random.values(pixels * 16).iter().map(|value| value * 9.0).collect();
            let mut found = vec![f32::NAN; regions * pixels];
            let mut scratch = vec![0.0; probabilities_scratch(regions)];
            probabilities(set, &logits, 16, regions, &mut found, &mut scratch);
            for pixel in 0..pixels {
                let line = &logits[pixel * 16..][..regions];
                let total: f64 = line.iter().map(|&value| f64::from(value).exp()).sum();
                for (region, &value) in line.iter().enumerate() {
                    let expected = f64::from(value).exp() / total;
                    assert!((f64::from(found[region * pixels + pixel]) - expected).abs() < 1e-6);
                }
            }
        }
    }
}
