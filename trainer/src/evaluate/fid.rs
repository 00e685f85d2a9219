//! The Fréchet distance between the features of two sets of pictures (Heusel et al. 2017), in 64 bits.

/// Mean and covariance of features, as they come.
#[derive(Debug, Clone)]
pub struct Moments {
    count: u64,
    sums: Vec<f64>,
    /// `[n, n]`: sums of products.
    products: Vec<f64>,
}

impl Moments {
    /// Of no pictures, with `n` features each.
    pub fn new(n: usize) -> Self {
        Self {
            count: 0,
            sums: vec![0.0; n],
            products: vec![0.0; n * n],
        }
    }

    /// Pictures so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds the features of a picture.
    pub fn add(&mut self, features: &[f32]) {
        self.count += 1;
        for ((row, sum), a) in self
            .products
            .chunks_exact_mut(features.len())
            .zip(&mut self.sums)
            .zip(features)
        {
            *sum += f64::from(*a);
            row.iter_mut()
                .zip(features)
                .for_each(|(product, b)| *product += f64::from(*a) * f64::from(*b));
        }
    }

    fn mean(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.count as f64).collect()
    }

    /// The unbiased covariance, `[n, n]`.
    fn covariance(&self) -> Vec<f64> {
        let mean = self.mean();
        let pairs = mean
            .iter()
            .zip(&self.sums)
            .flat_map(|(a, _)| self.sums.iter().map(move |b| a * b));
        let others = (self.count as f64 - 1.0).max(1.0);
        self.products
            .iter()
            .zip(pairs)
            .map(|(product, pair)| (product - pair) / others)
            .collect()
    }

    /// The Fréchet distance: `|m1 - m2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2))`.
    pub fn distance(&self, other: &Self) -> f64 {
        let n = self.sums.len();
        let apart: f64 = self
            .mean()
            .iter()
            .zip(other.mean())
            .map(|(a, b)| (a - b) * (a - b))
            .sum();
        let (first, second) = (self.covariance(), other.covariance());
        let trace = |matrix: &[f64]| (0..n).map(|at| matrix[at * n + at]).sum::<f64>();
        let traces = trace(&first) + trace(&second);
        // C1 = L L', and C1 C2 has the eigenvalues of the symmetric L' C2 L.
        let root = cholesky(first, n);
        let product = multiply(&transposed(&root, n), &multiply(&second, &root, n), n);
        let roots: f64 = eigenvalues(product, n)
            .into_iter()
            .map(|value| value.max(0.0).sqrt())
            .sum();
        apart + traces - 2.0 * roots
    }
}

fn transposed(a: &[f64], n: usize) -> Vec<f64> {
    (0..n * n).map(|at| a[at % n * n + at / n]).collect()
}

fn multiply(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut product = vec![0.0; n * n];
    let stride = n as isize;
    assert!(a.len() == n * n && b.len() == n * n);
    // SAFETY: all three are n by n, rows behind each other.
    unsafe {
        matrixmultiply::dgemm(
            n,
            n,
            n,
            1.0,
            a.as_ptr(),
            stride,
            1,
            b.as_ptr(),
            stride,
            1,
            0.0,
            product.as_mut_ptr(),
            stride,
            1,
        );
    }
    product
}

/// The lower triangle `L` of `a = L L'`, `a` symmetric without negative eigenvalues: columns without a rest are zero.
fn cholesky(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    let least = (0..n).map(|at| a[at * n + at]).fold(0.0, f64::max) * 1e-14;
    for row in 0..n {
        let (above, rest) = a.split_at_mut(row * n);
        let mine = &mut rest[..n];
        for column in 0..row {
            let theirs = &above[column * n..][..n];
            let sum: f64 = mine[..column].iter().zip(theirs).map(|(a, b)| a * b).sum();
            let pivot = theirs[column];
            mine[column] = if pivot > 0.0 { (mine[column] - sum) / pivot } else { 0.0 };
        }
        let rest = mine[row] - mine[..row].iter().map(|value| value * value).sum::<f64>();
        mine[row] = if rest > least { rest.sqrt() } else { 0.0 };
        mine[row + 1..].fill(0.0);
    }
    a
}

/// The eigenvalues of a symmetric matrix: made tridiagonal by Householder's reflections, then by QL steps with shifts.
fn eigenvalues(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
    for last in (1..n).rev() {
        // Reflect the row onto its element beside the diagonal.
        let row: Vec<f64> = a[last * n..][..last].to_vec();
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        diagonal[last] = a[last * n + last];
        let mut v = row;
        let sign = if v[last - 1] > 0.0 { -1.0 } else { 1.0 };
        beside[last] = sign * length;
        v[last - 1] -= beside[last];
        let square: f64 = v.iter().map(|value| value * value).sum();
        if square == 0.0 {
            continue;
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let p: Vec<f64> = (0..last)
            .map(|at| 2.0 / square * dot(&a[at * n..][..last], &v))
            .collect();
        let along = dot(&p, &v) / square;
        let w: Vec<f64> = p.iter().zip(&v).map(|(p, v)| p - along * v).collect();
        for at in 0..last {
            let (of_v, of_w) = (v[at], w[at]);
            let row = a[at * n..][..last].iter_mut();
            row.zip(v.iter().zip(&w))
                .for_each(|(value, (v, w))| *value -= of_v * w + of_w * v);
        }
    }
    diagonal[0] = a[0];
    beside.rotate_left(1);
    for first in 0..n {
        loop {
            let small = |at: &usize| {
                let scale = diagonal[*at].abs() + diagonal[at + 1].abs();
                beside[*at].abs() <= f64::EPSILON * scale
            };
            let end = (first..n - 1).find(small).unwrap_or(n - 1);
            if end == first {
                break;
            }
            let mut g = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first]);
            let r = g.hypot(1.0);
            g = diagonal[end] - diagonal[first] + beside[first] / (g + r.copysign(g));
            let (mut sine, mut cosine, mut moved) = (1.0, 1.0, 0.0);
            let mut at = end;
            while at > first {
                at -= 1;
                let (f, b) = (sine * beside[at], cosine * beside[at]);
                let r = f.hypot(g);
                beside[at + 1] = r;
                if r == 0.0 {
                    diagonal[at + 1] -= moved;
                    break;
                }
                (sine, cosine) = (f / r, g / r);
                let g_ = diagonal[at + 1] - moved;
                let turned = (diagonal[at] - g_) * sine + 2.0 * cosine * b;
                moved = sine * turned;
                diagonal[at + 1] = g_ + moved;
                g = cosine * turned - b;
                if at == first {
                    diagonal[first] -= moved;
                    beside[first] = g;
                }
            }
            beside[end] = 0.0;
        }
    }
    diagonal
}

#[cfg(test)]
mod tests;
