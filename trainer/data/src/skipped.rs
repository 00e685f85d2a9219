//! What is not taken of a source, counted by reason: nothing vanishes without a word.

use std::collections::BTreeMap;
use std::fmt;

/// Entries that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped(BTreeMap<&'static str, (usize, String)>);

impl Skipped {
    /// Counts an entry; the first of each reason is named.
    pub fn add(&mut self, reason: &'static str, name: impl fmt::Display) {
        self.0.entry(reason).or_insert_with(|| (0, name.to_string())).0 += 1;
    }

    /// Takes over what another counted.
    pub fn extend(&mut self, other: Self) {
        for (reason, (count, first)) in other.0 {
            self.0.entry(reason).or_insert((0, first)).0 += count;
        }
    }

    /// How many were left out for a reason.
    pub fn count(&self, reason: &str) -> usize {
        self.0.get(reason).map_or(0, |(count, _)| *count)
    }

    /// How many were left out.
    pub fn total(&self) -> usize {
        self.0.values().map(|(count, _)| count).sum()
    }

    /// A line for each reason: how many, why, and the name of the first.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(reason, (count, first))| match count {
            1 => format!("left out {first}: {reason}"),
            _ => format!("left out {count} such as {first}: {reason}"),
        })
    }
}
