//! Class names and their numbers.

use std::collections::HashMap;

/// Sorts what has a class's name: by number where all names are numbers, else by letters. Folders, archives and packed files
/// have their classes in this order.
pub(crate) fn sort<T>(all: &mut [T], name: impl Fn(&T) -> &str) {
    all.sort_by(|a, b| name(a).cmp(name(b)));
    let number = |one: &T| name(one).parse::<u64>().ok();
    if all.iter().all(|one| number(one).is_some()) {
        all.sort_by_key(number);
    }
}

/// Numbers class names in the order in which they come, until all are known.
#[derive(Default)]
pub(crate) struct Classes {
    numbers: HashMap<String, u32>,
}

impl Classes {
    /// The number of a name for now.
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// The names in their order (by number where all are numbers, else by letters), and the place in it of each number
    /// that was given out.
    pub(crate) fn sorted(self) -> (Vec<String>, Vec<u32>) {
        let mut found: Vec<(String, u32)> = self.numbers.into_iter().collect();
        sort(&mut found, |(name, _)| name);
        let mut places = vec![0; found.len()];
        for (place, (_, number)) in found.iter().enumerate() {
            places[*number as usize] = place as u32;
        }
        (found.into_iter().map(|(name, _)| name).collect(), places)
    }
}
