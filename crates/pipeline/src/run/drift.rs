//! What came and does not go as the catalog says, by field: bounded, whatever a server sends as names.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use ctct_extract::printable;

/// Fields that are named. Further ones are counted.
const NAMED: usize = 50;
/// Further fields that are told apart.
const TOLD_APART: usize = 100_000;

/// The fields of a run's drift.
#[derive(Debug, Default)]
pub(super) struct Drift {
    named: BTreeMap<String, u64>,
    further: HashSet<u64>,
}

impl Drift {
    /// Adds rows in which a field drifted. Its name comes from outside.
    pub(super) fn add(&mut self, field: &str, rows: u64) {
        if let Some(known) = self.named.get_mut(field) {
            *known += rows;
        } else if self.named.len() < NAMED {
            *self.named.entry(printable(field)).or_default() += rows;
        } else if self.further.len() < TOLD_APART {
            let mut hasher = DefaultHasher::new();
            field.hash(&mut hasher);
            self.further.insert(hasher.finish());
        }
    }

    /// The first fields by name, and how many others there are.
    pub(super) fn told(&self) -> (BTreeMap<String, u64>, u64) {
        (self.named.clone(), self.further.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fields_are_named_and_the_others_counted() {
        let mut drift = Drift::default();
        for _ in 0..2 {
            for number in 0..150_000 {
                drift.add(&format!("field {number:06}"), 2);
            }
        }
        let (named, further) = drift.told();
        assert_eq!((named.len(), further), (NAMED, TOLD_APART as u64));
        assert!(named.values().all(|rows| *rows == 4));
    }

    #[test]
    fn a_name_neither_commands_a_terminal_nor_fills_it() {
        let mut drift = Drift::default();
        drift.add("\u{1b}[2J\u{202e}x", 1);
        drift.add(&"y".repeat(1 << 20), 1);
        let (named, _) = drift.told();
        assert!(named.contains_key(" [2Jx"), "{named:?}");
        assert!(named.keys().all(|name| name.len() < 300));
    }
}
