//! Shares of work among processes that do not speak to each other about it.

use std::ops::Range;
use std::str::FromStr;

/// One of `count` equal shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are; at least 1.
    pub count: usize,
}

/// What launchers tell a process of its place: rank and number of processes. `mpirun` of Open MPI; that of MPICH, and `srun
/// --mpi=pmi2`; `srun --mpi=pmix`. A batch script outside of `srun` has none of them.
const LAUNCHERS: [(&str, &str); 3] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
];

impl Share {
    /// All there is.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// The share of a process that a launcher has started; the whole without a launcher.
    pub fn of_launcher() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse().ok();
        let mut places = LAUNCHERS.iter().filter_map(|(rank, size)| {
            let (index, count) = (number(rank)?, number(size)?);
            (index < count).then_some(Self { index, count })
        });
        places.next().unwrap_or(Self::WHOLE)
    }

    /// Every `count`th item.
    pub fn take<T>(&self, items: Vec<T>) -> Vec<T> {
        items.into_iter().skip(self.index).step_by(self.count).collect()
    }

    /// Neighbouring items, counted from the end: the first share has the last ones.
    pub fn range(&self, items: usize) -> Range<usize> {
        let place = self.count - 1 - self.index;
        items * place / self.count..items * (place + 1) / self.count
    }
}

impl FromStr for Share {
    type Err = String;

    /// Reads `I/N`.
    fn from_str(words: &str) -> Result<Self, String> {
        let parsed = words.split_once('/').and_then(|(index, count)| {
            let (index, count) = (index.parse().ok()?, count.parse().ok()?);
            (index < count).then_some(Self { index, count })
        });
        parsed.ok_or_else(|| "expected I/N: share I, from 0, of N, as in 0/8 to 7/8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_leave_nothing_out() {
        for (items, count, sizes) in [(8, 2, vec![4, 4]), (7, 3, vec![3, 2, 2]), (1, 3, vec![1, 0, 0])] {
            let shares: Vec<Share> = (0..count).map(|index| Share { index, count }).collect();
            let in_order = shares.iter().rev().flat_map(|share| share.range(items));
            assert!(in_order.eq(0..items));
            assert_eq!(
                shares.iter().map(|share| share.range(items).len()).collect::<Vec<_>>(),
                sizes
            );
            let mut taken: Vec<usize> = shares
                .iter()
                .flat_map(|share| share.take((0..items).collect()))
                .collect();
            taken.sort_unstable();
            assert!(taken.into_iter().eq(0..items));
        }
        assert_eq!("2/8".parse(), Ok(Share { index: 2, count: 8 }));
        for wrong in ["", "8", "8/8", "-1/8", "0/0", "1/x"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
