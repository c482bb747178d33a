//! The keys that a run has written into a snapshot, so that no row stands in it twice.
//!
//! While a list is read page by page, a row that comes in at its top pushes the others down, and the last row of one page
//! comes again as the first of the next. The same happens, further apart, where a run goes on after pages that were kept.
//! Merging runs go by the key anyway, and appending ones keep every version that they saw.

use std::collections::HashSet;

use arrow::error::ArrowError;
use ctct_catalog::Report;
use ctct_transform::TableRows;

use crate::{WriteMode, fingerprint, seen};

/// Keys that are known: twice this many at most, the oldest half is forgotten first. What comes again comes soon: rows are
/// pushed down by no more than what came in meanwhile.
const GENERATION: usize = 50_000;

/// The hashes of the keys that came last.
#[derive(Debug, Default)]
pub(crate) struct Once {
    young: HashSet<u128>,
    old: HashSet<u128>,
}

impl Once {
    /// For a run in this mode, where it writes snapshots.
    pub(crate) fn for_mode(mode: WriteMode) -> Option<Self> {
        matches!(mode, WriteMode::Replace | WriteMode::Partition).then(Self::default)
    }

    /// The page without the records whose key came before.
    ///
    /// # Errors
    /// Rows cannot be filtered.
    pub(crate) fn first_of_each(
        &mut self,
        report: &Report,
        page: Vec<TableRows>,
    ) -> Result<Vec<TableRows>, ArrowError> {
        let Some(parent) = page.first() else { return Ok(page) };
        let mut keys = fingerprint::of_keys(&parent.batch, &report.key);
        // A key of several columns names events, and two events may happen at one instant: there the content tells.
        if report.key.len() > 1
            && let Some(contents) = fingerprint::of_records(report.tables(), &page)
        {
            keys.iter_mut().zip(contents).for_each(|(key, content)| *key ^= u128::from(content));
        }
        let kept: Vec<bool> = keys.into_iter().map(|key| self.note(key)).collect();
        if kept.iter().all(|kept| *kept) { Ok(page) } else { seen::without(page, &kept) }
    }

    /// Takes note of a key; whether it is new.
    fn note(&mut self, key: u128) -> bool {
        if self.old.contains(&key) || !self.young.insert(key) {
            return false;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_for_a_generation_at_least_and_for_two_at_most() {
        let mut once = Once::default();
        let generation = GENERATION as u128;
        assert!((0..generation).all(|key| once.note(key)));
        assert!((0..generation).all(|key| !once.note(key)));
        assert!((generation..2 * generation).all(|key| once.note(key)));
        assert!(!once.note(generation) && once.note(0));
    }
}
