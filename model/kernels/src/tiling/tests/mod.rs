use super::*;

#[test]
fn every_tile_is_in_one_rectangle() {
    for (batch, height, width, side, target) in [
        (1, 64, 64, 4, 32),
        (3, 8, 8, 2, 40),
        (2, 5, 9, 4, 1),
        (1, 3, 700, 1, 64),
        (2, 17, 31, 2, 24),
    ] {
        let widest = target.min(30);
        let tiling = Tiling::new(batch, height, width, side, widest, target);
        let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
        let mut seen = vec![0; batch * rows * columns];
        let mut strips = Vec::new();
        for block in 0..tiling.blocks(batch) {
            let rectangles = tiling.block(batch, block);
            assert!(rectangles.iter().map(Rectangle::tiles).sum::<usize>() <= tiling.largest_block(Rectangle::tiles));
            for rectangle in rectangles {
                for row in rectangle.row..rectangle.row + rectangle.rows {
                    strips.push((
                        rectangle.strip + row - rectangle.row,
                        row,
                        rectangle.column,
                        rectangle.columns,
                    ));
                    for column in rectangle.column..rectangle.column + rectangle.columns {
                        seen[(rectangle.item * rows + row) * columns + column] += 1;
                    }
                }
            }
        }
        assert!(
            seen.iter().all(|&count| count == 1),
            "{batch} {height} {width} {side} {target}"
        );
        assert!(strips.iter().map(|strip| strip.0).eq(0..tiling.strips(batch)));
        // One tile at a time or all at once: the same strips in the same order.
        for target in [1, rows * columns] {
            let other = Tiling::new(batch, height, width, side, widest, target);
            let of = |rectangle: &Rectangle| {
                let Rectangle {
                    row,
                    column,
                    columns,
                    strip,
                    ..
                } = *rectangle;
                (0..rectangle.rows).map(move |below| (strip + below, row + below, column, columns))
            };
            assert!(other.rectangles(batch).iter().flat_map(of).eq(strips.iter().copied()));
        }
        assert_eq!(tiling.blocks(1), tiling.rectangles(1).len().div_ceil(tiling.per_block));
    }
}
