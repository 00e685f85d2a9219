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

    /// Whether the item at a place of a list belongs to it: every `count`th does.
    pub fn holds(&self, place: usize) -> bool {
        place % self.count == self.index
    }

    /// Its items of a list.
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
mod tests;
