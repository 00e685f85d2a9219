use super::*;
use crate::simd::InstructionSet;
use crate::testing::Random;

#[test]
fn products_equal_naive_ones() {
    let mut random = Random::new(21);
    for set in InstructionSet::available() {
        for _ in 0..40 {
            let (rows, depth) = (random.below(40) + 1, random.below(50) + 1);
            let columns = (random.below(4) + 1) * 16;
            let (transposed, accumulate) = (random.flag(), random.flag());
            let left = random.values(rows * depth);
            let right = random.values(depth * columns);
            let before = random.values(rows * columns);
            let mut out = before.clone();
            let (row, step) = if transposed { (1, rows) } else { (depth, 1) };
            let extent = Extent {
                rows,
                depth,
                columns,
                accumulate,
            };
            // SAFETY: the buffers have the sizes described.
            unsafe {
                let left = Left {
                    data: left.as_ptr(),
                    row,
                    depth: step,
                };
                let right = Matrix {
                    data: right.as_ptr(),
                    row: columns,
                };
                let out = Matrix {
                    data: out.as_mut_ptr(),
                    row: columns,
                };
                multiply(set, extent, left, right, out);
            }
            for i in 0..rows {
                for j in 0..columns {
                    let sum: f64 = (0..depth)
                        .map(|k| f64::from(left[i * row + k * step]) * f64::from(right[k * columns + j]))
                        .sum();
                    let start = if accumulate {
                        f64::from(before[i * columns + j])
                    } else {
                        0.0
                    };
                    let found = f64::from(out[i * columns + j]);
                    assert!((found - sum - start).abs() < 2e-5, "{}: {found}", set.name());
                }
            }
        }
    }
}
