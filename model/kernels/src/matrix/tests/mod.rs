use super::*;
use crate::simd::pair;
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

/// Words of two bfloat16 numbers each, and the numbers.
fn words(random: &mut Random, count: usize) -> (Vec<f32>, Vec<[f64; 2]>) {
    (0..count)
        .map(|_| {
            let word = pair(random.value(), random.value());
            let bits = word.to_bits();
            let number = |half: u32| f64::from(f32::from_bits(half << 16));
            (word, [number(bits & 0xffff), number(bits >> 16)])
        })
        .unzip()
}

/// All sizes of the last tiles, and left-hand sides whose parts lie in each other. What the processor's tiles and the emulated
/// ones compute are the same bits.
#[test]
fn products_of_pairs_equal_naive_ones() {
    let mut in_tiles: Option<Vec<Vec<f32>>> = None;
    for set in InstructionSet::available() {
        if !set.computes_bf16() {
            continue;
        }
        let (mut random, mut outputs) = (Random::new(2), Vec::new());
        for round in 0..60 {
            let (points, rows) = (random.below(3) + 1, random.below(70) + 1);
            let (part, columns) = (8 * (random.below(6) + 1), random.below(100) + 1);
            let taps: Vec<usize> = if set.has_tiles() && round % 2 == 0 {
                (0..random.below(9) + 1).map(|_| random.below(5) * part).collect()
            } else {
                vec![0]
            };
            let (depth, row) = (taps.len() * part, part + random.below(3) * 8);
            let behind = taps.iter().max().unwrap_or(&0);
            let point = (rows - 1) * row + behind + part;
            let (left, left_numbers) = words(&mut random, points * point);
            let (right, right_numbers) = words(&mut random, points * depth * columns);
            let packed = PackedMatrix::pack(set, points, depth, columns, |point, row, column| {
                right[(point * depth + row) * columns + column]
            });
            let first = random.below(packed.panels());
            let range = packed.columns_of(first, packed.panels());
            // Beside the product nothing is written.
            let (out_row, marker) = (range.len() + 16, -77.0);
            let mut out = vec![marker; (points * rows + 16) * out_row];
            let rows_of = |data| Rows { data, row, point };
            let to = Rows {
                data: out.as_mut_ptr(),
                row: out_row,
                point: rows * out_row,
            };
            let panels = (first, packed.panels());
            // SAFETY: the buffers have the sizes described.
            unsafe {
                if set.has_tiles() {
                    multiply_tiles(set, rows, rows_of(left.as_ptr()), &taps, packed.right(), panels, to);
                } else {
                    multiply_pairs(set, rows, rows_of(left.as_ptr()), packed.right(), panels, to);
                }
            }
            for (index, &found) in out.iter().enumerate() {
                let (line, column) = (index / out_row, range.start + index % out_row);
                if line >= points * rows || index % out_row >= range.len() {
                    assert_eq!(found, marker, "{}: written beside the product", set.name());
                    continue;
                }
                let (at, line) = (line / rows, line % rows);
                let products = (0..depth).filter(|_| column < columns).map(|k| {
                    let left = left_numbers[at * point + line * row + taps[k / part] + k % part];
                    let right = right_numbers[(at * depth + k) * columns + column];
                    left[0] * right[0] + left[1] * right[1]
                });
                let expected: f64 = products.sum();
                assert!(
                    (f64::from(found) - expected).abs() < 3e-5,
                    "{}: {found} for {expected} at {at} {line} {column} of {rows}x{depth}x{columns}",
                    set.name()
                );
            }
            outputs.push(out);
        }
        println!("{}: {} products", set.name(), outputs.len());
        if set.has_tiles() {
            assert!(
                in_tiles.get_or_insert_with(|| outputs.clone()) == &outputs,
                "{}",
                set.name()
            );
        }
    }
}
