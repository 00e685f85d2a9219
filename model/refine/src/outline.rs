//! Regions as COCO has them: lengths of runs, or polygons around them.

/// Lengths of the runs outside and inside `region` in turn, down the columns of `labels` `[height, width]`: COCO's `counts`.
pub fn runs(labels: &[u8], width: usize, region: u8) -> Vec<usize> {
    let height = labels.len() / width.max(1);
    let mut runs = vec![0];
    let mut inside = false;
    for at in (0..width).flat_map(|x| (0..height).map(move |y| y * width + x)) {
        if (labels[at] == region) != inside {
            inside = !inside;
            runs.push(0);
        }
        if let Some(run) = runs.last_mut() {
            *run += 1;
        }
    }
    runs
}

/// Polygons along the edges of the pixels around each 4-connected piece of `region` in `labels` `[height, width]`, each as
/// `x, y` of its corners in turn. Holes are covered: COCO's polygons have none.
pub fn polygons(labels: &[u8], width: usize, region: u8) -> Vec<Vec<usize>> {
    let height = labels.len() / width.max(1);
    let is_inside = |x: isize, y: isize| {
        (0..width as isize).contains(&x)
            && (0..height as isize).contains(&y)
            && labels[y as usize * width + x as usize] == region
    };
    // Pixels whose upper edge has been walked along.
    let mut walked = vec![false; labels.len()];
    let mut polygons = Vec::new();
    for start in 0..labels.len() {
        let begin = ((start % width) as isize, (start / width) as isize);
        if walked[start] || !is_inside(begin.0, begin.1) || is_inside(begin.0, begin.1 - 1) {
            continue;
        }
        // From corner to corner with the region on the right, first along the upper edge of the pixel.
        let ((mut x, mut y), (mut dx, mut dy)) = (begin, (1isize, 0isize));
        let mut corners = Vec::new();
        let mut twice_area = 0;
        loop {
            if (dx, dy) == (1, 0) {
                walked[y as usize * width + x as usize] = true;
            }
            twice_area += x * dy - y * dx;
            (x, y) = (x + dx, y + dy);
            // The pixels before the corner, on the right and on the left.
            let (right_x, right_y) = (x + (dx - dy - 1) / 2, y + (dx + dy - 1) / 2);
            let turn = match (is_inside(right_x, right_y), is_inside(right_x + dy, right_y - dx)) {
                (false, _) => (-dy, dx),
                (true, false) => (dx, dy),
                (true, true) => (dy, -dx),
            };
            if turn != (dx, dy) {
                corners.extend([x as usize, y as usize]);
            }
            (dx, dy) = turn;
            if (x, y) == begin && (dx, dy) == (1, 0) {
                break;
            }
        }
        // Around a hole the walk goes the other way.
        if twice_area > 0 {
            polygons.push(corners);
        }
    }
    polygons
}

#[cfg(test)]
mod tests;
