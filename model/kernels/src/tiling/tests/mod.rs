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
        let tiling = Tiling::new(batch, height, width, side, target);
        let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
        let mut seen = vec![0; batch * rows * columns];
        for block in 0..tiling.blocks(batch) {
            let (_, rectangles) = tiling.block(batch, block);
            assert!(rectangles.iter().map(Rectangle::tiles).sum::<usize>() <= tiling.largest_block());
            for rectangle in rectangles {
                for row in rectangle.row..rectangle.row + rectangle.rows {
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
        assert_eq!(tiling.blocks(1), tiling.rectangles(1).len().div_ceil(tiling.per_block));
    }
}
