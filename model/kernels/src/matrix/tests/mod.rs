use super::*;
use crate::testing::Random;

#[test]
fn products_equal_naive_ones() {
    let mut random = Random::new(1);
    for set in InstructionSet::available() {
        for _ in 0..60 {
            let (points, rows) = (random.below(3) + 1, random.below(40) + 1);
            let (depth, columns) = (random.below(70) + 1, random.below(100) + 1);
            let left = random.values(points * rows * depth);
            let right = random.values(points * depth * columns);
            let packed = PackedMatrix::pack(set, points, depth, columns, |point, row, column| {
                right[(point * depth + row) * columns + column]
            });
            let first = random.below(packed.panels());
            let range = packed.columns_of(first, packed.panels());
            let mut out = vec![f32::NAN; points * rows * range.len()];
            // SAFETY: the buffers have the sizes described.
            unsafe {
                multiply(
                    set,
                    rows,
                    Rows {
                        data: left.as_ptr(),
                        row: depth,
                        point: rows * depth,
                    },
                    packed.right(),
                    (first, packed.panels()),
                    Rows {
                        data: out.as_mut_ptr(),
                        row: range.len(),
                        point: rows * range.len(),
                    },
                );
            }
            for point in 0..points {
                for row in 0..rows {
                    for column in range.clone() {
                        let expected: f64 = (0..depth)
                            .filter(|_| column < columns)
                            .map(|k| {
                                f64::from(left[(point * rows + row) * depth + k])
                                    * f64::from(right[(point * depth + k) * columns + column])
                            })
                            .sum();
                        let found = out[(point * rows + row) * range.len() + column - range.start];
                        assert!(
                            (f64::from(found) - expected).abs() < 2e-5,
                            "{}: {found} for {expected} at {point} {row} {column}",
                            set.name()
                        );
                    }
                }
            }
        }
    }
}
